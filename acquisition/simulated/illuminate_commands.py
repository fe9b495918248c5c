"""What the commands of the emulated illuminate firmwares share: refusals, and reading their arguments."""

from __future__ import annotations

from dataclasses import dataclass

NOT_IMPLEMENTED, ARGUMENT_COUNT, SOURCE_DISCONNECTED = 1, 2, 3
INVALID_ARGUMENT, NOT_SUPPORTED, ARGUMENT_RANGE, END_OF_SEQUENCE = 8, 9, 10, 12
SEQUENCE_DELAY, TRIGGER_TIMEOUT, INTERRUPTED, INVALID_COMMAND = 13, 14, 15, 16
NO_MEMORY, TOO_LONG, SEQUENCE_FULL = 17, 18, 19

ERROR_TEXT = {
    NOT_IMPLEMENTED: "Command not implemented.",
    ARGUMENT_COUNT: "Wrong number of arguments.",
    SOURCE_DISCONNECTED: "Source disconnected.",
    INVALID_ARGUMENT: "Invalid argument.",
    NOT_SUPPORTED: "Device does not support this feature.",
    ARGUMENT_RANGE: "Invalid argument range.",
    END_OF_SEQUENCE: "Reached end of sequence.",
    SEQUENCE_DELAY: "Sequence period was shorter than LED update rate.",
    TRIGGER_TIMEOUT: "Trigger timeout.",
    INTERRUPTED: "Command interrupted.",
    INVALID_COMMAND: "Invalid command.",
    NO_MEMORY: "Not enough memory for operation.",
    TOO_LONG: "Command too long.",
    SEQUENCE_FULL: "Sequence is full.",
}


class RefusedError(Exception):
    """A command that the firmware answers with an error number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class StartedError(Exception):
    """A command whose answer comes when the sequence that it has started has ended; `said` comes at once."""

    def __init__(self, said: bytes) -> None:
        super().__init__(said)
        self.said = said


@dataclass
class Lamp:
    """What an LED lights with, as set by sb, sc and ssc: the brightness of each colour, 0 to 255."""

    colors: tuple[str, ...]
    level: int = 255

    def __post_init__(self) -> None:
        """As after switching on: everything full."""
        self.color = [255] * len(self.colors)
        self.value = list(self.color)

    def set_level(self, level: int) -> None:
        """Scale all colours, 0 to 255."""
        self.level = level
        self.value = [-(-part * level // 255) for part in self.color]

    @property
    def light(self) -> float:
        """Of the brightest colour, 0 to 1."""
        return max(self.value) / 255


def number(word: str) -> int:
    """A whole number."""
    if not word.isdecimal():
        raise RefusedError(INVALID_ARGUMENT)
    return int(word)


def integer(words: list[str], low: int, high: int) -> int:
    """Only argument of a command, within limits."""
    if len(words) != 1:
        raise RefusedError(ARGUMENT_COUNT)
    value = number(words[0])
    if not low <= value <= high:
        raise RefusedError(ARGUMENT_RANGE)
    return value


def hundredths(words: list[str], limit: float) -> float:
    """Only argument of a command, an NA: '25' is 0.25, '5' is 0.50."""
    value = integer(words, 0, 10_000) / (10 if len(words[0]) == 1 else 100)
    if not 0 < value <= limit:
        raise RefusedError(ARGUMENT_RANGE)
    return value
