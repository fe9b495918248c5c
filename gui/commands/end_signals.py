"""The signals that ask a command to end: Ctrl-C, termination, and the terminal or session that goes away."""

from __future__ import annotations

import signal


def end_signals() -> tuple[signal.Signals, ...]:
    """Those that this system has and that are not ignored: `nohup` wants the work to outlive its terminal."""
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    known = (getattr(signal, name) for name in names if hasattr(signal, name))
    return tuple(number for number in known if signal.getsignal(number) != signal.SIG_IGN)
