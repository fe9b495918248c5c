"""What an LED board can do, whatever language it speaks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Flag, auto
from typing import TYPE_CHECKING, Literal, Protocol

from acquisition.errors import OperatorError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class LedArrayError(OperatorError):
    """The LED board does not do what it was told: refused, silent, garbled or gone."""


class Capability(Flag):
    """What one board can do and another cannot."""

    POSITIONS = auto()
    """Tells where its LEDs are."""
    LEVELS = auto()
    """`show` lights each LED as brightly as asked."""
    COLOR = auto()
    """Its LEDs have colours to choose from."""
    SEQUENCE = auto()
    """Stores a list of patterns and shows them by itself."""
    SEQUENCE_LEVELS = auto()
    """The stored patterns may be of different brightness."""
    TRIGGER_IN = auto()
    """A stored sequence can be led by a camera: the end of each exposure advances it."""
    TRIGGER_OUT = auto()
    """A stored sequence can lead a camera: a pulse is sent with each pattern."""


NOTHING_SPECIAL = Capability(0)


@dataclass(frozen=True)
class BoardInfo:
    """How the board introduces itself.

    Attributes
    ----------
    name
        Device name as the firmware gives it.
    firmware
        Firmware version, e.g. ``2.32``; empty where it has none.
    led_count
        Number of LEDs it can address.
    serial_number
        As printed by the board; empty where it has none.
    color_channels
        Names of the colours of each LED.
    capabilities
        What it can do beyond lighting a pattern.
    max_sequence
        Longest sequence it can count, patterns; its memory may end earlier, which `LedArray.load_sequence` tells. None:
        it stores none.
    min_interval_ms
        Shortest time of a pattern in a sequence advanced by the timer.
    min_trigger_interval_ms
        The same in a sequence advanced by a trigger: a camera that leads must not expose again sooner.
    """

    name: str
    firmware: str
    led_count: int
    serial_number: str = ""
    color_channels: tuple[str, ...] = ()
    capabilities: Capability = NOTHING_SPECIAL
    max_sequence: int | None = None
    min_interval_ms: float = 0.0
    min_trigger_interval_ms: float = 0.0


@dataclass(frozen=True)
class SequenceRun:
    """How a stored sequence is shown.

    The first pattern is lit as soon as the board has the command. With ``trigger``, the board's trigger input is to
    carry the camera's exposure signal, high while the camera exposes: a pattern stays lit until one exposure has begun
    and ended, then comes the next one. Frame n is thus taken in the light of pattern n, and the sequence has ended when
    the exposure of the last pattern has.

    Attributes
    ----------
    advance
        What brings the next pattern: the board's ``timer``, or a ``trigger`` from the camera.
    interval_ms
        timer: how long each pattern is lit, at least `BoardInfo.min_interval_ms`. trigger: how long at least, 0 for no
        such limit; a board that has one of its own keeps to that. Boards count whole milliseconds: fractions are
        rounded up.
    send_trigger
        Send a pulse as each pattern is lit. With ``trigger`` as well, board and camera pace each other.
    trigger_timeout_s
        A trigger that is later than this ends the sequence with an error. Boards count whole seconds, rounded up; those
        whose own limit is fixed keep to that one.
    """

    advance: Literal["timer", "trigger"] = "timer"
    interval_ms: float = 0.0
    send_trigger: bool = False
    trigger_timeout_s: float = 10.0


class LedArray(Protocol):
    """A board of LEDs that are lit from the computer.

    Used from one thread at a time: `identify` and `positions_mm` once while the instrument is opened, `show` before
    every exposure, `off` after the last one and whenever anything went wrong, `close` at the end. `off` and
    `check` may come from another thread at any time, also while a sequence runs. Every method blocks until the board
    has confirmed, and raises `LedArrayError` when it has not; the scan then ends as failed and calls `off`.

    Stored sequences, for boards with `Capability.SEQUENCE`; the others raise, except `stop_sequence`, which switches
    off. All four may be called on the scan's thread, in this order, as often as one likes:

        load_sequence     once for many runs; the light on the board is undefined from here on
        start_sequence    the first pattern is lit; the caller must call wait_sequence or stop_sequence next, and may
                          call neither `show` nor `load_sequence` before
        wait_sequence     returns when all was shown, LEDs off
        stop_sequence     at any point, also after an error, also when nothing runs: LEDs off, the line clean
    """

    @property
    def port(self) -> str:
        """Name of the serial port, for messages."""

    def identify(self) -> BoardInfo:
        """Ask the board who it is; what it was told before, a stored sequence too, counts as forgotten."""

    def positions_mm(self) -> NDArray[np.float64] | None:
        """Where the LEDs are, (L, 3): x, y and distance below the sample, board frame; None: the board cannot tell."""

    def show(self, brightness_l: NDArray[np.float32]) -> None:
        """Light the LEDs, (L,) brightness 0 to 1 as a part of the profile's full brightness, and no others."""

    def off(self) -> None:
        """Switch every LED off; a sequence that runs is ended first, as by `stop_sequence`."""

    def check(self) -> None:
        """Raise where the line is lost, without a word to the board; asked every second while nobody else would notice.

        A board that has lost its power but not its line is not noticed: see `greet`.
        """

    def greet(self) -> None:
        """Ask the board something that changes nothing, and raise where it does not answer.

        Called now and then by who has the board for itself, never during a scan or a sequence; the light stays as it
        is. A board with no such question does as `check`.
        """

    def load_sequence(self, patterns_pl: NDArray[np.float32], order_n: NDArray[np.int32]) -> None:
        """Store the patterns to be shown one after the other, and have the board confirm how many there are.

        Parameters
        ----------
        patterns_pl
            (P, L) brightness 0 to 1, as for `show`.
        order_n
            (N,) rows of `patterns_pl`, -1 for a pattern without light.

        Raises
        ------
        LedArrayError
            The board stores none, not so many, or not of different brightness; or the upload broke off. Nothing is
            stored then.
        """

    def start_sequence(self, run: SequenceRun) -> None:
        """Arm: return when the board has the command and has not refused it, without waiting for the end.

        Raises
        ------
        LedArrayError
            Nothing is stored, the board has not the triggers, cannot be so fast, or refuses. Nothing runs then.
        """

    def wait_sequence(self, timeout_s: float) -> None:
        """Wait until the board says that the whole sequence was shown.

        Parameters
        ----------
        timeout_s
            From now on, for the rest of the sequence.

        Raises
        ------
        LedArrayError
            No trigger came in time, another program interrupted, `off` came from another thread, the line is lost: in
            all of these nothing runs any more. Or `timeout_s` is over and the board has said nothing: the sequence may
            still run, call `stop_sequence`.
        """

    def stop_sequence(self) -> None:
        """Abort whatever runs, LEDs off; safe to call when nothing runs.

        Blocks until the board has confirmed, which may take it as long as one pattern of a timed sequence.
        """

    def close(self) -> None:
        """Let go of the port; safe to call twice. Does not switch off: the caller has done that."""


class WithoutSequences(Protocol):
    """The part of `LedArray` that boards have in common which store nothing."""

    @property
    def port(self) -> str:
        """Name of the serial port."""

    def off(self) -> None:
        """Switch every LED off."""

    def load_sequence(self, patterns_pl: NDArray[np.float32], order_n: NDArray[np.int32]) -> None:
        """Not possible."""
        raise self._refusal()

    def start_sequence(self, run: SequenceRun) -> None:
        """Not possible."""
        raise self._refusal()

    def wait_sequence(self, timeout_s: float) -> None:
        """Not possible."""
        raise self._refusal()

    def stop_sequence(self) -> None:
        """LEDs off; nothing else can run."""
        self.off()

    def _refusal(self) -> LedArrayError:
        return LedArrayError(
            f"The LED board on {self.port} cannot store a sequence of patterns.",
            "Scan with the board switched by the computer (software), or use a board with the illuminate firmware.",
        )
