"""What the package knows about one protein, and about an input record that it could not use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from provis_fast.errors import InputError
from provis_fast.proteins.contact_pairs import ContactPairs

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
#: Classes of the label "secondary_structure"; a label is an index into this tuple, or -1. Four
#: states from DSSP's eight: G, H, I; E, B; S, T; and the rest.
SECONDARY_STRUCTURE_CLASSES = ("helix", "strand", "turn", "other")
HELIX, STRAND, TURN, OTHER = range(4)
UNKNOWN = -1


class LazyArrays(Mapping[str, np.ndarray]):
    """Arrays by name, some of them computed when first asked for and then kept.

    Secondary structure costs more than all the rest of reading a structure, so it is computed only
    for an analysis that wants it.

    Parameters
    ----------
    ready : mapping of str to ndarray
        Arrays that are already there.
    deferred : mapping of str to callable
        Functions without arguments that compute an array.

    Attributes
    ----------
    protein_id : str
        For messages; filled in by the `Protein` that the arrays belong to.

    Raises
    ------
    InputError
        By indexing, where a function raises anything.
    """

    #: What the arrays are of a protein, in messages.
    kind: ClassVar[str]

    def __init__(
        self, ready: Mapping[str, np.ndarray], deferred: Mapping[str, Callable[[], np.ndarray]]
    ):
        self._ready = dict(ready)
        self._deferred = {name: make for name, make in deferred.items() if name not in ready}
        self.protein_id = ""

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._ready:
            make = self._deferred.get(name)
            if make is not None:
                # Two threads may both compute it: the same result twice, and no lock to pickle.
                try:
                    self._ready[name] = make()
                except InputError:  # says all that there is to say
                    raise
                except Exception as error:
                    # Whatever it is, it is about this protein, and others can do without it.
                    raise InputError(
                        f"protein {self.protein_id!r}: {self.kind}[{name!r}] cannot be computed: "
                        f"{type(error).__name__}: {error}; leave out what needs them, or the "
                        "protein"
                    ) from error
                self._deferred.pop(name, None)
        return self._ready[name]

    def __contains__(self, name: object) -> bool:
        return name in self._ready or name in self._deferred

    def __iter__(self) -> Iterator[str]:
        yield from dict.fromkeys((*self._ready, *self._deferred))

    def __len__(self) -> int:
        return len(self._ready.keys() | self._deferred.keys())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self)})"


class LazyLabels(LazyArrays):
    """Labels by name, some of them computed when first asked for; see `LazyArrays`."""

    kind = "labels"


class LazyValues(LazyArrays):
    """Values by name, some of them computed when first asked for; see `LazyArrays`."""

    kind = "values"


@dataclass(frozen=True, eq=False)
class Protein:
    """One protein: a sequence and what is known about its residues.

    Parameters
    ----------
    id : str
        Identifier, unique within an input.
    sequence : str
        One letter per residue; lower case is converted.
    labels : mapping of str to ndarray, int16 [L]
        Class of each residue, -1 where unknown. Readers fill these names:
        ``secondary_structure`` (0 helix, 1 strand, 2 turn, 3 other),
        ``author_secondary_structure`` (the same; PDB and mmCIF files know no turns), and
        ``binding_site``, ``site_record``, ``modification`` and those of
        `provis_fast.proteins.features` (1 yes, 0 no).
    values : mapping of str to ndarray, float64 [L]
        Real numbers per residue, NaN where unknown. Readers of structures fill
        ``solvent_exposure`` (relative, 0 buried to about 1) and, of predicted ones, ``plddt`` (0 to
        100).
    ca, cb : ndarray, float32 [L, 3], optional
        C-alpha and C-beta positions in Angstrom, NaN where unresolved. ``cb`` of glycine is its
        C-alpha.
    residue_numbers : sequence of str, optional
        Author numbering with insertion codes ("52A"); "" for residues without coordinates.
    source : str
        Name of the file that the protein was read from.
    cluster : str, optional
        Group of related proteins (a family, a sequence cluster) for cluster-robust statistics.
    notes : tuple of str
        What the reader found odd but could live with.
    line : int, optional
        Line of the file on which the record begins, counted from 1, where it is a file of lines.
    text : mapping of str to str, optional
        Columns of a table that are text: one character or one word per residue. What they mean is
        said by the property that reads them (``label:NAME:CLASSES``), which checks them too.
    contacts : ContactPairs, optional
        Contacts by one definition, where they were found beforehand (`provis_fast.prepare`).

    Raises
    ------
    InputError
        If the id is empty or no text, if the sequence is empty or has characters other than
        letters, or if labels, values, coordinates or numbers do not have one entry per residue.
    """

    id: str
    sequence: str
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)
    values: Mapping[str, np.ndarray] = field(default_factory=dict)
    ca: np.ndarray | None = None
    cb: np.ndarray | None = None
    residue_numbers: Sequence[str] | None = None
    source: str = ""
    cluster: str | None = None
    notes: tuple[str, ...] = ()
    line: int | None = None
    text: Mapping[str, str] | None = None
    contacts: ContactPairs | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not self.id:
            raise InputError(f"the id of a protein must be a non-empty string, got {self.id!r}")
        try:
            self.id.encode()
        except UnicodeEncodeError:
            raise InputError(
                f"the id of a protein must be text that UTF-8 can hold, got {self.id!r}"
            ) from None
        sequence = self.sequence.upper() if isinstance(self.sequence, str) else ""
        if not (sequence.isascii() and sequence.isalpha()):
            raise InputError(
                f"protein {self.id!r}: the sequence must be one letter A-Z per residue, "
                f"got {_shortened(self.sequence)}"
            )
        object.__setattr__(self, "sequence", sequence)
        if isinstance(self.labels, LazyLabels):
            self.labels.protein_id = self.id
        else:
            labels = {n: self._label_array(n, a) for n, a in self.labels.items()}
            object.__setattr__(self, "labels", labels)
        if isinstance(self.values, LazyValues):
            self.values.protein_id = self.id
        else:
            values = {n: self._value_array(n, a) for n, a in self.values.items()}
            object.__setattr__(self, "values", values)
        for name in ("ca", "cb"):
            xyz = getattr(self, name)
            if xyz is not None:
                xyz = np.asarray(xyz, dtype=np.float32)
                self._check_shape(name, xyz, (len(sequence), 3))
                object.__setattr__(self, name, xyz)
        if self.residue_numbers is not None and len(self.residue_numbers) != len(sequence):
            self._wrong_length("residue_numbers", len(self.residue_numbers))
        if self.contacts is not None:
            self.contacts.check(self.id, len(sequence))

    def __len__(self) -> int:
        """Return the number of residues."""
        return len(self.sequence)

    def __repr__(self) -> str:
        return f"Protein({self.id!r}, {len(self)} residues)"

    def _label_array(self, name: str, labels: object) -> np.ndarray:
        array = np.asarray(labels)
        self._check_shape(f"labels[{name!r}]", array, (len(self.sequence),))
        if array.dtype.kind not in "iub":
            raise InputError(
                f"protein {self.id!r}: labels[{name!r}] must be integers (-1 for unknown), "
                f"got dtype {array.dtype}"
            )
        limits = np.iinfo(np.int16)
        if array.min() < limits.min or array.max() > limits.max:
            raise InputError(
                f"protein {self.id!r}: labels[{name!r}] must fit 16 bits, "
                f"got values from {array.min()} to {array.max()}"
            )
        return array.astype(np.int16)

    def _value_array(self, name: str, values: object) -> np.ndarray:
        try:
            array = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"protein {self.id!r}: values[{name!r}] must be numbers: {error}"
            ) from None
        self._check_shape(f"values[{name!r}]", array, (len(self.sequence),))
        return array

    def _check_shape(self, name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
        if array.shape != shape:
            raise InputError(
                f"protein {self.id!r}: {name} must have shape {shape}, one entry per residue, "
                f"got {array.shape}"
            )

    def _wrong_length(self, name: str, length: int) -> None:
        raise InputError(
            f"protein {self.id!r}: {name} must have one entry per residue ({len(self.sequence)}), "
            f"got {length}"
        )


def plain_protein(identifier: str, sequence: str, source: str, line: int) -> Protein:
    """A protein of a reader that has checked id and sequence itself, without labels.

    The constructor's own checks cost ten times what reading a record does.
    """
    protein = object.__new__(Protein)
    attributes = {
        "id": identifier,
        "sequence": sequence,
        "labels": {},
        "values": {},
        "source": source,
        "line": line,
    }  # the others' defaults are the class's attributes
    object.__setattr__(protein, "__dict__", attributes)
    return protein


@dataclass(frozen=True)
class SetAside:
    """An input record that is not analysed, and why.

    Parameters
    ----------
    id : str
        The record's identifier, or the file's name where there is none.
    status : {"skipped", "failed"}
        "skipped" by a stated rule (a duplicate, no protein in it); "failed" because it cannot be
        read.
    reason : str
        What was expected, what came.
    source : str
        Name of the file.
    line : int, optional
        Line of the file, counted from 1.
    """

    id: str
    status: Literal["skipped", "failed"]
    reason: str
    source: str = ""
    line: int | None = None


def _shortened(value: object, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
