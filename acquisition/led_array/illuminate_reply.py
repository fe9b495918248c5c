"""Answers of the illuminate firmware: where they end, what its error numbers mean, and what to do.

An answer is lines of text ended by `-==-`; but an error of generation 2 is the bare line `ERROR[n]: text` with no
terminator after it: who waits for the terminator waits for ever. Generation 1 ends every answer with `-==-` and says
`ERROR (Class::function): text` before it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_FRAME_END = re.compile(rb"-==-[ \t\r]*\n|ERROR\[(\d+)\]: ?([^\n]*)\n")
_OLD_ERROR = re.compile(r"^(ERROR\b.*|Error\b.*|.*is not implemented yet.*)$", re.MULTILINE)
_WARNING = re.compile(r"^WARNING.*$", re.MULTILINE)
_DISCONNECTED = re.compile(r"source.*disconnect", re.IGNORECASE)

_RETRY = "Try again; if it comes back, switch the board off and on."
_REPORT = "This firmware lacks what Fieldscope needs: flash version 2.32 or later, or report the version."
_POWER = "Plug in and switch on the power supply of the LED board."
TRIGGER_CABLE = (
    "Check the trigger cable between the camera's exposure output and the board's trigger input, and that the camera "
    "takes images."
)
BUSY = "Close other programs that talk to the board, then try again."
TRIGGER_TIMEOUT, INTERRUPTED = 14, 15

ERRORS: dict[int, tuple[str, str]] = {
    1: ("the command is not implemented in this firmware", _REPORT),
    2: ("wrong number of arguments", _REPORT),
    3: ("the LEDs' power source is disconnected", _POWER),
    4: ("wrong trigger time-out arguments", _REPORT),
    5: ("wrong cosine factor", _REPORT),
    6: (
        "the board has no hardware address",
        "Switch the board off and on; if it comes back, flash the firmware again.",
    ),
    7: ("the board cannot sense its power supply", _REPORT),
    8: ("invalid argument", _REPORT),
    9: ("the board does not support this", "Choose a pattern or colour that the board has, in the hardware profile."),
    10: ("a value is out of range", "Check led_board in the hardware profile: number of LEDs, brightness 0 to 255."),
    11: ("the trigger is not configured", "Check the trigger cables and the trigger settings of the board."),
    12: ("the end of the stored sequence was reached", _RETRY),
    13: ("the sequence is faster than the LEDs can be switched", "Choose a longer exposure or delay."),
    TRIGGER_TIMEOUT: ("no trigger came in time", TRIGGER_CABLE),
    INTERRUPTED: ("the command was interrupted by another one", BUSY),
    16: ("the command is unknown to this firmware", _REPORT),
    17: ("the board has not enough memory for this", "Use fewer patterns or fewer LEDs in a pattern."),
    18: ("the command line is too long", "Use fewer LEDs in a pattern."),
    19: ("the stored sequence is full", "Use fewer patterns."),
}
"""Error number of the firmware: what it means, what to do."""


@dataclass(frozen=True)
class Reply:
    """One complete answer: `text` before its end, and the firmware's number of the `error`, None when all is well."""

    text: str
    error: int | None = None

    @property
    def warnings(self) -> list[str]:
        """Lines in which the board says what it is worried about."""
        return _WARNING.findall(self.text)


def cut_replies(stream: bytes) -> tuple[list[Reply], bytes]:
    """Take the complete answers out of a stream; they, and the rest."""
    replies = []
    start = 0
    for end in _FRAME_END.finditer(stream):
        said = stream[start : end.start()].decode("ascii", "replace").strip()
        start = end.end()
        if end[1] is None:
            replies.append(Reply(said))
        else:
            text = end[2].decode("ascii", "replace").strip()
            replies.append(Reply(f"{said}\n{text}".strip(), int(end[1])))
    return replies, stream[start:]


def refusal_of(reply: Reply) -> tuple[str, str] | None:
    """What the board refuses, in words, and the remedy; None: it does not."""
    if reply.error is not None:
        meaning, remedy = ERRORS.get(reply.error, ("unknown error", _RETRY))
        return f"{meaning} (error {reply.error}: {reply.text or 'no text'})", remedy
    old = _OLD_ERROR.search(reply.text)
    if old is None:
        return None
    return old[0].strip(), _POWER if _DISCONNECTED.search(old[0]) else _REPORT
