"""What a report speaks about: one statistic at one threshold, and what counts as significant."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

    from provis_fast.statistics import HeadStatistics

ALPHA = 0.05
LOG_ALPHA = math.log(ALPHA)
#: The threshold of the paper, which the findings are about where a result has it.
PAPERS_THRESHOLD = 0.3


class Focus(NamedTuple):
    """What the findings are about, of what a result holds.

    Attributes
    ----------
    statistic : {"arcs", "mass"}
    threshold : float or None
    unit : {"protein", "cluster"}
    confidence : float
    """

    statistic: str
    threshold: float | None
    unit: str
    confidence: float

    @property
    def percent(self) -> str:
        """The confidence, as "95%"."""
        return f"{100 * self.confidence:g}%"

    @property
    def units(self) -> str:
        """ "proteins" or "clusters of proteins"."""
        return "proteins" if self.unit == "protein" else "clusters of proteins"

    @property
    def test(self) -> str:
        """What the test is called."""
        return f"{self.unit}-level t-test"


def focus(result: HeadStatistics, unit: str, confidence: float) -> Focus:
    """What to speak about: arcs at the paper's threshold, else at the first; else attention."""
    if not result.thresholds:
        return Focus("mass", None, unit, confidence)
    has = PAPERS_THRESHOLD in result.thresholds
    return Focus("arcs", PAPERS_THRESHOLD if has else result.thresholds[0], unit, confidence)


def in_focus(table: pd.DataFrame, focus: Focus, name: str | None = None) -> pd.DataFrame:
    """Rows of the table of inference that the findings are about; those of a property."""
    kept = table["statistic"] == focus.statistic
    if focus.threshold is not None:
        kept &= table["threshold"] == focus.threshold
    if name is not None:
        kept &= table["property"] == name
    return table[kept]


def above(rows: pd.DataFrame) -> pd.Series:
    """Which rows are above the background by the corrected protein-level test; bool."""
    return (rows["log_q"] < LOG_ALPHA) & (rows["excess"] > 0)


def below(rows: pd.DataFrame) -> pd.Series:
    """Which are below it; bool."""
    return (rows["log_q"] < LOG_ALPHA) & (rows["excess"] < 0)
