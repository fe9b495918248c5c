"""The one kind of error an operator can cure, and how work goes on to its end in spite of any."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

_log = logging.getLogger(__name__)


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


class Noting:
    """Lets no error through: what is raised inside becomes a line for the operator.

    Parameters
    ----------
    problems
        Gets the line.
    what
        Begins it.
    """

    def __init__(self, problems: list[str], what: str = "") -> None:
        self._problems = problems
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if isinstance(error, OperatorError):
            self._problems.append(f"{self._what}{error}")
        elif isinstance(error, Exception):
            _log.error("unexpected error", exc_info=error)
            self._problems.append(f"{self._what}Unexpected error: {error!r}")
        return isinstance(error, Exception)
