"""What is said of a finished analysis: of records that were set aside, and of what was unknown."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from provis_fast.errors import NOTED, InputError
from provis_fast.statistics import HeadStatistics

logger = logging.getLogger(__name__)

#: Reasons shown where nothing could be analysed.
_REASONS = 5


def check_outcome(result: HeadStatistics) -> None:
    """Refuse a result of nothing; warn of one that lacks some of the input.

    Raises
    ------
    InputError
        Records were read, and none of them could be analysed.
    """
    if not result.set_aside:
        return
    if not result.analysed:
        lines = [aside_line(entry) for entry in result.set_aside[:_REASONS]]
        if result.read > len(lines):
            lines.append(f"... and {result.read - len(lines):,} more")
        raise InputError(
            f"no protein could be analysed, of {result.read:,} read:\n" + "\n".join(lines)
        )
    failure = next((entry for entry in result.set_aside if entry["status"] == "failed"), None)
    logger.warning(
        "%d of %d records were not analysed: %d skipped, %d failed; the reasons are in the "
        "result's set_aside, such as: %s",
        len(result.set_aside),
        result.read,
        result.skipped,
        result.failed,
        aside_line(failure or result.set_aside[0]),
        extra=NOTED,
    )


def aside_line(entry: Mapping[str, Any]) -> str:
    """An entry of `HeadStatistics.set_aside` as a line of text."""
    place = entry["source"] or ""
    if entry["line"] is not None:
        place = f"{place}:{entry['line']}"
    where = f" ({place})" if place and place != entry["id"] else ""
    return f"{entry['status']}: {entry['id']}{where}: {entry['reason']}"
