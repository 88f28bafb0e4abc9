"""Statistics of attention heads: the result of an analysis.

`HeadStatistics` holds exact integer totals (`provis_fast.totals`) together with what they are
totals of. Its arrays are those of `provis_fast.head_arrays`, its notes those of
`provis_fast.result_notes`. Layers and heads are 0-based here, and
1-based wherever a person reads them: in files, tables and on the command line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from provis_fast.errors import ArgumentError
from provis_fast.head_arrays import HeadArrays, Moments, PropertySpec, Replicates, as_json
from provis_fast.record_log import RecordLog
from provis_fast.result_notes import ResultNotes, unknown_note
from provis_fast.shards import ShardParts
from provis_fast.totals import WEIGHTINGS, Channels, Totals

if TYPE_CHECKING:
    from os import PathLike

    import pandas as pd

__all__ = ["WEIGHTINGS", "HeadStatistics", "Moments", "PropertySpec", "Replicates", "unknown_note"]


@dataclass(eq=False, repr=False)
class HeadStatistics(HeadArrays, ResultNotes):
    """Per-head statistics of a model's attention over a set of proteins; see `empty` and `add`.

    Arrays have one row per analysed layer, in the order of `layers` (all layers unless restricted).
    ".." below is a leading theta axis, present when the threshold was a sequence.

    Attributes
    ----------
    arcs : int64 [.., layers, heads]
    eligible, counts, sums, proportion, background : mappings by property name
    mass : float64 [layers, heads]
    mass_known, mass_sums, mass_proportion : mappings by property name
    entropy : float64 [layers, heads]
    moments : mapping by property name to `Moments`
    n_bootstrap, n_permutations : int
        Replicates of the Poisson bootstrap over proteins, and permutations; 0 where none.
    bootstrap, permutations : mappings by property name to `Replicates`
    layers : tuple of int
        Analysed layers, 0-based.
    n_layers, n_heads : int
        Of the model.
    thresholds : tuple of float
    properties : tuple of PropertySpec
    model : dict
        name, digest, dtype and what else is known of it.
    inputs : list of dict
        path, sha256 and bytes of the files read.
    options : dict
        Further options on which the numbers depend (JSON values); results merge only if equal.
    versions, settings : dict of str to tuple of str
        Software, and settings that change no definition (packing, device). Merging unites them.
    analysed, residues : int
        Proteins, and rows of attention (residues) of each head.
    set_aside : sequence of dict
        record (its number in the input, from 0), id, status ("skipped" or "failed"), reason, source
        and line of every other record read, in the input's order.
    notes : sequence of str
        Remarks that a reader of the result should know: on the whole first, then on single records
        in the input's order.
    remarks : RecordLog
        What `set_aside` and the notes on single records are made of.
    general_notes : list of str
    counted : dict of str to int
        Notes that count proteins: text with "{n}" where their number stands.
    unknown : tuple of str or None
        `unknown_properties`, where the background is another corpus's and cannot tell.
    run : list of dict
        What differs from run to run: times, host, threads.
    complete : bool
        False where the analysis was interrupted, or only some of its shards are here.
    shard : ShardParts or None
        Which ones these are; None where the whole input was analysed.
    protein_digests : uint64 [proteins]
        One number for each protein analysed (of its id and sequence), sorted; by them `merge` knows
        a protein again. Those of somebody else's forward passes (`attach`) have none.
    """

    layers: tuple[int, ...]
    n_layers: int
    n_heads: int
    thresholds: tuple[float, ...]
    scalar_threshold: bool
    properties: tuple[PropertySpec, ...]
    weighting: str
    min_arcs: int
    compat: str | None
    model: dict[str, Any]
    totals: Totals
    inputs: list[dict[str, Any]] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    settings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    analysed: int = 0
    residues: int = 0
    remarks: RecordLog = field(default_factory=RecordLog)
    general_notes: list[str] = field(default_factory=list)
    counted: dict[str, int] = field(default_factory=dict)
    unknown: tuple[str, ...] | None = None
    run: list[dict[str, Any]] = field(default_factory=list)
    complete: bool = True
    shard: ShardParts | None = None
    protein_digests: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    n_bootstrap: int = 0
    n_permutations: int = 0

    @classmethod
    def empty(
        cls,
        layers: Sequence[int],
        n_layers: int,
        n_heads: int,
        thresholds: Sequence[float],
        scalar_threshold: bool,
        properties: Sequence[PropertySpec],
        weighting: str = "arcs",
        min_arcs: int = 100,
        compat: str | None = None,
        model: Mapping[str, Any] | None = None,
        inputs: Iterable[Mapping[str, Any]] = (),
        *,
        entropy: bool = False,
        n_bootstrap: int = 0,
        n_permutations: int = 0,
        options: Mapping[str, Any] | None = None,
        **provenance: Any,
    ) -> HeadStatistics:
        """Statistics of no protein yet.

        Parameters
        ----------
        layers, n_layers, n_heads, thresholds, properties, min_arcs, compat, model, inputs, options
            See the attributes. Thresholds are ignored where `weighting` is "attention".
        scalar_threshold : bool
            Leave out the theta axis; needs exactly one threshold.
        weighting : {"arcs", "attention", "both"}
        entropy : bool
            Also keep the entropy of the rows.
        n_bootstrap, n_permutations : int
            Also keep so many bootstrap replicates, and permutations.
        **provenance
            `versions`, `settings`, `run`.

        Raises
        ------
        ArgumentError
            Layers outside the model, two properties of one name, no threshold; a model, inputs or
            options that JSON cannot hold.
        """
        if weighting not in WEIGHTINGS:
            raise ArgumentError(f"weighting: expected one of {WEIGHTINGS}, got {weighting!r}")
        properties, layers = tuple(properties), tuple(int(layer) for layer in layers)
        thresholds = () if weighting == "attention" else tuple(float(t) for t in thresholds)
        scalar_threshold = scalar_threshold and weighting != "attention"
        if not layers or sorted(set(layers) & set(range(n_layers))) != sorted(layers):
            raise ArgumentError(
                f"layers: expected different numbers from 0 to {n_layers - 1}, got {layers}"
            )
        names = [spec.name for spec in properties]
        if len(set(names)) < len(names):
            raise ArgumentError(f"properties: expected every name once, got {', '.join(names)}")
        if weighting != "attention" and not thresholds:
            raise ArgumentError("thresholds: expected at least one, got none")
        if scalar_threshold and len(thresholds) != 1:
            raise ArgumentError(f"thresholds: expected one, got {thresholds}")
        channels = Channels(
            [len(spec.classes) for spec in properties],
            [spec.is_value for spec in properties],
            [spec.is_shifted for spec in properties],
        )
        shapes = Totals.shapes(
            channels, len(thresholds), len(layers), n_heads, weighting, n_bootstrap, n_permutations
        )
        if entropy:
            shapes["entropy"] = (len(layers), n_heads)
        return cls(
            layers,
            n_layers,
            n_heads,
            thresholds,
            scalar_threshold,
            properties,
            weighting,
            min_arcs,
            compat,
            as_json("model", dict(model or {})),
            Totals.zeros(channels, shapes),
            inputs=as_json("inputs", [dict(entry) for entry in inputs]),
            options=as_json("options", dict(options or {})),
            n_bootstrap=n_bootstrap,
            n_permutations=n_permutations,
            **provenance,
        )

    def add(
        self,
        arc_counts: Any | None,  # int64 [S, thetas, layers, heads, K + M K']
        mass: Any | None,  # int64 [S, layers, heads, K + M K']
        entropy: Any | None,  # int64 [S, layers, heads]
        background_num: Any,  # int64 [S, C]
        background_den: Any,  # int64 [S, P]
        query_rows: int,
        digests: Any | None = None,  # uint64 [S]
    ) -> None:
        """Add a batch of S proteins, exactly; nothing has changed when this raises.

        Parameters
        ----------
        arc_counts, mass, entropy : int64 arrays or CPU tensors
            As the kernel accumulates them, with a layer axis; None where not asked for. Behind the
            K channels those of M permutations, K' each (`provis_fast.totals.Channels.shifted`).
        background_num, background_den : int64 arrays
            Each protein's background: numerators of every class column, denominators by property.
        query_rows : int
            Residues of the batch.
        digests : uint64 array, optional
            Of the proteins, by which bootstrap replicates draw them; needed with bootstrap only.

        Raises
        ------
        ArgumentError
            Another shape or dtype, an array missing or not asked for.
        NumericalError
            Totals beyond 128 bits.
        """
        self.analysed += self.totals.add_batch(
            arc_counts, mass, entropy, background_num, background_den, digests
        )
        self.residues += int(query_rows)

    def add_result(self, other: HeadStatistics) -> None:
        """Add the totals of other proteins; nothing has changed when this raises."""
        self.totals.add_(other.totals)
        self.analysed += other.analysed
        self.residues += other.residues

    @property
    def interrupted(self) -> bool:
        """Whether an analysis that this comes from was not finished."""
        if self.shard is not None:
            return bool(self.shard.interrupted)
        return not self.complete

    @property
    def unknown_properties(self) -> list[str]:
        """Properties known for no residue, or no pair of residues, of any analysed protein."""
        if not self.analysed:
            return []
        if self.unknown is not None:
            return list(self.unknown)
        known = self.totals["background_den"].to_float64()
        return [spec.name for spec, n in zip(self.properties, known, strict=True) if not n]

    def index(self, property_name: str) -> int:
        """Position of a property in `properties`; ArgumentError where there is none."""
        return self._by_property("properties", int)[property_name]

    def copy(self) -> HeadStatistics:
        """An independent copy."""
        return replace(
            self,
            totals=self.totals.copy(),
            protein_digests=self.protein_digests.copy(),
            inputs=list(self.inputs),
            remarks=self.remarks.copy(),
            general_notes=list(self.general_notes),
            counted=dict(self.counted),
            run=list(self.run),
            options=dict(self.options),
            versions=dict(self.versions),
            settings=dict(self.settings),
        )

    def equals(self, other: HeadStatistics) -> bool:
        """Whether everything but `run` is the same, totals to the last bit."""
        return (
            self.totals.equals(other.totals)
            and np.array_equal(self.protein_digests, other.protein_digests)
            and all(
                getattr(self, f.name) == getattr(other, f.name)
                for f in fields(self)
                if f.name not in ("totals", "protein_digests", "run")
            )
        )

    def top_heads(
        self,
        property_name: str,
        class_name: str | None = None,
        k: int = 10,
        *,
        threshold: float | None = None,
    ) -> pd.DataFrame:
        """Heads that most favour a property; see `provis_fast.tables.top_heads`."""
        from provis_fast import tables

        return tables.top_heads(self, property_name, class_name, k, threshold=threshold)

    def to_pandas(self) -> pd.DataFrame:
        """One row per layer, head, property, class, statistic and threshold.

        Returns
        -------
        DataFrame
            Columns as in heads.csv (see `provis_fast.storage`), but layer and head are 0-based, as
            everywhere in Python.
        """
        from provis_fast import tables

        return tables.heads_table(self).to_pandas()

    def infer(
        self,
        properties: str | Iterable[str] | None = None,
        *,
        statistic: str | None = None,
        threshold: float | None = None,
        unit: str = "protein",
        clusters: Mapping[str, Any] | str | PathLike[str] | None = None,
        per_protein: str | PathLike[str] | None = None,
        confidence: float = 0.95,
        family: str = "class",
    ) -> pd.DataFrame:
        """Intervals and tests of every head; see `provis_fast.inference.table.infer`."""
        from provis_fast.inference.table import infer

        return infer(
            self,
            properties,
            statistic=statistic,
            threshold=threshold,
            unit=unit,
            clusters=clusters,
            per_protein=per_protein,
            confidence=confidence,
            family=family,
        )

    def save(
        self, folder: str | PathLike[str], per_protein: str | PathLike[str] | None = None
    ) -> None:
        """Write the result, and tables of its proteins, into a folder; see `storage.save`."""
        from provis_fast import storage

        storage.save(self, folder, per_protein)

    def __repr__(self) -> str:
        from provis_fast import tables

        return tables.one_line(self)

    def _repr_html_(self) -> str:
        from provis_fast import tables

        return tables.to_html(self)
