"""What the annotated features of an entry say of its residues: one reading for all formats.

UniProt names its kinds of feature in four ways: by the keys of the flat file, by the words of the
XML, and by the words of JSON, which the columns of its TSV and its GFF3 share for the most part.
All are known here, those of older releases too (METAL, NP_BIND and CA_BIND became BINDING in 2022):

==============================  ====================================================================
label                           features
==============================  ====================================================================
``binding_site``                BINDING, METAL, NP_BIND, CA_BIND
``active_site``                 ACT_SITE
``modification``                MOD_RES, LIPID, CARBOHYD
``disulfide``                   DISULFID: the two ends; the one end of a bond to another chain
``cross_link``                  CROSSLNK: the same way
``author_secondary_structure``  HELIX, STRAND, TURN
``transmembrane``               TRANSMEM (not INTRAMEM, which enters the membrane on one side only)
``signal_peptide``              SIGNAL
``transit_peptide``             TRANSIT
``domain``                      DOMAIN
``zinc_finger``                 ZN_FING
``dna_binding``                 DNA_BIND
``coiled_coil``                 COILED
``disordered``                  REGION with the note "Disordered"
==============================  ====================================================================

A kind of which an entry has no feature is unknown throughout, since nobody may have looked: the
protein has no such label. Where there is one, the residues outside are negative. Of secondary
structure, residues between the first and the last annotated one that are in none are "other", and
those before and behind, which the structure need not have covered, unknown. Where elements overlap,
helix goes before strand and strand before turn, in whatever order they come.

A feature whose position is uncertain (``?``, ``?15``, ``<1``, ``>300``), is of another isoform
(``P12345-2:5..7``) or lies outside the sequence is left out, and a note on the protein says so.
Residues that a feature of uncertain position may cover are not negative but unknown: from its
beginning, or the first residue where that is uncertain, to its end, or the last residue.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from provis_fast.errors import InputError
from provis_fast.proteins.limits import MAX_RECORD_BYTES, MAX_RESIDUES
from provis_fast.proteins.record import HELIX, OTHER, STRAND, TURN, UNKNOWN, Protein, SetAside

#: Features of one protein that are kept; titin has some 1,500.
MAX_FEATURES = 100_000

_MAX_NAME = 200  # characters of an accession; UniProt's have 10 at the most
_STRUCTURE = "author_secondary_structure"
#: Of a bond only the ends are in it, not what lies between them.
_BONDS = ("disulfide", "cross_link")
_CLASS_OF_KEY = {"HELIX": HELIX, "STRAND": STRAND, "TURN": TURN}

#: For each key of the flat file: its label, and its names in XML, JSON, TSV and GFF3.
_TABLE: dict[str, tuple[str, tuple[str, ...]]] = {
    "BINDING": ("binding_site", ("binding site",)),
    "METAL": ("binding_site", ("metal ion-binding site", "metal binding")),
    "NP_BIND": ("binding_site", ("nucleotide phosphate-binding region", "nucleotide binding")),
    "CA_BIND": ("binding_site", ("calcium-binding region", "calcium binding")),
    "ACT_SITE": ("active_site", ("active site",)),
    "MOD_RES": ("modification", ("modified residue",)),
    "LIPID": ("modification", ("lipid moiety-binding region", "lipidation")),
    "CARBOHYD": ("modification", ("glycosylation site", "glycosylation")),
    "DISULFID": ("disulfide", ("disulfide bond",)),
    "CROSSLNK": ("cross_link", ("cross-link",)),
    "HELIX": (_STRUCTURE, ()),
    "STRAND": (_STRUCTURE, ("beta strand",)),
    "TURN": (_STRUCTURE, ()),
    "TRANSMEM": ("transmembrane", ("transmembrane region", "transmembrane")),
    "SIGNAL": ("signal_peptide", ("signal peptide",)),
    "TRANSIT": ("transit_peptide", ("transit peptide",)),
    "DOMAIN": ("domain", ()),
    "ZN_FING": ("zinc_finger", ("zinc finger region", "zinc finger")),
    "DNA_BIND": ("dna_binding", ("dna-binding region", "dna binding")),
    "COILED": ("coiled_coil", ("coiled-coil region", "coiled coil")),
    "REGION": ("disordered", ("region of interest",)),
}


def _spelling(name: str) -> str:
    return name.strip().lower().replace("_", " ")


_KEY_OF = {_spelling(name): key for key, (_, others) in _TABLE.items() for name in (key, *others)}

_CERTAIN = re.compile(r"(\d{1,9})(?:\.\.(\d{1,9}))?", re.ASCII)
_UNCERTAIN = "position uncertain"
_DISORDERED = re.compile(r'\s*"?disordered[.;"]*(\s*\{.*)?\s*', re.IGNORECASE)


class Feature(NamedTuple):
    """One feature of an entry.

    Attributes
    ----------
    key : str
        Its key in the flat file; see `key_of`.
    location : str
        As the flat file writes it: "52", "5..7", "?..7", "P12345-2:5..7"; several ones of one
        feature in parts are separated by commas. Counted from 1, the end included.
    """

    key: str
    location: str


@lru_cache(maxsize=1024)
def key_of(name: str) -> str | None:
    """The key of a feature whose kind is used here, from any of its names; else None."""
    return _KEY_OF.get(_spelling(name[:100]))


def wants_note(key: str) -> bool:
    """Whether a feature's note decides whether it is used."""
    return key == "REGION"


