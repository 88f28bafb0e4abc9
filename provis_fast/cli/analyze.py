"""``provis-fast analyze``."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provis_fast import checkpoint, storage
from provis_fast.cli import INTERRUPTED, json_log, output
from provis_fast.cli.json_log import JsonLog
from provis_fast.cli.progress import ProgressReport, clock
from provis_fast.cli.reading_options import inputs, reading_options
from provis_fast.errors import ArgumentError, ResultError
from provis_fast.events import Event
from provis_fast.identity import differences, fingerprint
from provis_fast.per_protein import folders
from provis_fast.statistics import HeadStatistics

if TYPE_CHECKING:
    from provis_fast.models import Model


def run(arguments: argparse.Namespace) -> int:
    """Analyse, save and show; or go on with what an earlier call has begun."""
    log = json_log.opened(arguments.log_json)
    if log is None:
        return _run(arguments, None)
    with log:
        return log.exits(_run(arguments, log))


def _run(arguments: argparse.Namespace, log: JsonLog | None) -> int:
    logging.getLogger(checkpoint.__name__).setLevel(logging.INFO)  # it says where it goes on
    target = storage.check_writable(arguments.out)
    anew = arguments.overwrite or arguments.no_resume
    partial = output.partial_target(arguments.out, anew)
    properties = _properties(arguments)
    if arguments.background is not None and arguments.compat is None:
        raise ArgumentError(
            "--background: expected only with --compat provis; add that, or leave the option out"
        )
    from provis_fast.proteins import load_proteins

    reading = reading_options(arguments)
    proteins = load_proteins(inputs(arguments), **reading)
    background = arguments.background and load_proteins(arguments.background, **reading)
    per_protein = tuple(dict.fromkeys((*arguments.per_protein, *["arcs"] * arguments.arcs)))
    if "arcs" in per_protein and arguments.weighting == "attention":
        raise ArgumentError(
            "--per-protein arcs: expected with --weighting arcs or both, got attention, which "
            "knows no arcs"
        )
    device, devices = _devices(arguments)
    model = load(arguments, device)
    given = (model, proteins, properties, arguments.threshold)
    options = {
        "layers": arguments.layers,
        "weighting": arguments.weighting,
        "max_length": arguments.max_length,
        "min_arcs": arguments.min_arcs,
        "compat": arguments.compat,
        "background": background,
        "entropy": arguments.entropy,
        "bootstrap": arguments.bootstrap,
        "permutations": arguments.permutations,
        "batch_tokens": arguments.batch_tokens,
        "shard": arguments.shard,
        "devices": devices,
    }
    settings = {k: v for k, v in reading.items() if v is not None}
    if arguments.revision is not None:
        settings["revision"] = arguments.revision
    if not arguments.overwrite and (target / "manifest.json").exists():
        from provis_fast.engine import describe

        wanted = describe(*given, **options)
        _add_settings(wanted, settings)
        return _show_earlier(target, wanted, per_protein)
    given_as = ("threads", "engine", "workers", "readers", "profile")
    options |= {name: getattr(arguments, name) for name in given_as}
    options |= {
        "log": log,
        "checkpoint": partial,
        "checkpoint_seconds": arguments.checkpoint_seconds,
    }
    tables = []
    if per_protein:  # on their way into the result they stand beside their rows
        tables = [partial / checkpoint.SPOOL / storage.PER_PROTEIN]
        options |= {"per_protein": per_protein, "per_protein_folder": tables[0]}
    result, interrupted = _go_on(given, options, arguments)
    _add_settings(result, settings)
    return finish(result, target, interrupted, arguments.overwrite, tables)


def _devices(arguments: argparse.Namespace) -> tuple[str, tuple[str, ...] | None]:
    """Device of the model here, and devices of the workers: these load models of their own."""
    names = tuple(part.strip() for part in arguments.device.split(","))
    alone = arguments.engine in (None, "serial") and arguments.workers is None and len(names) == 1
    if alone or names == ("auto",):
        return arguments.device, None
    return "cpu", names


def _add_settings(result: HeadStatistics, settings: dict[str, Any]) -> None:
    """What the command line knows of how proteins and model were read."""
    for name, value in settings.items():
        result.settings[name] = (str(value),)


def _go_on(
    given: Sequence[Any], options: dict[str, Any], arguments: argparse.Namespace
) -> tuple[HeadStatistics, bool]:
    """Analyse; what is left of another run is in the way only where nothing may be replaced."""
    try:
        return analyse(*given, resume=not arguments.no_resume, **options)
    except checkpoint.OtherRunError:
        if not arguments.overwrite:
            raise
        return analyse(*given, resume=False, **options)


def _show_earlier(target: Path, wanted: HeadStatistics, per_protein: Sequence[str]) -> int:
    """Show a result that stands in the folder already, if it is that of this very run.

    Raises
    ------
    ResultError
        It is another run's; the message lists what differs.
    """
    earlier = storage.load(target, allow_partial=True)
    there = folders.tables(target / storage.PER_PROTEIN)
    now = folders.all_tables(per_protein)
    if lines := differences(fingerprint(earlier, there), fingerprint(wanted, now), "there", "now"):
        raise ResultError(
            f"--out: {target} holds an earlier result, of another run, which differs in\n"
            + "\n".join(lines)
            + "\nGive another folder, or replace that result with --overwrite"
        )
    output.tell(
        f"provis-fast: {target} holds the result of this run already; nothing is analysed again. "
        "To do so, use --overwrite"
    )
    _remove(storage.partial_folder(target))
    output.explain(earlier, target)
    output.show(earlier, target)
    return output.status(earlier)


def _remove(partial: Path) -> None:
    """Delete what a finished run needed on its way."""
    try:
        storage.remove_partial(partial)
    except (OSError, ResultError) as error:
        output.tell(f"note: {partial} is of no use any more, but cannot be deleted ({error})")


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


def load(arguments: argparse.Namespace, device: str) -> Model:
    """The model of the command line, on a device.

    Raises
    ------
    ArgumentError
        It has fewer layers than --layers asks for.
    """
    from provis_fast.models import load_model

    model = load_model(
        arguments.model,
        device=device,
        dtype=arguments.dtype,
        revision=arguments.revision,
    )
    layers = arguments.layers
    if layers is not None and layers[-1] >= model.n_layers:
        raise ArgumentError(
            f"--layers: {arguments.model} has layers 1 to {model.n_layers}, got {layers[-1] + 1}"
        )
    return model


def analyse(
    model: Model,
    proteins: Iterable[Any],
    properties: Sequence[Any],
    threshold: float | tuple[float, ...],
    log: JsonLog | None = None,
    **options: Any,
) -> tuple[HeadStatistics, bool]:
    """Analyse, with progress on stderr, or a log in its place.

    Returns
    -------
    result : HeadStatistics
    interrupted : bool
        Whether Ctrl-C ended it early; the result is then incomplete.
    """
    from provis_fast.engine import analyze

    interrupted = False
    try:
        with ProgressReport() as progress:
            listeners = [] if log is not None and log.on_stderr else [progress.listen]
            if log is not None:
                listeners.append(log.listen)

            def tell(event: Event) -> None:
                for listen in listeners:
                    listen(event)

            result = analyze(model, proteins, properties, threshold, events=tell, **options)
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
    per_protein: Sequence[Path] = (),
) -> int:
    """Save and show a result; an interrupted one beside its place. Returns the exit status."""
    partial = storage.partial_folder(target)
    if interrupted:
        output.save_partial(result, partial)
        output.explain(result, partial)
        more = "; the same command goes on" if (partial / checkpoint.FILE).exists() else ""
        output.tell(
            f"provis-fast: interrupted after {result.analysed:,} proteins; they are kept in "
            f"{partial}, marked incomplete{more}"
        )
        return INTERRUPTED
    output.save(result, target, overwrite, per_protein)
    _remove(partial)
    output.explain(result, target)
    output.show(result, target)
    output.tell(f"Analysed in {clock(sum(session['seconds'] for session in result.run))}.")
    return output.status(result)
