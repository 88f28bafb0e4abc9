"""What a worker tells of the units that it has run."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from provis_fast.packs import Prepared
from provis_fast.stages import StageTimes
from provis_fast.statistics import HeadStatistics
from provis_fast.units import Remark, UnitKey

if TYPE_CHECKING:
    import pyarrow as pa


class Partial(NamedTuple):
    """What a worker has done since it was last asked; can be pickled.

    Attributes
    ----------
    units : list of UnitKey
    blocks : dict of int to int
        Number of parts of blocks, as far as it has become known.
    result : HeadStatistics or None
        Totals of these units alone; None where they were added to the run's result at once.
    remarks : list of Remark
    counted : dict of str to int
        Notes that count proteins or packs.
    digests : uint64 [proteins]
    tokens : int
        Tokens run.
    tables : list of (UnitKey, dict of str to pyarrow.RecordBatch)
        Rows about single proteins; a unit that was run in parts comes several times.
    stages : StageTimes, optional
        Where the time went, in a process of its own.
    """

    units: list[UnitKey]
    blocks: dict[int, int]
    result: HeadStatistics | None
    remarks: list[Remark]
    counted: dict[str, int]
    digests: NDArray[np.uint64]
    tokens: int
    tables: list[tuple[UnitKey, dict[str, pa.RecordBatch]]]
    stages: StageTimes | None = None


class Tables(Protocol):
    """Takes rows about single proteins, and keeps them with the checkpoints."""

    @property
    def names(self) -> tuple[str, ...]:
        """Tables for which workers are to make rows."""

    def append(self, parts: list[tuple[UnitKey, dict[str, pa.RecordBatch]]]) -> None:
        """Take rows as `Partial.tables` has them: of whole units."""

    def commit(self) -> Any:
        """Flush what was taken to the disk; what `resume` needs to know, JSON."""

    def resume(self, state: Any) -> None:
        """Forget all that was taken after `commit` returned this."""


class UnderWay:
    """A unit while it is run, and what is to be told of it when it is done."""

    def __init__(self, prepared: Prepared):
        self.key, self.name = prepared.key, f"{prepared.key[0]}.{prepared.key[1]}"
        self.remarks, self.counted = list(prepared.remarks), dict(prepared.counted)
        self.digests: list[int] = []
        self.tables: list[dict[str, pa.RecordBatch]] = []
        self.tokens = 0
        #: Totals of its parts, where it is not run in one piece.
        self.apart: HeadStatistics | None = None
        self.added = False


class Told:
    """What `Worker.take` hands over of finished units, but for their totals."""

    def __init__(self) -> None:
        self.units: list[UnitKey] = []
        self.remarks: list[Remark] = []
        self.counted: dict[str, int] = {}
        self.digests = array("Q")
        self.tables: list[tuple[UnitKey, dict[str, pa.RecordBatch]]] = []
        self.table_bytes = 0
        self.tokens = 0

    def add(self, unit: UnderWay) -> None:
        self.units.append(unit.key)
        self.remarks += unit.remarks
        for template, n in unit.counted.items():
            self.counted[template] = self.counted.get(template, 0) + n
        self.digests.extend(unit.digests)
        self.tables += [(unit.key, rows) for rows in unit.tables]
        self.table_bytes += sum(batch.nbytes for rows in unit.tables for batch in rows.values())
        self.tokens += unit.tokens
        unit.added = True