def residue_labels(
    features: Iterable[Feature], length: int
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Labels of a protein from its features.

    Parameters
    ----------
    features : iterable of Feature
        In any order: the result is the same.
    length : int
        Residues of the protein, L.

    Returns
    -------
    labels : dict of str to ndarray, int16 [L]
        As the module's table says; of each kind annotated, 1 or 0, or a class of secondary
        structure.
    notes : tuple of str
        At most one: the features that were left out, and why.
    """
    spans: dict[tuple[str, int], tuple[list[int], list[int]]] = {}
    left_out: set[str] = set()
    perhaps: dict[str, np.ndarray] = {}  # residues that features of uncertain position may cover
    for feature in features:
        label = _TABLE[feature.key][0]
        found, why = _spans(feature.location, length)
        if why:
            left_out.add(f"{feature.key} {feature.location[:40]} ({why})")
            if why == _UNCERTAIN:
                covered = perhaps.setdefault(label, np.zeros(length, bool))
                for start, end in _possible(feature.location, length):
                    covered[start - 1 : end] = True
            continue
        kind = label, _CLASS_OF_KEY.get(feature.key, 1)
        starts, ends = spans.setdefault(kind, ([], []))
        for start, end in found:
            if label in _BONDS:
                starts += (start - 1, end - 1)
                ends += (start, end)
            else:
                starts.append(start - 1)
                ends.append(end)
    labels: dict[str, np.ndarray] = {}
    # By class, so that of overlapping elements the last painted is helix.
    for (label, value), (starts, ends) in sorted(spans.items(), reverse=True):
        opened = np.bincount(starts, minlength=length + 1)
        inside = np.cumsum(opened - np.bincount(ends, minlength=length + 1))[:length] > 0
        blank = UNKNOWN if label == _STRUCTURE else 0
        labels.setdefault(label, np.full(length, blank, np.int16))[inside] = value
    if _STRUCTURE in labels:
        known = np.flatnonzero(labels[_STRUCTURE] != UNKNOWN)
        covered = labels[_STRUCTURE][known[0] : known[-1] + 1]
        covered[covered == UNKNOWN] = OTHER
    for label in labels.keys() & perhaps.keys():
        negative = OTHER if label == _STRUCTURE else 0
        labels[label][perhaps[label] & (labels[label] == negative)] = UNKNOWN
    return {name: labels[name] for name in sorted(labels)}, _note(sorted(left_out))


def _spans(location: str, length: int) -> tuple[list[tuple[int, int]], str]:
    """First and last residue of each part, or why there are none."""
    found = []
    for part in location.split(","):
        match = _CERTAIN.fullmatch(part)
        if match is None:
            if ":" in part:
                return [], "of another isoform"
            uncertain = any(sign in part for sign in "?<>")
            return [], _UNCERTAIN if uncertain else "no position"
        start = int(match[1])
        end = int(match[2] or start)
        if not 1 <= start <= end <= length:
            why = "ends before it starts" if end < start else f"outside residues 1 to {length}"
            return [], why
        found.append((start, end))
    return found, ""


def _possible(location: str, length: int) -> Iterator[tuple[int, int]]:
    """First and last residue that each part of an uncertain location may have."""
    for part in location.split(","):
        first, dots, last = part.partition("..")
        ends = [_CERTAIN.fullmatch(end) for end in (first, last if dots else first)]
        start = int(ends[0][1]) if ends[0] else 1
        end = int(ends[1][1]) if ends[1] else length
        yield max(1, start), min(end, length)


def _note(left_out: list[str], shown: int = 8) -> tuple[str, ...]:
    if not left_out:
        return ()
    more = f" and {len(left_out) - shown} more" if len(left_out) > shown else ""
    return (f"features left out: {', '.join(left_out[:shown])}{more}",)


class RecordError(Exception):
    """An entry cannot be used: why, and the line that tells so where it is known."""

    def __init__(self, reason: str, line: int | None = None):
        super().__init__(reason)
        self.reason, self.line = reason, line


class Entry:
    """What one entry's file has told of it so far; the same for all formats.

    Parameters
    ----------
    where : str
        What to call the entry as long as its accession is unknown: "line 7".
    line : int, optional
        Line on which it begins.
    """

    def __init__(self, where: str, line: int | None = None):
        self.where, self.line = where, line
        self.accession = ""
        self.stated_length: int | None = None
        self.features: list[Feature] = []
        self.failed: RecordError | None = None
        self._residues = 0
        self._sequence: list[str] = []

    @property
    def id(self) -> str:
        """The accession, or where the entry is."""
        return self.accession or self.where

    def name(self, accession: str) -> None:
        """Take the accession, blanks around it ignored; RecordError where it cannot be one."""
        accession = accession.strip()
        sound = accession.isprintable() and " " not in accession
        if not 0 < len(accession) <= _MAX_NAME or not sound:
            raise RecordError(f"expected an accession, one word, got {accession[:40]!r}")
        self.accession = accession

    def add_feature(self, name: str, location: str, note: str = "") -> None:
        """Keep a feature if its kind is used; RecordError where there are too many."""
        key = key_of(name)
        if key is None or (wants_note(key) and not _DISORDERED.fullmatch(note[:200])):
            return
        if len(self.features) >= MAX_FEATURES:
            raise RecordError(f"has more than {MAX_FEATURES:,} features: leave some out")
        self.features.append(Feature(key, location[:1000]))

    def add_sequence(self, text: str) -> None:
        """Append a piece of the sequence, blanks ignored; RecordError where it gets too long."""
        text = "".join(text.split())
        self._residues += len(text)
        if self._residues > MAX_RESIDUES:
            raise RecordError(
                f"has more than {MAX_RESIDUES:,} residues, the most that are read: cut it"
            )
        self._sequence.append(text)

    def fail(self, error: RecordError) -> None:
        """Give the entry up; the first reason stays."""
        self.failed = self.failed or error

    def record(self, source: str) -> Protein | SetAside:
        """The entry as a protein, or set aside where it failed or does not make one."""
        error = self.failed
        if error is None:
            try:
                return self._protein(source)
            except RecordError as found:
                error = found
            except InputError as found:
                error = RecordError(found.reason)
        line = self.line if error.line is None else error.line
        return SetAside(self.id, "failed", error.reason, source, line)

    def _protein(self, source: str) -> Protein:
        sequence = "".join(self._sequence)
        if not self.accession:
            raise RecordError("expected an accession, got none: is the entry cut off?")
        if not sequence:
            raise RecordError("expected a sequence, got none: is the entry cut off?")
        if self.stated_length not in (None, len(sequence)):
            raise RecordError(
                f"expected {self.stated_length:,} residues, as the entry says, got "
                f"{len(sequence):,}: the entry is damaged; download it again"
            )
        labels, notes = residue_labels(self.features, len(sequence))
        return Protein(self.accession, sequence, labels, source=source, notes=notes, line=self.line)


def too_large() -> RecordError:
    """What to raise for an entry of too many bytes."""
    return RecordError(
        f"is larger than {MAX_RECORD_BYTES >> 20} MiB, the most that one entry may be: is the end "
        "of an entry missing?"
    )
