"""``compat="provis"``: arcs and counts as the original code of the paper made them.

It differs from this package's own definitions in these points:

- of every protein the first 510 residues are analysed (512 tokens with two special ones);
- every arc is eligible: a residue whose label is not known counts as negative, and so does a pair
  that is not valid;
- secondary structure is that of all residues, also of those that ``valid_mask`` of a TAPE data set
  hides (``secondary_structure_unmasked``);
- amino-acid classes are the letters of the sequence as they stand, U, Z, O, B and X included;
- for XLNet models, whose special tokens stand at the end, site and modification labels are read one
  place late: a residue has the label of the one before it, and the first has none;
- the background is apart from the arcs: positives / (positives + negatives) over a corpus that may
  be another one, unknown residues left out, and proteins not cut.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

import numpy as np

from provis_fast.errors import ArgumentError, InputError
from provis_fast.fixed128 import Int128
from provis_fast.properties.amino_acid import AminoAcid, AminoAcidPair, AminoAcidQuery
from provis_fast.properties.annotations import Annotation, AnnotationQuery
from provis_fast.properties.base import KeyValueProperty, Property
from provis_fast.properties.batch import background_of
from provis_fast.proteins import Protein, SetAside
from provis_fast.statistics import HeadStatistics

MODES = ("provis",)
_STRUCTURE, _UNMASKED = "secondary_structure", "secondary_structure_unmasked"
_SITES = ("binding_site", "modification")  # padded by the original for a token in front
#: 512 tokens, less the two special ones.
PROVIS_RESIDUES = 510


def provis_properties(properties: Sequence[Property], family: str) -> tuple[Property, ...]:
    """The properties as the original has them: raw letters, secondary structure without mask.

    Parameters
    ----------
    properties : sequence of Property
    family : str
        `Model.family` of the model that is analysed.

    Raises
    ------
    ArgumentError
        A key value property: the original has none, and an unknown value cannot be negative.
    """
    found: list[Property] = []
    for prop in properties:
        if isinstance(prop, KeyValueProperty):
            raise ArgumentError(
                f'properties: {prop.name!r} is a number of each residue, which compat="provis" '
                "does not know; leave it out or leave compat out"
            )
        if isinstance(prop, (AminoAcid, AminoAcidQuery, AminoAcidPair)):
            prop = type(prop)(raw=True, name=prop.name)
        elif isinstance(prop, (Annotation, AnnotationQuery)) and prop.source == _STRUCTURE:
            prop = copy.copy(prop)
            prop.prefer = _UNMASKED
        elif isinstance(prop, (Annotation, AnnotationQuery)) and prop.source in _SITES:
            prop = copy.copy(prop)
            prop.one_late = family == "xlnet"
        found.append(prop)
    return tuple(found)


def pooled_background(
    properties: Sequence[Property], records: Iterable[Protein | SetAside]
) -> tuple[list[int], list[int], list[str]]:
    """Background over whole proteins of a corpus.

    Returns
    -------
    numerators : list of int, one per class of all properties
    denominators : list of int, one per property
    notes : list of str
        Records that could not be used, and why.
    """
    numerators = [0] * sum(prop.n_channels for prop in properties)
    denominators = [0] * len(properties)
    notes = []
    for record in records:
        if isinstance(record, SetAside):
            notes.append(f"background: {record.id} {record.status}: {record.reason}")
            continue
        try:
            of_classes, known = background_of(properties, record)
        except InputError as error:
            notes.append(f"background: {record.id} failed: {error}")
            continue
        numerators = [a + b for a, b in zip(numerators, of_classes.tolist(), strict=True)]
        denominators = [a + b for a, b in zip(denominators, known.tolist(), strict=True)]
    return numerators, denominators, notes


def replace_background(
    statistics: HeadStatistics, numerators: Sequence[int], denominators: Sequence[int]
) -> None:
    """Put a background of its own in the place of that of the analysed proteins."""
    for name, numbers in (("background_num", numerators), ("background_den", denominators)):
        total, new = statistics.totals[name], Int128.from_integers(np.array(numbers, dtype=object))
        total.hi[...], total.lo[...] = new.hi, new.lo
