"""What the values of command-line options may be; each function takes one value as it was typed.

All raise `argparse.ArgumentTypeError`, which says what was expected and what came.
"""

from __future__ import annotations

import argparse
import math
import re

from provis_fast.threads import MAX_THREADS


def thresholds(text: str) -> float | tuple[float, ...]:
    """One number, or several separated by commas; each in (0, 1]."""
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or not all(0 < number <= 1 for number in numbers):
        raise argparse.ArgumentTypeError(
            f"expected numbers above 0 and at most 1, separated by commas, got {text!r}"
        )
    if len(set(numbers)) < len(numbers):
        raise argparse.ArgumentTypeError(f"expected different thresholds, got {text!r}")
    return numbers if "," in text else numbers[0]


def layers(text: str) -> tuple[int, ...]:
    """Layers as "1-3,6", counted from 1; returned 0-based and sorted."""
    chosen: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        first = int(match[1]) if match else 0
        last = int(match[2] or match[1]) if match else 0
        if not 1 <= first <= last:
            raise argparse.ArgumentTypeError(
                f"expected layers counted from 1, like 1-3,6, got {text!r}"
            )
        chosen.update(range(first - 1, last))
    return tuple(sorted(chosen))


def tables(text: str) -> tuple[str, ...]:
    """Tables of single proteins, separated by commas."""
    found = tuple(part.strip() for part in text.split(","))
    known = ("counts", "received", "arcs")  # `provis_fast.per_protein.schemas.REQUESTABLE`
    if unknown := [name for name in found if name not in known]:
        raise argparse.ArgumentTypeError(
            f"expected some of {', '.join(known)}, separated by commas, got {unknown[0]!r}"
        )
    return found


def names(text: str) -> tuple[str, ...]:
    """Names separated by commas."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found:
        raise argparse.ArgumentTypeError(f"expected names separated by commas, got {text!r}")
    return found


def positive(text: str) -> int:
    """A whole number of at least 1."""
    return _at_least(text, 1)


def not_negative(text: str) -> int:
    """A whole number of at least 0."""
    return _at_least(text, 0)


def threads(text: str) -> int:
    """A number of threads."""
    return _at_least(text, 1, MAX_THREADS)


def distance(text: str) -> float:
    """A positive number of Angstrom."""
    return _positive_number(text, "distance in Angstrom")


def confidence(text: str) -> float:
    """A number between 0 and 1."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, got {text!r}")
    return number


def seconds(text: str) -> float:
    """A positive time."""
    return _positive_number(text, "time in seconds")


def plddt(text: str) -> float:
    """A confidence from 0 to 100."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"expected a pLDDT from 0 to 100, got {text!r}")
    return value


def folder(text: str) -> str:
    """The name of a folder."""
    if not text:
        raise argparse.ArgumentTypeError("expected the name of a folder, got ''")
    return text


def model(text: str) -> str:
    """The name of a model."""
    if not text:
        raise argparse.ArgumentTypeError("expected the name or folder of a model, got ''")
    return text


def interval(text: str) -> float:
    """A time that may be 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of seconds from 0 on, got {text!r}")
    return number


def shard(text: str) -> tuple[int, int]:
    """One of several shares, "i/n", counted from 1."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    index, of = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= index <= of:
        raise argparse.ArgumentTypeError(f"expected i/n with i from 1 to n, like 2/8, got {text!r}")
    return index, of


def _positive_number(text: str, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a positive {what}, got {text!r}")
    return number


def _at_least(text: str, least: int, most: int | None = None) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least or (most is not None and number > most):
        end = "on" if most is None else f"to {most}"
        raise argparse.ArgumentTypeError(
            f"expected a whole number from {least} {end}, got {text!r}"
        )
    return number
