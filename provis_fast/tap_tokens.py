"""What the tokens of somebody else's batch stand for: which are residues, and of which letters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from provis_fast.errors import ArgumentError
from provis_fast.properties.amino_acid import AMINO_ACIDS, HIDDEN
from provis_fast.proteins import Protein

_NOT_A_RESIDUE = 255


@dataclass(frozen=True)
class TokenProtein:
    """A protein of which nothing is known but its sequence, as the tokens spell it.

    Unlike `Protein` it may hold letters that a mask token hides.
    """

    id: str
    sequence: str

    def __len__(self) -> int:
        """Return the number of residues."""
        return len(self.sequence)


class Residues:
    """Finds the tokens that stand for residues.

    Parameters
    ----------
    tokenizer : optional
        Its special tokens are no residues, but for the mask and the unknown token: these stand in
        the place of one.
    given : Tensor, bool [B, L], or callable, optional
        The mask itself, or a function of (input_ids, attention_mask) that makes it.
    """

    def __init__(
        self,
        tokenizer: Any,
        given: Tensor | Callable[[Tensor | None, Tensor | None], Tensor] | None,
    ):
        self._given = given
        self._special: Tensor | None = None
        if given is None:
            stand_ins = {
                getattr(tokenizer, "mask_token_id", None),
                getattr(tokenizer, "unk_token_id", None),
            }
            special = sorted(set(tokenizer.all_special_ids) - stand_ins)
            self._special = torch.tensor(special, dtype=torch.int64)
        elif not callable(given) and not isinstance(given, Tensor):
            raise ArgumentError(
                f"residues: expected a bool tensor [B, L] or a function of (input_ids, "
                f"attention_mask), got {type(given).__name__}"
            )

    def of(
        self,
        input_ids: Tensor | None,  # int64 [B, L]
        attention_mask: Tensor | None,  # [B, L]
        shape: tuple[int, int],
        device: torch.device,
    ) -> Tensor:
        """Residue tokens of a batch, bool [B, L].

        Raises
        ------
        ArgumentError
            A mask of another shape or dtype; no `input_ids` to look at.
        """
        if attention_mask is not None and attention_mask.shape != shape:
            raise ArgumentError(
                f"attention_mask: expected shape {list(shape)}, got {list(attention_mask.shape)}; "
                "attach takes padding masks only"
            )
        if self._given is not None:
            given = self._given
            mask = given if isinstance(given, Tensor) else given(input_ids, attention_mask)
            if not isinstance(mask, Tensor) or mask.shape != shape or mask.dtype != torch.bool:
                got = (
                    f"{mask.dtype} {list(mask.shape)}"
                    if isinstance(mask, Tensor)
                    else type(mask).__name__
                )
                raise ArgumentError(f"residues: expected bool {list(shape)}, got {got}")
            mask = mask.to(device)
        elif input_ids is None:
            raise ArgumentError(
                "residues: special tokens cannot be found without input_ids; pass residues="
            )
        else:
            mask = ~torch.isin(input_ids, self._special.to(device))
        return mask if attention_mask is None else mask & attention_mask.bool()


class TokenLetters:
    """Letters of tokens.

    Parameters
    ----------
    tokenizer
        A tokenizer whose tokens stand for one residue each.
    """

    def __init__(self, tokenizer: Any):
        tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        self._codes = np.full(len(tokens), _NOT_A_RESIDUE, dtype=np.uint8)
        self._tokens = tokens
        for number, token in enumerate(tokens):
            # SentencePiece and byte-level vocabularies mark the beginning of a word.
            letter = (token or "").lstrip("\u2581\u0120").upper()
            if len(letter) == 1 and letter.isascii():
                self._codes[number] = ord(letter)
        for special, letter in (("unk_token_id", "X"), ("mask_token_id", HIDDEN)):
            number = getattr(tokenizer, special, None)
            if number is not None:
                self._codes[number] = ord(letter)

    def spell(self, ids: np.ndarray) -> str:
        """Sequence of residue tokens, int64 [L]; unknown tokens are X, masked ones `HIDDEN`.

        Raises
        ------
        ArgumentError
            A token that is no single residue.
        """
        return self._look_up(ids).tobytes().decode("ascii")

    def check(self, protein: Protein, ids: np.ndarray) -> None:
        """Raise ArgumentError if the tokens spell another protein than the one announced."""
        spelled = self._look_up(ids)
        announced = np.frombuffer(protein.sequence.encode("ascii"), dtype=np.uint8)
        standard = np.frombuffer(AMINO_ACIDS.encode(), dtype=np.uint8)
        differs = (spelled != announced) & np.isin(spelled, standard) & np.isin(announced, standard)
        if differs.any():
            at = int(np.flatnonzero(differs)[0])
            raise ArgumentError(
                f"proteins: {protein.id!r} has {chr(announced[at])} at residue {at}, its sequence "
                f"in the batch {chr(spelled[at])}; announce the proteins in the batch's order"
            )

    def _look_up(self, ids: np.ndarray) -> np.ndarray:
        if len(ids) and (ids.min() < 0 or ids.max() >= len(self._codes)):
            raise ArgumentError(
                f"tokenizer: expected token ids below {len(self._codes)}, got {int(ids.max())}; "
                "pass the tokenizer that made the input"
            )
        codes = self._codes[ids]
        if (codes == _NOT_A_RESIDUE).any():
            token = self._tokens[int(ids[np.flatnonzero(codes == _NOT_A_RESIDUE)[0]])]
            raise ArgumentError(
                f"tokenizer: token {token!r} is no single residue; pass residues= that leaves it "
                "out, or announce the proteins with tap.expect"
            )
        return codes
