"""Properties of the user's own, from arrays or from a function of the protein."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from provis_fast.errors import ArgumentError, InputError
from provis_fast.properties.base import (
    ClassPairProperty,
    KeyClassProperty,
    KeyValueProperty,
    LabelProperty,
    PairProperty,
    PairRows,
    QueryClassProperty,
    check_length,
)

if TYPE_CHECKING:
    from provis_fast.proteins import Protein

    Source = Mapping[str, Any] | Callable[[Protein], Any]


class _FromSource:
    """Looks a protein's data up in a mapping by id, or asks a function for them."""

    name: str
    _source: Source

    def _set_source(self, argument: str, source: Source) -> None:
        if not callable(source) and not isinstance(source, Mapping):
            raise ArgumentError(
                f"{argument} of property {self.name!r}: expected a mapping from protein id to "
                f"array, or a function of the protein, got {type(source).__name__}"
            )
        self._source = source

    def _look_up(self, protein: Protein) -> Any:
        place = f"property {self.name!r}, protein {protein.id!r}"
        if isinstance(self._source, Mapping):
            try:
                return self._source[protein.id]
            except KeyError:
                raise InputError(
                    f"{place}: no entry for this id; map it to None where nothing is known"
                ) from None
        try:
            return self._source(protein)
        except (InputError, MemoryError):
            raise
        except Exception as error:
            # Whatever it is, it is about this protein, and others can do without it.
            raise InputError(
                f"{place}: your function raised {type(error).__name__}: {error}; let it return "
                "None where nothing is known"
            ) from error

    def options(self) -> dict[str, Any]:
        """Tells that the definition is the user's; equal names are taken to mean equal things."""
        return {"user_defined": True}


class _UserLabels(_FromSource, LabelProperty):
    def __init__(self, name: str, classes: Sequence[str], labels: Source):
        super().__init__(name, classes)
        self._set_source("labels", labels)

    def labels(self, protein: Protein) -> np.ndarray | None:
        """Labels [L] from the user's mapping or function."""
        return self._look_up(protein)


class KeyClass(_UserLabels, KeyClassProperty):
    """A class for each residue; counts arcs by the class of the residue attended to (the key).

    Parameters
    ----------
    name : str
        Letters, digits, ``_``, ``-`` and ``.``.
    classes : sequence of str
        Names of the classes. One class makes a binary property.
    labels : mapping or callable
        Protein id -> labels, or a function ``protein -> labels``. Labels are integers [L]: class
        ids from 0, -1 where unknown. Of a binary property: 1 yes, 0 no, -1 unknown (bool will do).
        None means that nothing is known of the protein.

    Raises
    ------
    ArgumentError
        Bad names, or `labels` is neither mapping nor function.

    Examples
    --------
    >>> import numpy as np
    >>> KeyClass("active_site", ["active"], {"P1": np.array([0, 1, -1])})
    KeyClass(name='active_site', n_channels=1, user_defined=True)
    """


class QueryClass(_UserLabels, QueryClassProperty):
    """A class for each residue; counts arcs by the class of the attending residue (the query).

    Parameters
    ----------
    name, classes, labels
        As in `KeyClass`.
    """


class ClassPair(_UserLabels, ClassPairProperty):
    """A class for each residue; counts arcs by the classes of both residues.

    Parameters
    ----------
    name, labels
        As in `KeyClass`.
    classes : sequence of str
        The K classes of a residue. The property has K * K classes named ``query>key``.
    """


class KeyValue(_FromSource, KeyValueProperty):
    """A number for each residue; sums it over the residues attended to (the keys).

    Parameters
    ----------
    name : str
        Letters, digits, ``_``, ``-`` and ``.``.
    values : mapping or callable, optional
        Protein id -> values, or a function ``protein -> values``. Values are real [L], NaN where
        unknown, at most 2**20 in absolute value, and at most 2e9 divided by the residues of the
        protein; they are rounded to multiples of 2**-16. None means that nothing is known of the
        protein. Default: ``protein.values[name]``.

    Raises
    ------
    ArgumentError
        A bad name, or `values` is neither mapping nor function.
    """

    def __init__(self, name: str, values: Source | None = None):
        super().__init__(name)
        own = partial(_own_values, name) if values is None else values
        self._set_source("values", own)

    def values(self, protein: Protein) -> np.ndarray | None:
        """Values [L] from the user's mapping or function."""
        return self._look_up(protein)


def _own_values(name: str, protein: Protein) -> np.ndarray | None:
    """What a protein brings along under this name."""
    return protein.values.get(name)


class Pair(_FromSource, PairProperty):
    """A yes or no for each ordered pair of residues.

    Parameters
    ----------
    name : str
        Letters, digits, ``_``, ``-`` and ``.``.
    maps : mapping or callable
        Protein id -> map, or a function ``protein -> map``. A map is bool [L, L] (row = query,
        column = key), or a tuple (map, valid) of two such arrays, or an integer array [L, L] of
        1 yes, 0 no, -1 unknown. None means that nothing is known of the protein.

    Raises
    ------
    ArgumentError
        A bad name, or `maps` is neither mapping nor function.
    """

    def __init__(self, name: str, maps: Source):
        super().__init__(name)
        self._set_source("maps", maps)

    def rows(self, protein: Protein) -> PairRows:
        """Rows of the user's map."""
        n = len(protein)
        given = self._look_up(protein)
        if given is None:
            nothing = np.zeros((1, n), dtype=bool)
            return lambda begin, end: (np.repeat(nothing, end - begin, axis=0),) * 2
        valid = None
        if isinstance(given, tuple):
            if len(given) != 2:
                raise InputError(
                    f"property {self.name!r}, protein {protein.id!r}: expected a map or a tuple "
                    f"(map, valid), got a tuple of {len(given)}"
                )
            given, valid = given
            valid = self._check(protein, valid, "validity", "b")
        is_set = self._check(protein, given, "entry", "biu" if valid is None else "b")
        if is_set.dtype != bool:
            if is_set.size and (int(is_set.min()) < -1 or int(is_set.max()) > 1):
                raise InputError(
                    f"property {self.name!r}, protein {protein.id!r}: expected entries 1, 0 or -1, "
                    f"got {int(is_set.min())}..{int(is_set.max())}"
                )
            valid, is_set = is_set >= 0, is_set == 1
        if valid is None:
            valid = np.ones((n, n), dtype=bool)
        return lambda begin, end: (is_set[begin:end] & valid[begin:end], valid[begin:end])

    def _check(self, protein: Protein, array: Any, what: str, kinds: str) -> np.ndarray:
        array = np.asarray(array)
        check_length(self.name, protein.id, array, (len(protein),) * 2, what)
        if array.dtype.kind not in kinds:
            wanted = "bool" if kinds == "b" else "bool or integers"
            raise InputError(
                f"property {self.name!r}, protein {protein.id!r}: expected {wanted} for each "
                f"{what}, got {array.dtype}"
            )
        return array
