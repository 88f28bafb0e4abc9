"""What a property is: how facts about residues become numbers that the kernels read.

A property assigns something to every ordered pair (query residue i, key residue j) of a protein.
Six kinds of assignment exist; the kernels know these and nothing else:

============  ======================================  ==========================================
kind          a pair is eligible where                what is counted
============  ======================================  ==========================================
key_class     the key's label is known                pairs whose key is in class c
query_class   the query's label is known              pairs whose query is in class c
class_pair    both labels are known                   pairs whose query and key are in (r, c)
key_value     the key's value is known                the sum of the key's value
pair          the pair is valid                       pairs that have the property
separation    always                                  pairs with \\|i - j\\| in bin c
============  ======================================  ==========================================

A label or value that is not known makes a pair ineligible; it never counts as negative.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from provis_fast.errors import ArgumentError, InputError
from provis_fast.kernel_data import MAX_VALUE, MAX_VALUE_SUM, VALUE_FIXED_POINT

if TYPE_CHECKING:
    from provis_fast.proteins import Protein

#: Class ids are int16 in the kernels.
MAX_CLASSES = 1 << 14

#: Answers `rows(begin, end)` with (set, valid), both bool [end - begin, L].
PairRows = Callable[[int, int], tuple[np.ndarray, np.ndarray]]


#: A protein whose largest value is fewer units of rounding than this loses its values in it.
_COARSE = 16


class Background(NamedTuple):
    """How often a property occurs in a protein, attention aside.

    Attributes
    ----------
    numerators : ndarray, int64 [channels]
        Residues (or pairs) in each class; for key values the sum of round(value * 2**16).
    denominator : int
        Residues (or pairs) that are known.
    """

    numerators: np.ndarray
    denominator: int


class Property(ABC):
    """A named property of residue pairs.

    Parameters
    ----------
    name : str
        Letters, digits, ``_``, ``-`` and ``.``: it becomes part of the names in files.
    classes : sequence of str
        Name of each counted class (channel), in order.

    Attributes
    ----------
    kind : str
        One of the kinds above.

    Raises
    ------
    ArgumentError
        A bad name; class names that are empty, repeated or too many.
    """

    kind: ClassVar[str]
    #: Whether the sequence alone tells everything; other properties need the whole protein.
    from_sequence: ClassVar[bool] = False

    def __init__(self, name: str, classes: Sequence[str]):
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_.\-]+", name):
            raise ArgumentError(
                f"name: expected letters, digits, '_', '-' and '.', got {name!r}; choose another"
            )
        self.name = name
        self.classes = _check_classes(name, classes)

    @property
    def n_channels(self) -> int:
        """Number of classes that are counted."""
        return len(self.classes)

    @property
    def label_names(self) -> tuple[str, ...]:
        """Labels and values of a protein that `encode` reads, so that readers can prepare them."""
        return (self.name,)

    @abstractmethod
    def encode(self, protein: Protein) -> Any:
        """Labels int16 [L], values float64 [L], or (set, valid) bool [L, L] of a protein.

        Raises
        ------
        InputError
            The protein's data have the wrong length, dtype or range.
        """

    @abstractmethod
    def background(self, encoded: Any) -> Background:
        """Numerators and denominator of the background, from what `encode` returned."""

    def options(self) -> dict[str, Any]:
        """What defines the property besides its name, kind and classes; JSON types only.

        Results whose options differ are not merged.
        """
        return {}

    def __repr__(self) -> str:
        shown = "".join(f", {key}={value!r}" for key, value in self.options().items())
        return f"{type(self).__name__}(name={self.name!r}, n_channels={self.n_channels}{shown})"


class LabelProperty(Property):
    """Base of the kinds made from one class id per residue.

    `encode` returns int16 [L]: the class id, -1 where unknown, and `n_labels` where the residue is
    known to be in no class. A property with a single class is binary: its data say 1, 0 or -1
    (yes, no, unknown).
    """

    @property
    def n_labels(self) -> int:
        """Number of classes that one residue can be in."""
        return self.n_channels

    @abstractmethod
    def labels(self, protein: Protein) -> np.ndarray | None:
        """Labels [L] as the data have them, or None where nothing is known of the protein."""

    def encode(self, protein: Protein) -> np.ndarray:
        """Class ids, int16 [L]; see the class."""
        given = self.labels(protein)
        n = len(protein)
        if given is None:
            return np.full(n, -1, dtype=np.int16)
        binary = self.n_labels == 1
        labels = np.asarray(given)
        check_length(self.name, protein.id, labels, (n,), "label")
        if labels.dtype.kind not in ("iub" if binary else "iu"):
            raise InputError(
                f"property {self.name!r}, protein {protein.id!r}: expected integer labels, got "
                f"{labels.dtype}; use -1 for unknown"
            )
        largest = 1 if binary else self.n_labels - 1
        if n and (int(labels.min()) < -1 or int(labels.max()) > largest):
            bad = int(np.flatnonzero((labels < -1) | (labels > largest))[0])
            meaning = "1 yes, 0 no, -1 unknown" if binary else "a class id, or -1 for unknown"
            raise InputError(
                f"property {self.name!r}, protein {protein.id!r}: expected labels in -1..{largest} "
                f"({meaning}), got {int(labels[bad])} at residue {bad}"
            )
        labels = labels.astype(np.int16)
        # Yes is class 0; no becomes id 1, which is known but counted nowhere.
        return np.where(labels >= 0, 1 - labels, labels) if binary else labels

    def as_counted(self, encoded: np.ndarray) -> np.ndarray:
        """Class ids by which arcs are counted, [L]; the background is that of `encode` itself."""
        return encoded

    def background(self, encoded: np.ndarray) -> Background:
        """Residues in each class, and residues known."""
        counts = np.bincount(encoded + 1, minlength=self.n_labels + 2)
        return Background(
            counts[1 : self.n_labels + 1].astype(np.int64), len(encoded) - int(counts[0])
        )


class KeyClassProperty(LabelProperty):
    """Class of the residue that is attended to."""

    kind = "key_class"


class QueryClassProperty(LabelProperty):
    """Class of the residue that attends."""

    kind = "query_class"


class ClassPairProperty(LabelProperty):
    """Classes of both residues: K x K channels named ``query>key``, the query's class first."""

    kind = "class_pair"

    def __init__(self, name: str, classes: Sequence[str]):
        sides = _check_classes(name, classes)
        super().__init__(name, [f"{query}>{key}" for query in sides for key in sides])
        self.residue_classes = sides

    @property
    def n_labels(self) -> int:
        """Number of classes K that one residue can be in."""
        return len(self.residue_classes)

    def background(self, encoded: np.ndarray) -> Background:
        """Pairs in each class pair, and pairs of known residues."""
        residues, known = super().background(encoded)
        return Background(np.outer(residues, residues).ravel(), known * known)


