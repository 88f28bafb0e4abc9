"""Writing a report: what is read, where it goes, and what is refused."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path

from provis_fast import storage
from provis_fast.errors import ArgumentError, ResultError
from provis_fast.statistics import HeadStatistics
from provis_fast.written_pages import check_target, write_page

#: Names of reports in the folder of the (first) result.
REPORT, COMPARISON = "report.html", "comparison.html"


def report(
    result: HeadStatistics | str | PathLike[str],
    out: str | PathLike[str] | None = None,
    *,
    other: HeadStatistics | str | PathLike[str] | None = None,
    matched: bool | None = None,
    per_protein: str | PathLike[str] | None = None,
    clusters: str | PathLike[str] | None = None,
    views: Iterable[str | PathLike[str]] = (),
    confidence: float = 0.95,
    allow_partial: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write what an analysis found as one HTML file, which opens anywhere without a network.

    Parameters
    ----------
    result : HeadStatistics, str or path
        A result, or the folder of a saved one.
    out : str or path, optional
        The file; default ``report.html`` in the result's folder, of a comparison
        ``comparison.html`` there. Its parents are created, an earlier report is replaced.
    other : HeadStatistics, str or path, optional
        A second result: the report compares the two; see
        `provis_fast.reporting.comparison.write_comparison`.
    matched : bool, optional
        With `other`: whether a head of one is that of the other; see `provis_fast.compare`.
    per_protein : str or path, optional
        Tables of single proteins, needed for clusters; default: those in the result's folder. Not
        with `other`: a comparison reads those in both folders.
    clusters : str or path, optional
        Which proteins are similar, a table as MMseqs2 writes it: their clusters become the unit of
        inference; see `provis_fast.inference.assignment`. Where the input itself had clusters, and
        there are tables of single proteins, they do so without it.
    views : iterable of str or path
        3-D views (`provis_fast.view`) to link to, relative to the report. A ``view.html`` beside
        the report is linked to anyway. Not with `other`.
    confidence : float
        Of the intervals.
    allow_partial : bool
        Also report on an interrupted analysis, or on some of its shards; the page says so.
    overwrite : bool
        Replace whatever file stands at `out`.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ArgumentError
        No place to write to, a confidence outside of (0, 1), views that are no list, or an
        argument of a comparison without `other`, or the reverse.
    ResultError
        No result there, another version, an incomplete one, one of no protein; a view that is not
        there; a place that cannot be written, or holds a file that is no report.
    """
    if not 0 < confidence < 1:
        raise ArgumentError(f"confidence: expected a number between 0 and 1, got {confidence!r}")
    if isinstance(views, (str, PathLike)):
        raise ArgumentError(f"views: expected a list of files, got the single name {views!r:.80}")
    views = [Path(view) for view in views]
    _check_together(other, matched, per_protein, views)
    first = read(result, allow_partial)
    second = None if other is None else read(other, allow_partial)
    target = check_target(_place(result, out, other), "report", overwrite)
    if second is not None:
        from provis_fast.reporting.comparison import write_comparison

        places = [None if isinstance(each, HeadStatistics) else each for each in (result, other)]
        return write_comparison(
            first,
            second,
            target,
            places=places,
            clusters=clusters,
            matched=matched,
            confidence=confidence,
            allow_partial=allow_partial,
        )
    if per_protein is None and not isinstance(result, HeadStatistics):
        tables = Path(result) / storage.PER_PROTEIN
        per_protein = tables if clusters is not None or tables.is_dir() else None
    from provis_fast.reporting.content import gather
    from provis_fast.reporting.page import render

    content = gather(
        first,
        page=target,
        per_protein=per_protein,
        clusters=clusters,
        views=views,
        confidence=confidence,
    )
    write_page(render(content), target)
    return target


def _check_together(
    other: object, matched: bool | None, per_protein: object, views: list[Path]
) -> None:
    """Refuse what a report of this kind would leave unused."""
    if other is None:
        if matched is not None:
            raise ArgumentError(
                "matched: is about the heads of two results, and there is one; give other as well"
            )
        return
    if views:
        raise ArgumentError(
            "views: a comparison links to no views; give them to the report of one result"
        )
    if per_protein is not None:
        raise ArgumentError(
            "per_protein: a comparison reads the tables in the folders of both results; leave it "
            "out"
        )


def read(result: HeadStatistics | str | PathLike[str], allow_partial: bool) -> HeadStatistics:
    """A result of at least one protein, given or saved.

    Raises
    ------
    ResultError
        No result there, another version, incomplete without `allow_partial`, or of no protein.
    """
    if isinstance(result, HeadStatistics):
        named = "result"
        if not result.complete and not allow_partial:
            raise ResultError(
                "result: incomplete, its analysis was interrupted or holds some shards only; use "
                "what there is with allow_partial=True"
            )
    else:
        named = str(result)
        result = storage.load(result, allow_partial=allow_partial)
    if not result.analysed:
        raise ResultError(
            f"{named}: holds no protein ({result.skipped:,} skipped, {result.failed:,} failed), so "
            "there is nothing to report; failed.tsv has the reasons"
        )
    return result


def _place(
    result: HeadStatistics | str | PathLike[str],
    out: str | PathLike[str] | None,
    other: HeadStatistics | str | PathLike[str] | None,
) -> Path:
    if out is not None:
        if not str(out):
            raise ArgumentError("out: expected the name of a file, got an empty one")
        return Path(out)
    if isinstance(result, HeadStatistics):
        raise ArgumentError(
            "out: expected the name of a file, as a result in memory has no folder, got None"
        )
    return Path(result) / (REPORT if other is None else COMPARISON)
