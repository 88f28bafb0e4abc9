"""``provis-fast analyze``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from provis_fast import storage
from provis_fast.atomic import cannot_write
from provis_fast.cli import INTERRUPTED, output
from provis_fast.cli.progress import ProgressReport, clock
from provis_fast.errors import ArgumentError
from provis_fast.statistics import HeadStatistics


def run(arguments: argparse.Namespace) -> int:
    """Analyse, save and show."""
    target = output.target(arguments.out, arguments.overwrite)
    output.partial_target(arguments.out, arguments.overwrite)
    properties = _properties(arguments)
    if arguments.background is not None and arguments.compat is None:
        raise ArgumentError(
            "--background: expected only with --compat provis; add that, or leave the option out"
        )
    from provis_fast.proteins import load_proteins

    reading = {name: getattr(arguments, name) for name in ("format", "unique", "site_label")}
    proteins = load_proteins(arguments.inputs, **reading)
    background = arguments.background and load_proteins(arguments.background, **reading)
    wanted = dict.fromkeys((*arguments.per_protein, *["arcs"] * arguments.arcs))
    with _room_for_tables(target, tuple(wanted), arguments.weighting) as tables:
        result, interrupted = analyse(
            arguments.model,
            proteins,
            properties,
            arguments.threshold,
            device=arguments.device,
            dtype=arguments.dtype,
            revision=arguments.revision,
            layers=arguments.layers,
            weighting=arguments.weighting,
            max_length=arguments.max_length,
            min_arcs=arguments.min_arcs,
            threads=arguments.threads,
            compat=arguments.compat,
            background=background,
            entropy=arguments.entropy,
            batch_tokens=arguments.batch_tokens,
            **tables,
        )
        for name, value in (reading | {"revision": arguments.revision}).items():
            if value is not None:
                result.settings[name] = (value,)
        place = tables.get("per_protein_folder")
        return finish(result, target, interrupted, arguments.overwrite, place)


_NO_TABLES = (
    "the tables of single proteins that --per-protein asked for are not kept: the analysis was "
    "interrupted, and they are written whole or not at all"
)


@contextmanager
def _room_for_tables(
    target: Path, tables: Sequence[str], weighting: str
) -> Iterator[dict[str, Any]]:
    """Options of `analyze` for tables, which come to stand beside the result; none for none."""
    if not tables:
        yield {}
        return
    if "arcs" in tables and weighting == "attention":
        raise ArgumentError(
            "--per-protein arcs: expected with --weighting arcs or both, got attention, which "
            "knows no arcs"
        )
    try:
        folder = tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise cannot_write(target, error) from error
    with folder as name:
        place = Path(name) / storage.PER_PROTEIN
        yield {"per_protein": tables, "per_protein_folder": place}


def _properties(arguments: argparse.Namespace) -> list[Any]:
    """Properties with the options given for contacts; unknown names are refused here, at once."""
    from provis_fast.properties import Contact, resolve

    properties = resolve(arguments.properties)
    options = {
        name: value
        for name in ("atom", "cutoff", "separation")
        if (value := getattr(arguments, f"contact_{name}")) is not None
    }
    if options and not any(prop.name == "contact" for prop in properties):
        raise ArgumentError(
            f"--contact-{next(iter(options))}: expected contact among --properties, got "
            f"{','.join(arguments.properties)}; add it, or leave the option out"
        )
    return [Contact(**options) if prop.name == "contact" else prop for prop in properties]


def analyse(
    model_name: str,
    proteins: Iterable[Any],
    properties: Sequence[Any],
    threshold: float | tuple[float, ...],
    *,
    device: str = "auto",
    dtype: str = "float32",
    revision: str | None = None,
    layers: tuple[int, ...] | None = None,
    **options: Any,
) -> tuple[HeadStatistics, bool]:
    """Load the model and analyse, with progress on stderr.

    Returns
    -------
    result : HeadStatistics
    interrupted : bool
        Whether Ctrl-C ended it early; the result is then incomplete.
    """
    from provis_fast.engine import analyze
    from provis_fast.models import load_model

    model = load_model(model_name, device=device, dtype=dtype, revision=revision)
    if layers is not None and layers[-1] >= model.n_layers:
        raise ArgumentError(
            f"--layers: {model_name} has layers 1 to {model.n_layers}, got {layers[-1] + 1}"
        )
    interrupted = False
    try:
        with ProgressReport() as progress:
            result = analyze(
                model, proteins, properties, threshold, layers=layers, progress=progress, **options
            )
    except KeyboardInterrupt as error:
        if getattr(error, "partial", None) is None:
            raise
        result, interrupted = error.partial, True
    result.run[-1]["command"] = sys.argv
    return result, interrupted


def finish(
    result: HeadStatistics,
    target: Path,
    interrupted: bool,
    overwrite: bool,
    per_protein: Path | None = None,
) -> int:
    """Save and show a result; an interrupted one beside its place. Returns the exit status."""
    folder = storage.partial_folder(target) if interrupted else target
    lost = interrupted and per_protein is not None
    if lost:  # the tables appear with their last rows
        result.note(_NO_TABLES)
    parts = [] if interrupted or per_protein is None else [per_protein]
    output.save(result, folder, overwrite, parts)
    output.explain(result, folder)
    if interrupted:
        output.tell(
            f"provis-fast: interrupted after {result.analysed:,} proteins; they are kept in "
            f"{folder}, marked incomplete{', without their tables' if lost else ''}"
        )
        return INTERRUPTED
    output.show(result, folder)
    output.tell(f"Analysed in {clock(result.run[-1]['seconds'])}.")
    return output.status(result)
