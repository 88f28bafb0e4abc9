"""Exceptions of this package.

Every one says which argument or which place in a file was wrong, what was expected, what came, and
what to do about it. All of them derive from `ProvisError`, so that a pipeline can catch one class.
"""

from __future__ import annotations

from os import PathLike

#: `extra` of a log message whose content a result keeps as well (`HeadStatistics.notes` and
#: `set_aside`): where those are shown, the message is told once only.
NOTED = {"noted": True}


class ProvisError(Exception):
    """Base class of every exception that this package raises on purpose."""


class ArgumentError(ProvisError, ValueError):
    """An argument has the wrong shape, dtype, device or value."""


class InputError(ProvisError, ValueError):
    """A file, or one record of it, cannot be used.

    Parameters
    ----------
    reason : str
        What was expected, what came, what to do.
    path : str or path, optional
        The file at fault.
    line : int, optional
        Line of `path`, counted from 1.
    """

    def __init__(
        self, reason: str, path: str | PathLike[str] | None = None, line: int | None = None
    ):
        self.reason = reason
        self.path = None if path is None else str(path)
        self.line = line
        place = "" if path is None else f"{path}:{line}: " if line is not None else f"{path}: "
        super().__init__(place + reason)

    def __reduce__(self) -> tuple:  # by itself it would be made again from the whole message
        return type(self), (self.reason, self.path, self.line)


class ModelError(ProvisError):
    """A model cannot be found, loaded, or analysed by this package."""


class ResultError(ProvisError):
    """A saved result cannot be read, or results do not belong together."""


class WorkerError(ProvisError):
    """Worker processes cannot be started or reached, or keep dying."""


class NumericalError(ProvisError, ArithmeticError):
    """NaN or infinity where finite numbers were expected, or a counter that would overflow."""
