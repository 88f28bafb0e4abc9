"""Which figures a result has."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from provis_fast.atomic import replaced_file
from provis_fast.errors import ArgumentError, ResultError
from provis_fast.figures import amino_acid_maps, best_heads, by_layer, head_maps, profiles
from provis_fast.figures.captions import caption
from provis_fast.figures.numbers import check
from provis_fast.figures.saving import FORMATS, save
from provis_fast.proteins.record import AMINO_ACIDS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from provis_fast.head_arrays import PropertySpec
    from provis_fast.statistics import HeadStatistics

_log = logging.getLogger(__name__)

#: Properties of up to so many classes get figures of every class.
FEW_CLASSES = 8
#: Written beside the figures.
CAPTIONS = "captions.txt"


class Planned(NamedTuple):
    """A figure that can be made.

    Attributes
    ----------
    name : str
        Of its file, without the ending; letters, digits, "_", "-" and ".".
    property : str or None
        None where it is about no single one.
    class_name : str or None
    make : callable
        Makes the figure; ResultError where the numbers do not suffice.
    """

    name: str
    property: str | None
    class_name: str | None
    make: Callable[[], Figure]


def planned(result: HeadStatistics, properties: Iterable[str] | None = None) -> list[Planned]:
    """Figures of a result, in the order of a paper.

    Parameters
    ----------
    result : HeadStatistics
    properties : iterable of str, optional
        Default all of the result's that are known for some residue.

    Raises
    ------
    ArgumentError
        A property that the result does not have.
    ResultError
        No protein was analysed, or a property that was asked for is known nowhere.
    """
    check(result)
    specs = _chosen(result, properties)
    found = []
    if result.weighting != "attention":
        found.append(Planned("arcs_per_head", None, None, partial(head_maps.arcs_per_head, result)))
    for spec in specs:
        found += _of_property(result, spec)
    by_layers = [
        spec.name
        for spec in specs
        if not spec.is_value
        and spec.kind != "separation"
        and len(spec.classes) <= by_layer.MOST_CLASSES
    ]
    if by_layers:
        make = partial(by_layer.layers, result, None if properties is None else by_layers)
        found.append(Planned("layers", None, None, make))
    return _with_own_names(found)


def save_all(
    result: HeadStatistics,
    folder: str | PathLike[str],
    formats: Sequence[str] = ("png",),
    properties: Iterable[str] | None = None,
    *,
    captions: bool = True,
    overwrite: bool = False,
) -> list[Path]:
    """Write every figure of a result into a folder, which is made where there is none.

    Their captions are written there as well, into captions.txt. A figure for which the numbers do
    not suffice (no head with enough arcs) is left out, and the log says so.

    Parameters
    ----------
    result : HeadStatistics
    folder : str or path
    formats : sequence of {"png", "svg", "pdf"}
    properties : iterable of str, optional
        Default all that are known.
    captions : bool
        Draw the captions below the figures.
    overwrite : bool
        Replace files of the same names.

    Returns
    -------
    list of Path
        Of the files, in the order of `planned`.

    Raises
    ------
    ArgumentError
        An unknown format or property.
    ResultError
        Files that stand there already, a folder that cannot be written, or nothing to draw.
    """
    formats = (formats,) if isinstance(formats, str) else tuple(formats)
    if not formats or set(formats) - set(FORMATS):
        raise ArgumentError(f"formats: expected some of {', '.join(FORMATS)}, got {formats!r}")
    plan = planned(result, properties)
    folder = Path(fspath(folder))
    files = {entry.name: [folder / f"{entry.name}.{kind}" for kind in formats] for entry in plan}
    made = [path for paths in files.values() for path in paths] + [folder / CAPTIONS]
    standing = [path for path in made if path.exists()]
    if standing and not overwrite:
        raise ResultError(
            f"{folder}: holds earlier figures ({standing[0].name}); give another folder, or "
            "replace them with overwrite=True (--overwrite)"
        )
    written: list[Path] = []
    told: list[str] = []
    for entry in plan:
        try:
            figure = entry.make()
        except ResultError as error:
            _log.warning("%s: left out. %s", entry.name, error)
            continue
        written += [save(figure, path, caption=captions) for path in files[entry.name]]
        told.append(f"{entry.name}: {caption(figure)}\n")
    if not written:
        raise ResultError("no figure could be drawn: see the log for what each one lacks")
    with replaced_file(folder / CAPTIONS) as place:
        place.write_text("\n".join(told), encoding="utf-8")
    return written


def _chosen(result: HeadStatistics, properties: Iterable[str] | None) -> list[PropertySpec]:
    unknown = result.unknown_properties
    if properties is None:
        return [spec for spec in result.properties if spec.name not in unknown]
    names = (properties,) if isinstance(properties, str) else tuple(properties)
    specs = [result.properties[result.index(name)] for name in names]
    for name in names:
        if name in unknown:
            raise ResultError(f"{name}: known for no residue of this result's proteins")
    return specs


def _of_property(result: HeadStatistics, spec: PropertySpec) -> list[Planned]:
    found = []
    if spec.kind == "separation":
        make = partial(profiles.separation, result, property_name=spec.name)
        found.append(Planned(spec.name, spec.name, None, make))
        found.append(_planned(best_heads.top_heads, result, spec, None))
    elif set(AMINO_ACIDS) <= set(spec.classes):
        for make in (amino_acid_maps.amino_acids, amino_acid_maps.similarity):
            name = f"{make.__name__}-{spec.name}"
            found.append(Planned(name, spec.name, None, partial(make, result, spec.name)))
        found.append(_planned(best_heads.top_heads, result, spec, None))
    elif len(spec.classes) <= FEW_CLASSES:
        makers = [head_maps.heat_map, best_heads.top_heads]
        makers += [profiles.thresholds] * (len(result.thresholds) > 1)
        found += [
            _planned(make, result, spec, class_name)
            for class_name in spec.classes
            for make in makers
        ]
    else:
        found.append(_planned(best_heads.top_heads, result, spec, None))
    return found


def _with_own_names(plan: list[Planned]) -> list[Planned]:
    """Names told apart by a number where two are the same but for letters that files cannot have,
    or for capitals, which some file systems ignore."""
    taken: set[str] = set()
    found = []
    for entry in plan:
        name, number = entry.name, 1
        while name.lower() in taken:
            number += 1
            name = f"{entry.name}-{number}"
        taken.add(name.lower())
        found.append(entry._replace(name=name))
    return found


def _planned(
    make: Callable[..., Figure], result: HeadStatistics, spec: PropertySpec, class_name: str | None
) -> Planned:
    parts = [make.__name__, spec.name]
    if class_name is not None and len(spec.classes) > 1:
        parts.append(re.sub(r"[^A-Za-z0-9_.\-]+", "_", class_name))
    return Planned(
        "-".join(parts), spec.name, class_name, partial(make, result, spec.name, class_name)
    )