class KeyValueProperty(Property):
    """Base of properties that give the attended residue a number."""

    kind = "key_value"

    def __init__(self, name: str, unit: str = "value"):
        super().__init__(name, [unit])

    @abstractmethod
    def values(self, protein: Protein) -> np.ndarray | None:
        """Values [L], NaN where unknown, or None where nothing is known of the protein."""

    def encode(self, protein: Protein) -> np.ndarray:
        """Values, float64 [L], NaN where unknown."""
        given = self.values(protein)
        n = len(protein)
        if given is None:
            return np.full(n, np.nan)
        values = np.asarray(given)
        check_length(self.name, protein.id, values, (n,), "value")
        if values.dtype.kind not in "iuf":
            raise InputError(
                f"property {self.name!r}, protein {protein.id!r}: expected real numbers, got "
                f"{values.dtype}; use NaN for unknown"
            )
        values = values.astype(np.float64)
        largest = np.abs(values[~np.isnan(values)]).max(initial=0.0)
        if 0 < largest < _COARSE / VALUE_FIXED_POINT:
            raise InputError(
                f"property {self.name!r}, protein {protein.id!r}: values are rounded to multiples "
                f"of 2**-16 = 1.5e-05, and the largest here is {largest:.3g}; rescale the property "
                "(by 1,000, say)"
            )
        if np.any(np.abs(values) > MAX_VALUE):
            bad = int(np.flatnonzero(np.abs(values) > MAX_VALUE)[0])
            raise InputError(
                f"property {self.name!r}, protein {protein.id!r}: expected absolute values of at "
                f"most 2**20, got {values[bad]:g} at residue {bad}; rescale the property"
            )
        return values

    def check_sums(self, protein: Protein, encoded: np.ndarray) -> None:
        """Raise InputError if sums over these residues' values may not fit the accumulators."""
        largest = np.abs(encoded[~np.isnan(encoded)]).max(initial=0.0)
        # Rounded as the kernels have it, so that what passes here is not refused there.
        if len(encoded) * int(to_fixed_point(largest)) > MAX_VALUE_SUM * VALUE_FIXED_POINT:
            raise InputError(
                f"property {self.name!r}, protein {protein.id!r}: expected residues x largest "
                f"absolute value of at most {MAX_VALUE_SUM:,}, so that sums fit 64 bits, got "
                f"{len(encoded)} x {largest:g}; rescale the property's values"
            )

    def background(self, encoded: np.ndarray) -> Background:
        """Sum of the known values in units of 2**-16, and known residues."""
        known = ~np.isnan(encoded)
        total = to_fixed_point(encoded[known]).sum(dtype=np.int64)
        return Background(np.array([total], dtype=np.int64), int(known.sum()))


