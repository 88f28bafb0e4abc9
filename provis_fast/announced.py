"""What other packages announce by entry points: formats and properties."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

from provis_fast.errors import ArgumentError


def package_of(point: EntryPoint) -> str:
    """The name of the package that announces something."""
    return point.dist.name if point.dist is not None else "an installed package"


def said_by(point: EntryPoint) -> str:
    """An entry point as messages name it."""
    return f"the entry point {point.name!r} ({point.group}) of {package_of(point)}"


def loaded(point: EntryPoint, *, call: bool = False) -> Any:
    """What an entry point stands for; with `call`, what that returns.

    Raises
    ------
    ArgumentError
        It cannot be imported, or raises something; the message names the package.
    """
    try:
        found = point.load()
        return found() if call else found
    except Exception as error:  # whatever somebody else's code raises
        raise ArgumentError(
            f"{said_by(point)} cannot be loaded: {type(error).__name__}: {error}; mend or remove "
            f"{package_of(point)}"
        ) from error
