"""The amino-acid chains of a structure: full sequence, and which residue stands where in it.

The sequence is that of the polymer as it was in the sample (mmCIF entity, PDB SEQRES), so that
residues without coordinates keep their place. Where a file does not tell it, it is put together
from the residues that have coordinates, and gaps in their numbering are filled with X (see
`numbering`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import gemmi
import numpy as np

from provis_fast.errors import InputError
from provis_fast.proteins.atoms import BACKBONE, NO_NUMBER, ModelAtoms
from provis_fast.proteins.numbering import place_by_author_numbers, place_by_label_numbers

#: Columns of a backbone.
N, CA, C, O, CB = range(5)  # noqa: E741

_PEPTIDES = (gemmi.PolymerType.PeptideL, gemmi.PolymerType.PeptideD)
#: Share of resolved residues that must fit the file's own sequence.
_MIN_ALIGNED = 0.9
#: Coordinates beyond this are an error of the file (Angstrom).
_FARTHEST = 1e6


class Places(NamedTuple):
    """Where the residues of a model stand in one chain's sequence: what labels need of a chain.

    Attributes
    ----------
    name : str
        The author's chain name.
    resolved : ndarray, bool [L]
        Which residues of the sequence have coordinates.
    rows : ndarray, int64 [M]
        Rows of residues in the model's `ModelAtoms`, alternative residues included.
    places : ndarray, int64 [M]
        Places of these in the sequence.
    position_of : dict
        Place by author number (the text of number and insertion code).
    """

    name: str
    resolved: np.ndarray
    rows: np.ndarray
    places: np.ndarray
    position_of: dict[str, int]

    def row_of_place(self) -> np.ndarray:
        """Row of each residue of the sequence, int64 [L]; of alternatives the first, -1 if none."""
        rows = np.full(len(self.resolved), -1, dtype=np.int64)
        rows[self.places[::-1]] = self.rows[::-1]
        return rows


@dataclass
class Chain:
    """One amino-acid polymer of the first model.

    Attributes
    ----------
    name : str
        The author's chain name.
    subchain : str
        Name of the polymer alone, without the ligands and waters that share the chain's name.
    sequence : str
        One letter per residue.
    components : list of str
        Three-letter codes, one per residue; "" where a gap was filled.
    residues : list of gemmi.Residue or None
        Coordinates of each residue; None where unresolved. Of alternative residues at one place,
        the first.
    numbers : list of str
        Author numbers with insertion codes, one per residue; "" where unresolved.
    position_of : dict
        Position in the sequence by author number (the text of number and insertion code).
    rows, places : list of int
        Residues that have a position in the sequence, alternative ones included: their rows in the
        model's `ModelAtoms`, and these positions.
    notes : list of str
        What does not fit.
    """

    name: str
    subchain: str
    sequence: str
    components: list[str]
    residues: list[gemmi.Residue | None]
    numbers: list[str]
    position_of: dict[str, int]
    rows: list[int]
    places: list[int]
    notes: list[str]

    def __post_init__(self) -> None:
        self.resolved = np.array([r is not None for r in self.residues], dtype=bool)

    def where(self) -> Places:
        """Where the residues of the model stand in the sequence."""
        return Places(
            self.name,
            self.resolved,
            np.array(self.rows, dtype=np.int64),
            np.array(self.places, dtype=np.int64),
            self.position_of,
        )

    def forget(self, gone: np.ndarray) -> np.ndarray:
        """Take some residues as unresolved.

        Parameters
        ----------
        gone : ndarray, bool [L]
            Which.

        Returns
        -------
        ndarray, int64
            Rows that they had in the model's `ModelAtoms`.
        """
        rows, places = np.array(self.rows, np.int64), np.array(self.places, np.int64)
        lost = gone[places]
        self.rows, self.places = rows[~lost].tolist(), places[~lost].tolist()
        self.position_of = {text: p for text, p in self.position_of.items() if not gone[p]}
        self.residues = [
            None if g else r for g, r in zip(gone.tolist(), self.residues, strict=True)
        ]
        self.resolved = self.resolved & ~gone
        return rows[lost]

    def backbone(self, atoms: ModelAtoms) -> np.ndarray:
        """Return N, CA, C, O, CB, float32 [L, 5, 3] in Angstrom, NaN where missing."""
        found = atoms.backbone[self.where().row_of_place()]
        xyz = atoms.position[found]
        xyz[found < 0] = np.nan
        alternatives = ((found >= 0) & (atoms.altloc[found] != 0)).any(axis=1)
        for place in np.flatnonzero(alternatives):
            residue = self.residues[place]
            conformer = main_conformer(residue)
            for column, name in enumerate(BACKBONE):
                atom = _atom_of(residue, name, conformer)
                xyz[place, column] = np.nan if atom is None else atom.pos.tolist()
        if np.nanmax(np.abs(xyz), initial=0.0) > _FARTHEST:
            raise InputError(f"chain {self.name}: a coordinate is beyond {_FARTHEST:.0f} Angstrom")
        return xyz.astype(np.float32)


def main_conformer(residue: gemmi.Residue) -> str:
    """Return the alternative location of highest occupancy, the first of several equal ones."""
    occupancy: dict[str, float] = {}
    for atom in residue:
        if atom.altloc != "\0":
            occupancy[atom.altloc] = max(occupancy.get(atom.altloc, 0.0), atom.occ)
    return max(sorted(occupancy), key=lambda location: occupancy[location])


def _atom_of(residue: gemmi.Residue, name: str, conformer: str) -> gemmi.Atom | None:
    # find_atom with a location also finds atoms that have no alternatives.
    return residue.find_atom(name, conformer) or residue.find_atom(name, "*")


def one_letter(component: str, parents: dict[str, str]) -> str:
    """Return the letter of a residue, that of its parent if it is modified, X if there is none.

    Parameters
    ----------
    component : str
        Three-letter code.
    parents : dict
        Parents of modified residues that the file itself declares.
    """
    for name in (component, parents.get(component, "")):
        letter = gemmi.find_tabulated_residue(name).one_letter_code if name else " "
        if letter != " ":
            return letter.upper()
    return "X"


def is_amino_acid(component: str) -> bool:
    """Tell whether a three-letter code is tabulated as an amino acid."""
    return gemmi.find_tabulated_residue(component).is_amino_acid()


def declared_parents(structure: gemmi.Structure) -> dict[str, str]:
    """Return the parent of each modified residue, from MODRES or _pdbx_struct_mod_residue."""
    return {m.res_id.name: m.parent_comp_id for m in structure.mod_residues if m.parent_comp_id}


def read_chains(structure: gemmi.Structure, atoms: ModelAtoms) -> list[Chain]:
    """Find the amino-acid chains of the first model.

    Parameters
    ----------
    structure : gemmi.Structure
        With entities set up.
    atoms : ModelAtoms
        Its first model.

    Returns
    -------
    list of Chain
        In the file's order.

    Raises
    ------
    InputError
        If the coordinates do not fit the sequence that the file gives.
    """
    parents = declared_parents(structure)
    found = [
        polymer
        for index, gemmi_chain in enumerate(structure[0])
        for polymer in _polymers(structure, gemmi_chain, atoms.first_row(index))
    ]
    # Every chain by author before any is aligned: gemmi aligns all that have no label_seq yet.
    numbered = [_number_by_author(polymer) for polymer in found]
    if not all(numbered):
        structure.assign_label_seq_id()
    return [_chain(polymer, atoms, parents) for polymer in found]


class _Polymer(NamedTuple):
    """An amino-acid polymer as gemmi has it: its residues, and their rows in the model."""

    name: str
    subchain: str
    entity: gemmi.Entity
    rows: list[int]
    residues: list[gemmi.Residue]


def _polymers(
    structure: gemmi.Structure, gemmi_chain: gemmi.Chain, first_row: int
) -> Iterator[_Polymer]:
    spans = list(gemmi_chain.subchains())  # one after the other they are the whole chain
    parts: dict[str, list[tuple[int, gemmi.ResidueSpan]]] = {}
    row = first_row
    for span in spans:
        parts.setdefault(span.subchain_id(), []).append((row, span))
        row += len(span)
    for span in spans:
        entity = structure.get_entity_of(span)
        if entity is None or entity.entity_type != gemmi.EntityType.Polymer:
            continue
        if _is_peptide(span, entity):
            subchain = span.subchain_id()
            rows: list[int] = []
            residues: list[gemmi.Residue] = []
            for begin, part in parts[subchain]:
                rows.extend(range(begin, begin + len(part)))
                residues.extend(part)
            yield _Polymer(gemmi_chain.name, subchain, entity, rows, residues)


def _is_peptide(span: gemmi.ResidueSpan, entity: gemmi.Entity) -> bool:
    if entity.polymer_type != gemmi.PolymerType.Unknown:
        return entity.polymer_type in _PEPTIDES
    if span.check_polymer_type() in _PEPTIDES:
        return True
    return 2 * sum(is_amino_acid(residue.name) for residue in span) > len(span)


def _chain(polymer: _Polymer, atoms: ModelAtoms, parents: dict[str, str]) -> Chain:
    name, subchain, entity, rows, residues = polymer
    author_numbers = atoms.number[rows].tolist()
    if NO_NUMBER in author_numbers:
        raise InputError(f"chain {name}: a residue has no number")
    notes: list[str] = []
    labels = [residue.label_seq for residue in residues]
    if entity.full_sequence:
        components = [gemmi.Entity.first_mon(item) for item in entity.full_sequence]
        places = _places_in_sequence(name, residues, labels, components, notes)
    else:
        if None not in labels:
            places = place_by_label_numbers(residues, labels, author_numbers, notes)
        else:
            places = place_by_author_numbers(residues, notes)
        components = [""] * (max(p for p in places if p is not None) + 1)
        for residue, place in zip(residues, places, strict=True):
            if place is not None and not components[place]:
                components[place] = residue.name
    resolved: list[gemmi.Residue | None] = [None] * len(components)
    numbers = [""] * len(components)
    position_of: dict[str, int] = {}
    placed_rows, placed = [], []
    texts = atoms.numbers_of(rows)
    for row, residue, text, place in zip(rows, residues, texts, places, strict=True):
        if place is not None:
            placed_rows.append(row)
            placed.append(place)
            position_of.setdefault(text, place)
            if resolved[place] is None:
                resolved[place], numbers[place] = residue, text
    letters = {c: one_letter(c, parents) if c else "X" for c in set(components)}
    return Chain(
        name,
        subchain,
        "".join([letters[c] for c in components]),
        components,
        resolved,
        numbers,
        position_of,
        placed_rows,
        placed,
        notes,
    )


def _number_by_author(polymer: _Polymer) -> bool:
    """Set label_seq from author numbers, if these fit SEQRES with one shift and without exception.

    They say where residues are missing; an alignment cannot, beside a repeat (GSGSGS).

    Returns
    -------
    bool
        False, and nothing set, if no shift fits, or several do and none starts SEQRES at 1. True
        also where the file has no SEQRES, or label_seq itself.
    """
    _, _, entity, _, residues = polymer
    if not entity.full_sequence or None not in [residue.label_seq for residue in residues]:
        return True
    if any(residue.seqid.num is None for residue in residues):
        return False
    components = [gemmi.Entity.first_mon(item) for item in entity.full_sequence]
    numbers = np.array([residue.seqid.num for residue in residues])
    if any(residue.seqid.icode != " " for residue in residues) or (np.diff(numbers) <= 0).any():
        return False
    names = np.array([residue.name for residue in residues])
    sequence = np.array(components)
    # A shift turns an author number into an index of the sequence.
    shifts = [
        shift
        for shift in range(-int(numbers[0]), len(components) - int(numbers[-1]))
        if (sequence[numbers + shift] == names).all()
    ]
    if len(shifts) != 1 and -1 not in shifts:
        return False
    shift = shifts[0] if len(shifts) == 1 else -1
    for residue in residues:
        residue.label_seq = residue.seqid.num + shift + 1
    return True


def _places_in_sequence(
    name: str,
    residues: list[gemmi.Residue],
    labels: list[int | None],
    components: list[str],
    notes: list[str],
) -> list[int | None]:
    """Return the places that label_seq tells, after checking that they fit the sequence."""
    places = [None if label is None else label - 1 for label in labels]
    outside = [p + 1 for p in places if p is not None and not 0 <= p < len(components)]
    if outside:
        raise InputError(
            f"chain {name}: residue number {outside[0]} is outside its sequence of "
            f"{len(components)} residues"
        )
    aligned = len(places) - places.count(None)
    if aligned < _MIN_ALIGNED * len(residues):
        raise InputError(
            f"chain {name}: only {aligned} of {len(residues)} residues with coordinates fit the "
            "sequence given in the file (SEQRES or entity)"
        )
    if aligned < len(residues):
        lost = [str(r) for r, place in zip(residues, places, strict=True) if place is None]
        notes.append(
            f"{len(lost)} residues with coordinates are not in the file's own sequence and were "
            f"left out: {', '.join(lost[:5])}{', ...' if len(lost) > 5 else ''}"
        )
    first_at: dict[int, str] = {}
    for residue, place in zip(residues, places, strict=True):
        if place is not None:
            first_at.setdefault(place, residue.name)
    other = [p for p, n in first_at.items() if n != components[p]]
    if other:
        notes.append(
            f"{len(other)} residues differ from the file's own sequence, first at position "
            f"{other[0] + 1}: {first_at[other[0]]} instead of {components[other[0]]}"
        )
    return places