class PairProperty(Property):
    """Base of properties of residue pairs, each pair valid or not, and set or not."""

    kind = "pair"

    def __init__(self, name: str):
        super().__init__(name, [name])

    @abstractmethod
    def rows(self, protein: Protein) -> PairRows:
        """A function that computes some rows of the map at a time.

        It answers ``rows(begin, end)`` with (set, valid), both bool [end - begin, L] and set only
        where valid, so that the map of a long protein is never whole in memory.
        """

    def encode(self, protein: Protein) -> tuple[np.ndarray, np.ndarray]:
        """(set, valid), both bool [L, L]; rows are queries."""
        return self.rows(protein)(0, len(protein))

    def background(self, encoded: tuple[np.ndarray, np.ndarray]) -> Background:
        """Pairs set, and pairs valid."""
        is_set, valid = encoded
        return Background(
            np.array([np.count_nonzero(is_set & valid)], dtype=np.int64),
            int(np.count_nonzero(valid)),
        )


def to_fixed_point(values: np.ndarray) -> np.ndarray:
    """round(value * 2**16) as int64: sums of values are exact in any order."""
    return np.rint(values * VALUE_FIXED_POINT).astype(np.int64)


def check_length(
    name: str, protein_id: str, array: np.ndarray, shape: tuple[int, ...], what: str
) -> None:
    """Raise InputError unless `array` has one entry for each residue (or pair of residues)."""
    if array.shape != shape:
        each = "residue" if len(shape) == 1 else "pair of residues"
        raise InputError(
            f"property {name!r}, protein {protein_id!r}: expected one {what} per {each}, shape "
            f"{list(shape)}, got shape {list(array.shape)}"
        )


def _check_classes(name: str, classes: Sequence[str]) -> tuple[str, ...]:
    if isinstance(classes, str) or not all(isinstance(c, str) and c for c in classes):
        raise ArgumentError(
            f"classes of property {name!r}: expected a sequence of class names, got {classes!r}"
        )
    classes = tuple(classes)
    if not 1 <= len(classes) <= MAX_CLASSES:
        raise ArgumentError(
            f"classes of property {name!r}: expected 1 to {MAX_CLASSES} classes, got {len(classes)}"
        )
    if len(set(classes)) != len(classes):
        twice = sorted({c for c in classes if classes.count(c) > 1})
        raise ArgumentError(f"classes of property {name!r}: expected distinct names, got {twice}")
    return classes
