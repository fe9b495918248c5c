"""An LED board without the board: bytes in, bytes out, and what it lights.

What boards have in common is here: lines, faults, restarting, triggers, the light over time. The language is that of a
`Firmware`. It knows nothing of ports, so the same board answers behind a pseudo-terminal, a socket or in a test.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from enum import Enum
from typing import TYPE_CHECKING, Protocol

import numpy as np

from acquisition.simulated.light import Light
from acquisition.simulated.sequencer import Sequencer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

_log = logging.getLogger(__name__)

_BOOT_S = 1.0
_LINE_END = re.compile(rb"[\r\n]")


class BoardFault(Enum):
    """What can be wrong with a board."""

    ERROR = "refuses: its power source is disconnected"
    SILENCE = "does nothing and answers nothing"
    GARBAGE = "answers with bytes that mean nothing"
    UNPLUG = "is pulled from its port"
    ONE_BEHIND = "lights the pattern before the one asked for"
    RESTART = "restarts whenever its port is opened: forgets everything, is deaf for a second, prints its page"
    LOST_TRIGGER = "misses one trigger"


class UnpluggedError(Exception):
    """Raised by `EmulatedBoard.feed` and `poll`: the transport has to drop the line."""


class Firmware(Protocol):
    """A board's language; used by one thread at a time.

    `power_on` is called before all else and again whenever the board restarts; then `answer` with each line that has
    come in whole, without its end and never empty, except while a sequence runs.
    """

    led_count: int
    page: bytes
    """Printed when it has started."""

    def power_on(self, light: Light, sequencer: Sequencer, clock: Callable[[], float]) -> None:
        """Forget everything; from now on light LEDs through `light`, and show sequences through `sequencer`."""

    def answer(self, line: bytes) -> bytes:
        """Do what a line says, return the answer."""

    def refusal(self) -> bytes:
        """Answer of a board whose power source is disconnected."""


class EmulatedBoard:
    """A board that runs a firmware, on a clock.

    Parameters
    ----------
    firmware
        What it runs.
    clock
        Seconds; the camera's exposures are asked for by the same clock.
    boot_s
        How long a restart takes.

    Attributes
    ----------
    on_trigger_out
        Called with the time of each trigger pulse that the board sends, on whichever thread noticed it, without locks:
        it may call `trigger`. Must return at once.
    on_change
        Set by the port: called when `due_in_s` may have changed.
    """

    def __init__(
        self, firmware: Firmware, clock: Callable[[], float] = time.perf_counter, boot_s: float = _BOOT_S
    ) -> None:
        self.on_trigger_out: Callable[[float], None] = lambda time_s: None
        self.on_change: Callable[[], None] = lambda: None
        self._firmware = firmware
        self._clock = clock
        self._boot_s = boot_s
        self._lock = threading.RLock()
        self._light = Light(firmware.led_count)
        self._sequencer = Sequencer(self._light)
        self._line = b""
        self._held = b""  # came while a timed sequence ran
        self._unsent = b""
        self._starts_at_s: float | None = None  # deaf until then
        self._fault: BoardFault | None = None
        self._fault_after = 0
        firmware.power_on(self._light, self._sequencer, clock)

    @property
    def led_count(self) -> int:
        """Number of LEDs."""
        return self._light.led_count

    def inject(self, fault: BoardFault | None, after_commands: int = 0) -> None:
        """Break the board after so many further commands (`LOST_TRIGGER`: triggers); None mends it."""
        with self._lock:
            self._fault, self._fault_after = fault, after_commands
            self._light.behind = fault is BoardFault.ONE_BEHIND and not after_commands
        self.on_change()

    def miswire(self, dead: Iterable[int] = (), swapped: Iterable[tuple[int, int]] = ()) -> None:
        """Solder the board badly: `dead` LEDs never light, those of each `swapped` pair light in place of each other.

        Raises
        ------
        IndexError
            The board has no such LED.
        """
        self._light.miswire(dead, swapped)

    # --- the camera's side --------------------------------------------------------------------------------------------

    def brightness(self) -> NDArray[np.float32]:
        """Light of each LED now, (L,), 0 to 1."""
        self._work_off()
        return self._light.now()

    def mean_brightness(self, start_s: float, end_s: float) -> NDArray[np.float32]:
        """Mean light of each LED, (L,), from `start_s` to `end_s` of the board's clock: what an exposure gathers."""
        self._work_off()
        return self._light.mean(start_s, end_s)

    def trigger(self, duration_s: float = 0.0) -> None:
        """The camera's exposure signal on the trigger input: an exposure of so many seconds begins now.

        A sequence led by triggers goes on to its next pattern when this exposure has ended.
        """
        with self._lock:
            now_s = self._clock()
            self._advance(now_s)
            if self._fault is BoardFault.LOST_TRIGGER and self._fault_after == 0:
                self._fault = None
            else:
                self._fault_after -= self._fault is BoardFault.LOST_TRIGGER
                self._sequencer.trigger(now_s, duration_s)
        self._tell()

    def _work_off(self) -> None:
        with self._lock:
            self._advance(self._clock())
        self._tell()

    # --- the port's side ----------------------------------------------------------------------------------------------

    def opened(self) -> None:
        """A program has opened the port."""
        with self._lock:
            self._line = b""
            if self._fault is BoardFault.RESTART and self._fault_after == 0:
                self._sequencer.stop()
                self._light.show(np.zeros(self.led_count, np.float32), self._clock())
                self._firmware.power_on(self._light, self._sequencer, self._clock)
                self._held = self._unsent = b""
                self._starts_at_s = self._clock() + self._boot_s
        self.on_change()

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the line, return the board's answer to the commands that are complete.

        Raises
        ------
        UnpluggedError
            The injected fault has pulled the plug.
        """
        with self._lock:
            now_s = self._clock()
            self._advance(now_s)
            if self._starts_at_s is None:
                self._take(data, now_s)
            answer, self._unsent = self._unsent, b""
        self._tell()
        return answer

    def poll(self) -> bytes:
        """What the board has to say by itself, up to now; raises as `feed`."""
        with self._lock:
            if self._fault is BoardFault.UNPLUG and self._fault_after == 0:
                raise UnpluggedError
            self._advance(self._clock())
            answer, self._unsent = self._unsent, b""
        self._fire()
        return answer

    def due_in_s(self) -> float | None:
        """After how many seconds `poll` has something to do; None: not before something else happens."""
        with self._lock:
            if self._unsent or (self._fault is BoardFault.UNPLUG and self._fault_after == 0):
                return 0.0
            due_s = self._sequencer.due_s if self._starts_at_s is None else self._starts_at_s
            return None if due_s is None else max(0.0, due_s - self._clock())

    def _take(self, data: bytes, now_s: float) -> None:
        while data:
            if self._sequencer.running:
                self._say(self._sequencer.interrupt(now_s))
                if self._sequencer.running:  # noticed at the next pattern
                    self._held += data
                return  # or swallowed
            end = _LINE_END.search(data)
            if end is None:
                self._line += data
                return
            line, self._line = self._line + data[: end.start()], b""
            data = data[end.end() :]
            if line:
                self._say(self._answer(line), faulty=False)

    def _answer(self, line: bytes) -> bytes:
        if self._fault is not BoardFault.LOST_TRIGGER and self._fault_after > 0:
            self._fault_after -= 1
            return self._firmware.answer(line)
        self._light.behind = self._fault is BoardFault.ONE_BEHIND
        match self._fault:
            case BoardFault.UNPLUG:
                raise UnpluggedError
            case BoardFault.SILENCE:
                return b""
            case BoardFault.GARBAGE:
                return b"\x00\xff\x13}{-=-=\xfe\n" * 2
            case BoardFault.ERROR:
                return self._firmware.refusal()
        return self._firmware.answer(line)

    def _advance(self, now_s: float) -> None:
        if self._starts_at_s is not None and now_s >= self._starts_at_s:
            self._starts_at_s = None
            self._say(self._firmware.page)
        running = self._sequencer.running
        self._say(self._sequencer.advance(now_s))
        if running and not self._sequencer.running:
            held, self._held = self._held, b""
            self._take(held, now_s)

    def _say(self, text: bytes, faulty: bool = True) -> None:
        silent = faulty and self._fault is BoardFault.SILENCE and self._fault_after == 0
        self._unsent += b"" if silent else text

    def _tell(self) -> None:
        self._fire()
        self.on_change()

    def _fire(self) -> None:
        with self._lock:
            pulses_s, self._sequencer.pulses_s = self._sequencer.pulses_s, []
        for time_s in pulses_s:
            try:
                self.on_trigger_out(time_s)
            except Exception:  # the board does not care what its trigger does
                _log.exception("trigger not passed on")
