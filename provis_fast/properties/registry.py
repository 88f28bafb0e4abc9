"""Properties by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable

from provis_fast.errors import ArgumentError
from provis_fast.properties import annotations, columns, physicochemical
from provis_fast.properties.amino_acid import AminoAcid, AminoAcidPair, AminoAcidQuery
from provis_fast.properties.base import Property
from provis_fast.properties.contact import Contact
from provis_fast.properties.separation import Separation

REGISTRY: dict[str, Callable[[], Property]] = {
    "amino_acid": AminoAcid,
    "amino_acid_query": AminoAcidQuery,
    "amino_acid_pair": AminoAcidPair,
    "secondary_structure": annotations.secondary_structure,
    "secondary_structure_query": annotations.secondary_structure_query,
    "author_secondary_structure": annotations.author_secondary_structure,
    "binding_site": annotations.binding_site,
    "site_record": annotations.site_record,
    "modification": annotations.modification,
    "contact": Contact,
    "separation": Separation,
    "hydrophobicity": physicochemical.hydrophobicity,
    "charge": physicochemical.charge,
    "volume": physicochemical.volume,
}


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
