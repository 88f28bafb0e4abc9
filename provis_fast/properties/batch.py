"""Properties of a batch of proteins, in the coordinates of its tokens.

`encode_protein` computes everything that the kernels and the background need of one protein, once;
`build_batch` lays the encoded proteins of a batch side by side. Maps of pairs are packed into
bitmaps as they are computed, so that no L x L map is ever whole in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from provis_fast.errors import ArgumentError
from provis_fast.kernel_data import KIND, UNKNOWN_VALUE, PropertyBatch
from provis_fast.properties.base import (
    Background,
    KeyValueProperty,
    LabelProperty,
    PairProperty,
    Property,
    to_fixed_point,
)
from provis_fast.properties.pairs import PackedPairs, PairLayout
from provis_fast.properties.separation import Separation
from provis_fast.properties.shifted import is_shifted, with_shifted_maps, with_shifted_rows

if TYPE_CHECKING:
    from provis_fast.proteins import Protein


class EncodedProtein(NamedTuple):
    """One protein as numbers; L residues, properties in their order.

    With M permutations every row and bitmap comes M + 1 times: all as they are, then all with the
    first shift, and so on (`provis_fast.properties.shifted`).

    Attributes
    ----------
    labels : ndarray, int16 [R, L]
        One row for each key class, query class and class pair property.
    values : ndarray, int64 [V, L]
        One row for each key value property; units of 2**-16, or `UNKNOWN_VALUE`.
    pairs : tuple of ndarray, int32 [2 * n * ceil(n / 32)]
        Bitmaps of each pair property in token coordinates, n tokens; see `PropertyBatch`.
    numerators : ndarray, int64 [C]
        Background numerators of all classes of all properties.
    denominators : ndarray, int64 [P]
        Background denominators.
    """

    labels: np.ndarray
    values: np.ndarray
    pairs: tuple[np.ndarray, ...]
    numerators: np.ndarray
    denominators: np.ndarray


def encode_protein(
    properties: Sequence[Property],
    protein: Protein,
    n_tokens: int,
    positions: slice | np.ndarray,
    *,
    n_residues: int | None = None,
    every_pair_known: bool = False,
    shifts: np.ndarray | None = None,
) -> EncodedProtein:
    """Encode one protein.

    Parameters
    ----------
    properties : sequence of Property
    protein : Protein
        Data of its full length.
    n_tokens : int
        Tokens n of its sequence, special tokens and padding included.
    positions : slice or int array [n_residues]
        Which of these tokens are its residues.
    n_residues : int, optional
        Keep the first n residues only; default all.
    every_pair_known : bool
        For ``compat="provis"``: unknown counts as negative, so that every arc is eligible. The
        background is still that of the known residues, over the full length of the protein.
    shifts : int array [M], optional
        By how many residues each permutation shifts what is known of residues along the chain; what
        runs off the end comes in again at the beginning. The background stays as it is.

    Returns
    -------
    EncodedProtein

    Raises
    ------
    InputError
        The protein's data do not fit a property.
    """
    n = len(protein) if n_residues is None else n_residues
    n_background = len(protein) if every_pair_known else n
    labels, values, pairs, backgrounds = [], [], [], []
    for prop in properties:
        if isinstance(prop, LabelProperty):
            encoded = prop.encode(protein)
            backgrounds.append(prop.background(encoded[:n_background]))
            encoded = prop.as_counted(encoded)[:n]
            labels.append(
                np.where(encoded < 0, prop.n_labels, encoded) if every_pair_known else encoded
            )
        elif isinstance(prop, KeyValueProperty):
            encoded = prop.encode(protein)
            backgrounds.append(prop.background(encoded[:n_background]))
            encoded = encoded[:n]
            prop.check_sums(protein, encoded)
            known = ~np.isnan(encoded)
            fixed = np.full(n, UNKNOWN_VALUE, dtype=np.int64)
            fixed[known] = to_fixed_point(encoded[known])
            values.append(fixed)
        elif isinstance(prop, PairProperty):
            tokens = _tokens_of(positions, n, n_tokens)
            packed = prop.pack(
                protein, PairLayout(n_background, tokens, n_tokens, every_pair_known)
            )
            pairs.append(packed.words)
            backgrounds.append(_pair_background(packed))
        else:
            assert isinstance(prop, Separation)
            backgrounds.append(prop.background(n_background))
    numerators, denominators = join_backgrounds(backgrounds)
    found = EncodedProtein(
        np.stack(labels).astype(np.int16, copy=False)
        if labels
        else np.empty((0, n), dtype=np.int16),
        np.stack(values) if values else np.empty((0, n), dtype=np.int64),
        tuple(pairs),
        numerators,
        denominators,
    )
    if shifts is None or not len(shifts):
        return found
    place = _tokens_of(positions, n, n_tokens)
    return found._replace(
        labels=with_shifted_rows(found.labels, shifts),
        values=with_shifted_rows(found.values, shifts),
        pairs=with_shifted_maps(found.pairs, shifts, place, n_tokens),
    )


def encode_no_residues(properties: Sequence[Property], n_tokens: int) -> EncodedProtein:
    """What stands in for a protein where a sequence of `n_tokens` tokens has no residue at all."""
    n_labels = sum(isinstance(prop, LabelProperty) for prop in properties)
    n_values = sum(isinstance(prop, KeyValueProperty) for prop in properties)
    n_pairs = sum(isinstance(prop, PairProperty) for prop in properties)
    return EncodedProtein(
        np.empty((n_labels, 0), dtype=np.int16),
        np.empty((n_values, 0), dtype=np.int64),
        (np.zeros(2 * n_tokens * -(-n_tokens // 32), dtype=np.int32),) * n_pairs,
        np.zeros(sum(prop.n_channels for prop in properties), dtype=np.int64),
        np.zeros(len(properties), dtype=np.int64),
    )


def background_of(
    properties: Sequence[Property], protein: Protein
) -> tuple[np.ndarray, np.ndarray]:
    """Background of one whole protein.

    Returns
    -------
    numerators : ndarray, int64 [C]
        All classes of all properties.
    denominators : ndarray, int64 [P]
    """
    backgrounds = []
    for prop in properties:
        if isinstance(prop, PairProperty):
            packed = prop.pack(protein, PairLayout.background_only(len(protein)))
            backgrounds.append(_pair_background(packed))
        else:
            backgrounds.append(prop.background(prop.encode(protein)))
    return join_backgrounds(backgrounds)


def join_backgrounds(backgrounds: Sequence[Background]) -> tuple[np.ndarray, np.ndarray]:
    """Numerators [C] of all properties one after the other, and denominators [P]; int64."""
    numerators = [np.empty(0, dtype=np.int64), *(b.numerators for b in backgrounds)]
    return np.concatenate(numerators), np.array([b.denominator for b in backgrounds], np.int64)


def build_batch(
    properties: Sequence[Property],
    encoded: Sequence[EncodedProtein],
    n_tokens: int,
    residues: np.ndarray,
    device: torch.device | str = "cpu",
    permutations: int = 0,
) -> PropertyBatch:
    """Lay the encoded proteins of a batch side by side.

    Parameters
    ----------
    properties : sequence of Property
    encoded : sequence of EncodedProtein
        One for each sequence of the batch, in order.
    n_tokens : int
        Tokens of the whole batch.
    residues : ndarray, int or bool
        Tokens that stand for residues, sequence by sequence: their indices, or a mask [n_tokens].
    device : torch device
    permutations : int
        How many shifts the proteins were encoded with. The properties of each permutation, all but
        separations, come after those as they are.

    Returns
    -------
    PropertyBatch
    """
    kinds, rows, classes = [], [], []
    n_rows = dict.fromkeys(("labels", "values", "pairs"), 0)
    bin_starts: tuple[int, ...] = ()
    shifted = [prop for prop in properties if is_shifted(prop)]
    for prop in (*properties, *shifted * permutations):
        kinds.append(KIND[prop.kind])
        classes.append(prop.n_channels)
        if isinstance(prop, Separation):
            bin_starts = prop.edges
            rows.append(0)
            continue
        where = (
            "labels"
            if isinstance(prop, LabelProperty)
            else "values"
            if isinstance(prop, KeyValueProperty)
            else "pairs"
        )
        rows.append(n_rows[where])
        n_rows[where] += 1

    labels = np.full((n_rows["labels"], n_tokens), -1, dtype=np.int16)
    values = np.full((n_rows["values"], n_tokens), UNKNOWN_VALUE, dtype=np.int64)
    if encoded and n_rows["labels"]:
        labels[:, residues] = np.concatenate([e.labels for e in encoded], axis=1)
    if encoded and n_rows["values"]:
        values[:, residues] = np.concatenate([e.values for e in encoded], axis=1)
    bitmaps = [words for p in range(n_rows["pairs"]) for words in (e.pairs[p] for e in encoded)]
    sizes = np.array([len(words) for words in bitmaps], dtype=np.int64)
    offsets = (np.cumsum(sizes) - sizes).reshape(n_rows["pairs"], len(encoded))
    pairs = np.concatenate(bitmaps) if bitmaps else np.empty(0, dtype=np.int32)
    return PropertyBatch(
        tuple(kinds),
        tuple(rows),
        tuple(classes),
        torch.from_numpy(labels).to(device),
        torch.from_numpy(values).to(device),
        torch.from_numpy(pairs).to(device),
        torch.from_numpy(offsets).to(device),
        bin_starts,
    )


def _tokens_of(positions: slice | np.ndarray, n: int, n_tokens: int) -> np.ndarray:
    """Tokens of the first n residues, int64 [n]."""
    if not isinstance(positions, slice):
        return np.asarray(positions, dtype=np.int64)
    start, step = positions.start or 0, positions.step or 1
    if step != 1 or start + n > n_tokens:
        raise ArgumentError(
            f"positions: expected {n} consecutive tokens out of {n_tokens}, got {positions}"
        )
    return np.arange(start, start + n)


def _pair_background(packed: PackedPairs) -> Background:
    return Background(np.array([packed.n_set], dtype=np.int64), packed.n_valid)
