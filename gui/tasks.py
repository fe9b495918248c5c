"""The four tasks of the operator, and what each of them shows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget


class Task(Enum):
    """What the operator is about; the value is the title."""

    INSTRUMENT = "Instrument"
    ACQUIRE = "Acquire"
    RECONSTRUCT = "Reconstruct"
    VIEW = "View"


@dataclass(frozen=True)
class Arrangement:
    """Widgets of one task; one widget may stand in several tasks, it moves to where it is shown.

    Attributes
    ----------
    column
        Controls at the left, from top to bottom.
    stage
        What is looked at.
    side
        What is worth watching beside it, from top to bottom; each takes its share of the height.
    """

    column: tuple[QWidget, ...]
    stage: QWidget
    side: tuple[QWidget, ...] = ()
