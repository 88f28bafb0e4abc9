"""Tables of single proteins in the course of an analysis: what is asked for, and where it goes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from provis_fast.atomic import cannot_write, check_target
from provis_fast.errors import ArgumentError
from provis_fast.interruptions import uninterrupted
from provis_fast.per_protein import folders
from provis_fast.units import WHOLE, Shard

if TYPE_CHECKING:
    from provis_fast.accumulate import Measures
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

    def spool(self, place: Path, measures: Measures) -> Spool:
        """A new spool for the rows, in a folder."""
        from provis_fast.per_protein.schemas import schemas
        from provis_fast.spool import Spool

        return Spool(place, schemas(self.spooled, measures))

    def deliver(self, spool: Spool, shard: Shard = WHOLE) -> None:
        """Write what was asked for, each target whole or not at all.

        Raises
        ------
        ResultError
            A target cannot be written, or the disk is full; the spool is as it was before.
        """
        with uninterrupted():
            if self.folder is not None:
                spool.finish(self.folder, shard, self.tables)
            if self.arcs is not None:
                spool.finish_table("arcs", self.arcs)

    @contextmanager
    def collected(self, measures: Measures, shard: Shard = WHOLE) -> Iterator[Spool | None]:
        """A spool for an analysis without checkpoints; None where nothing is asked for.

        It stands beside the target. When the block ends the tables are written, and after an
        exception they are not; the spool is deleted in both cases.

        Raises
        ------
        ResultError
            The place cannot be written, or the disk is full.
        """
        target = self.folder or self.arcs
        if target is None:
            yield None
            return
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            place = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        except OSError as error:
            raise cannot_write(target, error) from error
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, place, ignore_errors=True)
            spool = self.spool(place, measures)
            stack.callback(spool.close)
            yield spool
            self.deliver(spool, shard)
