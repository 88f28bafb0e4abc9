"""Tables of single proteins in the course of an analysis: what is asked for, and where it goes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from provis_fast.atomic import cannot_write, check_target
from provis_fast.errors import ArgumentError, ResultError
from provis_fast.interruptions import uninterrupted
from provis_fast.per_protein import folders
from provis_fast.units import WHOLE, Shard, UnitKey

if TYPE_CHECKING:
    import pyarrow as pa

    from provis_fast.measures import Measures
    from provis_fast.spool import Spool


class Wanted(NamedTuple):
    """Tables that an analysis is to keep.

    Attributes
    ----------
    tables : tuple of str
        For `folder`.
    folder : Path or None
    arcs : Path or None
        File for the list of arcs.
    """

    tables: tuple[str, ...] = ()
    folder: Path | None = None
    arcs: Path | None = None

    @classmethod
    def checked(
        cls,
        tables: str | Iterable[str],
        folder: str | PathLike[str] | None,
        arcs: str | PathLike[str] | None,
        weighting: str,
    ) -> Wanted:
        """From a user's arguments; the folder is tried, so that it is known to be of use.

        Raises
        ------
        ArgumentError
            Unknown tables, tables without a folder or the reverse, arcs of an analysis that knows
            none.
        ResultError
            Something else stands in the folder, or it cannot be written.
        """
        if not tables and folder is None and arcs is None:
            return cls()
        from provis_fast.per_protein.schemas import REQUESTABLE, check_tables  # loads pyarrow

        names = check_tables(tables, weighting)
        if arcs is not None:
            check_tables(("arcs",), weighting)
        if names and folder is None:
            raise ArgumentError(
                "per_protein_folder: expected a folder for the tables of per_protein, got None"
            )
        if folder is not None and not names:
            raise ArgumentError(
                "per_protein: expected, beside per_protein_folder, some of "
                f"{', '.join(REQUESTABLE)}; got {tables!r}"
            )
        if folder is not None:
            folder = check_target(folder, "folder of tables", folders.foreign)
        return cls(names, folder, None if arcs is None else Path(arcs))

    @property
    def spooled(self) -> tuple[str, ...]:
        """Tables whose rows are to be collected."""
        return self.tables if self.arcs is None else tuple(dict.fromkeys((*self.tables, "arcs")))

    @contextmanager
    def collected(
        self, measures: Measures, shard: Shard = WHOLE, place: Path | None = None
    ) -> Iterator[Collector | None]:
        """What takes the rows of an analysis; None where nothing is asked for.

        Its `finish` writes the tables. Without that they are not written, and what was written
        before stays.

        Parameters
        ----------
        measures : Measures
        shard : Shard
        place : Path, optional
            Folder for the rows that is kept, beside a checkpoint. Without it they wait in a folder
            beside the target, which is deleted in the end.

        Raises
        ------
        ResultError
            The place for the rows cannot be made.
        """
        target = self.folder or self.arcs
        if target is None:
            yield None
            return
        with ExitStack() as stack:
            if place is None:
                place = _temporary(target)
                stack.callback(shutil.rmtree, place, ignore_errors=True)
            rows = Collector(place, self, measures, shard)
            stack.callback(rows.close)
            yield rows


class Collector:
    """Takes rows of units and keeps them in a spool, which begins when it is first needed.

    It is the `provis_fast.partials.Tables` of a run.

    Parameters
    ----------
    place : Path
        Folder of the spool.
    wanted : Wanted
    measures : Measures
    shard : Shard
    """

    def __init__(self, place: Path, wanted: Wanted, measures: Measures, shard: Shard = WHOLE):
        from provis_fast.per_protein.schemas import schemas

        self.names = wanted.spooled
        self._wanted, self._shard = wanted, shard
        self._place, self._schemas = place, schemas(self.names, measures)
        self._spool: Spool | None = None

    @property
    def spool(self) -> Spool:
        """The spool; a new one where none was resumed."""
        if self._spool is None:
            from provis_fast.spool import Spool

            self._spool = Spool(self._place, self._schemas)
        return self._spool

    def append(self, parts: Sequence[tuple[UnitKey, Mapping[str, pa.RecordBatch]]]) -> None:
        """Take rows; see `Spool.append_parts`."""
        if parts:
            self.spool.append_parts(parts)

    def commit(self) -> dict[str, Any]:
        """Bring all to the disk; see `Spool.commit`."""
        return self.spool.commit()

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on as it was when `commit` returned this; see `Spool.resume`."""
        from provis_fast.spool import Spool

        self._spool = Spool.resume(self._place, state, self._schemas)

    def finish(self) -> None:
        """Write the tables, each target whole or not at all.

        Raises
        ------
        ResultError
            A target cannot be written, or the disk is full.
        """
        with uninterrupted():
            if self._wanted.folder is not None:
                self.spool.finish(self._wanted.folder, self._shard, self._wanted.tables)
            if self._wanted.arcs is not None:
                self.spool.finish_table("arcs", self._wanted.arcs)

    def close(self) -> None:
        """Close the files of the spool; they stay.

        What has to be on the disk is there already, so that nothing is raised which would take the
        place of what ended the analysis.
        """
        if self._spool is not None:
            with suppress(ResultError):
                self._spool.close()


def _temporary(target: Path) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise cannot_write(target, error) from error
