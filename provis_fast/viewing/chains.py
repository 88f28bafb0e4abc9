"""What a view knows of each chain: numbering, coordinates, contacts and annotation tracks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from provis_fast.errors import ArgumentError, InputError
from provis_fast.properties.contact import Contact
from provis_fast.properties.listed_contacts import contact_pairs
from provis_fast.proteins.formats import Reading
from provis_fast.proteins.record import SECONDARY_STRUCTURE_CLASSES, Protein
from provis_fast.proteins.structure import Entry

#: Labels that become tracks, in this order, and their classes. Those of one class are 1 where a
#: residue has it and 0 where it has not; the others are the index of the class.
_CLASSES = {
    "secondary_structure": SECONDARY_STRUCTURE_CLASSES,
    "author_secondary_structure": SECONDARY_STRUCTURE_CLASSES,
    "binding_site": ("binding_site",),
    "site_record": ("site_record",),
    "modification": ("modification",),
}
#: What every structure is searched for, and what it means where nothing is known.
_SEARCHED = {
    "secondary_structure": "secondary structure is not known: there is no backbone",
    "binding_site": "binding sites are not known: no ligand touches it, water and buffer apart",
    "modification": "modifications are not known",
}
#: Lower bounds of AlphaFold's four classes of confidence (Tunyasuvunakool et al., Nature 596, 590,
#: 2021), and their names.
_CONFIDENCE = (50.0, 70.0, 90.0)
_CONFIDENCE_CLASSES = ("very low", "low", "confident", "very high")
#: Positions are uint16 in the page.
MAX_RESIDUES = 1 << 16


@dataclass(frozen=True, eq=False)
class Track:
    """Labels along a sequence.

    Attributes
    ----------
    name : str
    classes : tuple of str
    labels : ndarray, int16 [L]
        Index of the class; of a single class 1 where the residue has it and 0 where not. -1 where
        unknown.
    """

    name: str
    classes: tuple[str, ...]
    labels: np.ndarray


@dataclass(frozen=True, eq=False)
class ViewChain:
    """One chain of a view; L residues, those without coordinates included.

    Attributes
    ----------
    id : str
        The author's name; "A.B" (author.label) of a second polymer of the same name.
    label_asym : str
        The label name, by which the page finds the chain in the structure.
    protein : Protein
        Its ``ca`` and ``cb`` are NaN where a residue counts as unresolved.
    numbers : list of str
        Author numbers with insertion codes; "" where unresolved.
    residues : list of str
        Three-letter codes; "UNK" where a gap was filled.
    ca : ndarray, float32 [L, 3]
        Where arcs are drawn to, in Angstrom; NaN where there is no C-alpha.
    known : ndarray, bool [L]
        Residues whose contacts are known.
    contacts : ndarray, int32 [N, 2]
        Pairs i < j in contact, ascending.
    tracks : tuple of Track
    """

    id: str
    label_asym: str
    protein: Protein
    numbers: list[str]
    residues: list[str]
    ca: np.ndarray
    known: np.ndarray
    contacts: np.ndarray
    tracks: tuple[Track, ...]

    def __len__(self) -> int:
        """Return the number of residues."""
        return len(self.protein)

    def eligible(self, query: np.ndarray, key: np.ndarray, separation: int) -> np.ndarray:
        """Which pairs can be told to be a contact or none; bool [N]."""
        apart = np.abs(query.astype(np.int64) - key)
        return self.known[query] & self.known[key] & (apart >= separation)

    def in_contact(self, query: np.ndarray, key: np.ndarray) -> np.ndarray:
        """Which pairs are in contact, bool [N]."""
        n = len(self)
        first, second = np.minimum(query, key), np.maximum(query, key)
        return np.isin(
            first.astype(np.int64) * n + second,
            self.contacts[:, 0].astype(np.int64) * n + self.contacts[:, 1],
        )

    def n_pairs(self, separation: int) -> int:
        """Ordered pairs whose contact is known: the denominator of the background."""
        known = self.known.astype(np.int64)
        below = np.cumsum(known)[
            : max(0, len(self) - separation)
        ]  # known residues up to i - separation
        return 2 * int((below * known[separation:]).sum())


def chosen(entry: Entry, names: Sequence[str] | None, path: Path) -> list[int]:
    """Indices of the chains to view.

    Parameters
    ----------
    entry : Entry
    names : sequence of str or None
        Author names, or those of `Entry.names`; None for all.
    path : Path
        For messages.

    Raises
    ------
    ArgumentError
        The structure has no such chain.
    """
    if names is None:
        return list(range(len(entry.chains)))
    picked: set[int] = set()
    for name in names:
        found = {
            index
            for index, (own, chain) in enumerate(zip(entry.names, entry.chains, strict=True))
            if name in (own, chain.name)
        }
        if not found:
            raise ArgumentError(
                f"chain: expected some of the amino-acid chains of {path.name}, "
                f"{', '.join(entry.names)}, got {name!r}"
            )
        picked |= found
    return sorted(picked)


def view_chains(
    entry: Entry, indices: Sequence[int], contact: Contact, notes: list[str], path: Path
) -> list[ViewChain]:
    """What is known of some chains.

    Parameters
    ----------
    entry : Entry
    indices : sequence of int
    contact : Contact
    notes : list of str
        What a reader of the view should know is added here.
    path : Path
        For messages.

    Raises
    ------
    InputError
        No chain has a C-alpha atom.
    """
    found = list(_usable(entry, indices, contact, notes))
    if not found:
        which = ", ".join(entry.names[index] for index in indices)
        raise InputError(
            f"no chain can be shown (of {which}): {'; '.join(notes)}; arcs are drawn between "
            "C-alpha atoms",
            path,
        )
    for name, meaning in _SEARCHED.items():
        without = [c.id for c in found if name not in {track.name for track in c.tracks}]
        if without:
            notes.append(f"{meaning} ({_chains(without)})")
    return found


def _chains(names: Sequence[str]) -> str:
    return f"chain{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _usable(
    entry: Entry, indices: Sequence[int], contact: Contact, notes: list[str]
) -> Iterator[ViewChain]:
    for index in indices:
        chain = _view_chain(entry, index, contact)
        if len(chain) >= MAX_RESIDUES:
            notes.append(f"chain {chain.id}: {len(chain):,} residues are too many for a view")
        elif not np.isfinite(chain.ca).all(axis=1).any():
            notes.append(f"chain {chain.id}: no C-alpha atoms")
        else:
            notes.extend(f"chain {chain.id}: {note}" for note in chain.protein.notes)
            if uncertain := int((np.isfinite(chain.ca).all(axis=1) & ~chain.known).sum()):
                notes.append(
                    f"chain {chain.id}: contacts of {uncertain} residues count as unknown, as "
                    f"their pLDDT is below {Reading.min_plddt:g}"
                    if "plddt" in chain.protein.values
                    else f"chain {chain.id}: {uncertain} residues have no {contact.atom} atom"
                )
            yield chain


def _view_chain(entry: Entry, index: int, contact: Contact) -> ViewChain:
    chain, protein = entry.chains[index], entry.proteins[index]
    plddt = protein.values["plddt"] if "plddt" in protein.values else None
    ca, cb = protein.ca.copy(), protein.cb.copy()
    certain = np.ones(len(protein), dtype=bool)
    if plddt is not None:  # as in an analysis: see `Reading.min_plddt`
        certain = ~(plddt < Reading.min_plddt)
        ca[~certain] = cb[~certain] = np.nan
    tracks = tuple(_tracks(protein, certain, plddt))
    protein = replace(protein, ca=ca, cb=cb)
    listed = contact_pairs(contact, protein)
    assert listed is not None  # structures have coordinates
    return ViewChain(
        entry.names[index],
        chain.subchain,
        protein,
        list(chain.numbers),
        [
            code if residue is None else residue.name
            for code, residue in zip(
                (c or "UNK" for c in chain.components), chain.residues, strict=True
            )
        ],
        entry.proteins[index].ca,
        listed.resolved,
        listed.pairs,
        tracks,
    )


def _tracks(protein: Protein, certain: np.ndarray, plddt: np.ndarray | None) -> Iterator[Track]:
    """Tracks of what is known of at least one residue."""
    for name, classes in _CLASSES.items():
        if name not in protein.labels:
            continue
        labels = protein.labels[name]
        labels = np.where(certain, labels, -1).astype(np.int16)
        if (labels >= 0).any():
            yield Track(name, tuple(classes), labels)
    if plddt is not None:
        bins = np.digitize(plddt, _CONFIDENCE).astype(np.int16)
        bins[np.isnan(plddt)] = -1
        yield Track("plddt", _CONFIDENCE_CLASSES, bins)
