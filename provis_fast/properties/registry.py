"""Properties by name: those of this package, and those that other packages announce.

A property from outside is an entry point of the group ``provis_fast.properties``:

    [project.entry-points."provis_fast.properties"]
    disorder = "my_package.disorder:disorder"

where ``disorder()`` returns a `Property` of that name. docs/extending.md has a complete example.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from provis_fast.announced import loaded, package_of, said_by
from provis_fast.errors import ArgumentError
from provis_fast.properties import annotations, columns, physicochemical, residue_values
from provis_fast.properties.amino_acid import AminoAcid, AminoAcidPair, AminoAcidQuery
from provis_fast.properties.base import Property
from provis_fast.properties.contact import Contact
from provis_fast.properties.separation import Separation

#: Group of entry points by which other packages add properties.
GROUP = "provis_fast.properties"

_BUILT_IN: dict[str, Callable[[], Property]] = {
    "amino_acid": AminoAcid,
    "amino_acid_query": AminoAcidQuery,
    "amino_acid_pair": AminoAcidPair,
    "secondary_structure": annotations.secondary_structure,
    "secondary_structure_query": annotations.secondary_structure_query,
    "author_secondary_structure": annotations.author_secondary_structure,
    "binding_site": annotations.binding_site,
    "site_record": annotations.site_record,
    "modification": annotations.modification,
    "active_site": annotations.active_site,
    "disulfide": annotations.disulfide,
    "cross_link": annotations.cross_link,
    "transmembrane": annotations.transmembrane,
    "signal_peptide": annotations.signal_peptide,
    "transit_peptide": annotations.transit_peptide,
    "domain": annotations.domain,
    "zinc_finger": annotations.zinc_finger,
    "dna_binding": annotations.dna_binding,
    "coiled_coil": annotations.coiled_coil,
    "disordered": annotations.disordered,
    "contact": Contact,
    "solvent_exposure": residue_values.solvent_exposure,
    "buried": residue_values.Buried,
    "plddt": residue_values.plddt,
    "separation": Separation,
    "hydrophobicity": physicochemical.hydrophobicity,
    "charge": physicochemical.charge,
    "volume": physicochemical.volume,
}


class _Registry(Mapping[str, Callable[[], Property]]):
    """Makers of properties by name; one from outside is imported when it is asked for.

    Raises
    ------
    ArgumentError
        By indexing and calling, where another package's property cannot be loaded, is no property,
        or has a name that is taken; the message names the package.
    """

    def __getitem__(self, name: str) -> Callable[[], Property]:
        if name in _BUILT_IN:
            return _BUILT_IN[name]
        points = _announced()[name]
        if len(points) > 1:
            packages = " and ".join(map(package_of, points))
            raise ArgumentError(
                f"properties: {name!r} is announced by {packages}; remove one of them"
            )
        return lambda: _from_outside(points[0])

    def __contains__(self, name: object) -> bool:
        return name in _BUILT_IN or name in _announced()

    def __iter__(self) -> Iterator[str]:
        yield from _BUILT_IN
        for name, points in _announced().items():
            if name in _BUILT_IN:
                raise ArgumentError(
                    f"properties: {name!r} is one of provis_fast's own, and "
                    f"{package_of(points[0])} announces another; remove that package, or have it "
                    "renamed"
                )
            yield name

    def __len__(self) -> int:
        return len(list(iter(self)))


#: Functions that make each property with its default options.
REGISTRY: Mapping[str, Callable[[], Property]] = _Registry()


@cache
def _announced() -> dict[str, list[EntryPoint]]:
    """Entry points of other packages, by name in sorted order."""
    found: dict[str, list[EntryPoint]] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        found.setdefault(point.name, []).append(point)
    return found


def _from_outside(point: EntryPoint) -> Property:
    found = loaded(point, call=True)
    if not isinstance(found, Property) or found.name != point.name:
        raise ArgumentError(
            f"{said_by(point)}: expected a function that returns a provis_fast Property of that "
            f"name, got {found!r:.80}"
        )
    return found


def resolve(properties: str | Property | Iterable[str | Property]) -> tuple[Property, ...]:
    """Turn names into properties.

    Parameters
    ----------
    properties : str, Property, or iterable of both
        Names of `REGISTRY`, names of columns (`provis_fast.properties.columns`), or properties as
        they are. May be empty: arcs alone are counted then.

    Returns
    -------
    tuple of Property
        In the order given.

    Raises
    ------
    ArgumentError
        An unknown name, a name that comes twice, more than one separation property, or something
        that is no property.
    """
    if isinstance(properties, (str, Property)):
        properties = (properties,)
    if not isinstance(properties, Iterable):
        raise ArgumentError(
            f"properties: expected names or properties, got {properties!r:.60}; "
            "() counts arcs alone"
        )
    found: list[Property] = []
    for entry in properties:
        if isinstance(entry, str) and columns.is_column(entry):
            entry = columns.from_name(entry)
        if isinstance(entry, str):
            if entry not in REGISTRY:
                near = difflib.get_close_matches(entry, REGISTRY, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ArgumentError(
                    f"properties: expected one of {', '.join(REGISTRY)}, label:NAME or value:NAME, "
                    f"got {entry!r}{hint}"
                )
            entry = REGISTRY[entry]()
        if not isinstance(entry, Property):
            raise ArgumentError(
                f"properties: expected names or properties, got {type(entry).__name__}"
            )
        if any(entry.name == other.name for other in found):
            raise ArgumentError(f"properties: expected distinct names, got {entry.name!r} twice")
        found.append(entry)
    if sum(isinstance(entry, Separation) for entry in found) > 1:
        raise ArgumentError("properties: expected at most one separation property; pass one")
    return tuple(found)
