"""What a check has found: one line of a table, with the remedy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """One result of a check.

    Attributes
    ----------
    name
        What was looked at.
    level
        How bad it is.
    text
        What was found, with the limit where there is one.
    remedy
        What to do; empty where all is well.
    """

    name: str
    level: Level
    text: str
    remedy: str = ""


def ok(name: str, text: str) -> Finding:
    """All is well."""
    return Finding(name, Level.OK, text)


def warning(name: str, text: str, remedy: str) -> Finding:
    """Of use, but not as it should be."""
    return Finding(name, Level.WARNING, text, remedy)


def error(name: str, text: str, remedy: str) -> Finding:
    """Not to be relied on."""
    return Finding(name, Level.ERROR, text, remedy)
