"""The one kind of error an operator can cure."""

from __future__ import annotations


class OperatorError(Exception):
    """Something the person at the bench can put right.

    Parameters
    ----------
    message
        What is wrong, with the value found and the limit it breaks.
    remedy
        What to do about it; shown on a line of its own.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  Remedy: {self.remedy}" if self.remedy else self.message

    def __reduce__(self) -> tuple[type[OperatorError], tuple[str, str]]:
        return type(self), (self.message, self.remedy)
