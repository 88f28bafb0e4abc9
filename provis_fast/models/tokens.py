"""From residue letters to token ids by a table of 256 bytes.

A general tokenizer takes longer over a corpus of proteins than a small model's forward pass. Every
supported model gives each residue one token whatever its neighbours, so a table does; it is made by
asking the model's own tokenizer, and checked against it, when the model is loaded.
"""

from __future__ import annotations

import logging
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from provis_fast.errors import InputError, ModelError
from provis_fast.proteins.record import AMINO_ACIDS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

#: Letters for residues that are unknown, ambiguous or rare. Where a vocabulary lacks one it becomes
#: the model's own unknown token; any other letter that it lacks is an error.
RARE = "BOUXZ"

_UNKNOWN = -1


@dataclass(frozen=True, eq=False)
class TokenTable:
    """Token ids of a model's residues and special tokens.

    Attributes
    ----------
    table : np.ndarray
        int64 ``[256]``: byte -> token id, -1 where the model has none.
    prefix, suffix : tuple of int
        Ids of the special tokens before and after the residues of one protein.
    model : str
        Name of the model, for messages.
    without_token : frozenset of str
        Letters for which the model's unknown token stands.
    split : frozenset of str
        Those of them that the tokenizer itself would cut into several tokens, and so make a
        protein longer than it is. Here every residue has one.
    """

    table: np.ndarray
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    model: str = "the model"
    without_token: frozenset[str] = frozenset()
    split: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.table.flags.writeable = False

    @property
    def n_prefix(self) -> int:
        return len(self.prefix)

    @property
    def n_suffix(self) -> int:
        return len(self.suffix)

    @property
    def alphabet(self) -> str:
        """Letters that can be encoded, sorted."""
        return "".join(chr(byte) for byte in np.flatnonzero(self.table != _UNKNOWN))

    def encode(self, sequence: str) -> np.ndarray:
        """Token ids of one protein, special tokens included.

        Parameters
        ----------
        sequence : str
            ``L`` upper-case residue letters.

        Returns
        -------
        np.ndarray
            int64 ``[n_prefix + L + n_suffix]``.

        Raises
        ------
        InputError
            If the sequence is empty, or naming the first letter unknown to the model.
        """
        if not sequence:
            raise InputError("expected a protein sequence, got an empty one")
        # Outside Latin-1 there are no residues either; "?" is in no alphabet and so is reported.
        letters = np.frombuffer(sequence.encode("latin-1", errors="replace"), dtype=np.uint8)
        end = self.n_prefix + len(sequence)
        ids = np.empty(end + self.n_suffix, dtype=np.int64)
        ids[: self.n_prefix] = self.prefix
        ids[end:] = self.suffix
        residues = ids[self.n_prefix : end]
        np.take(self.table, letters, out=residues)
        if residues.min() == _UNKNOWN:
            at = int(np.argmax(residues == _UNKNOWN))
            letter = sequence[at]
            known_upper = letter.upper() in self.alphabet
            advice = "write it in upper case" if known_upper else "use X for an unknown residue"
            raise InputError(
                f"residue {at + 1} is {letter!r}, which {self.model} does not know; its letters "
                f"are {self.alphabet}: {advice}"
            )
        return ids

    @classmethod
    def from_tokenizer(
        cls, tokenizer: PreTrainedTokenizerBase, model: str = "the model"
    ) -> TokenTable:
        """Make the table from a model's tokenizer and check it.

        Vocabularies that want residues separated by spaces (those of ProtTrans and AntiBERTy) are
        recognised. If such a one knows X, then U, Z, O and B become X, as ProtTrans' authors
        prescribe. A vocabulary without X, as those of AntiBERTy and ProtXLNet, has its unknown
        token stand in for B, O, U, X and Z.

        SentencePiece merges unknown neighbours, and may cut an unknown letter in two: a protein
        with a rare residue then has more or fewer tokens than residues. A table cannot; letters
        that would be cut are logged and kept in `split`.

        Raises
        ------
        ModelError
            If the tokenizer does not give every residue one token of its own.
        """
        reasons = []
        for separator in ("", " "):
            try:
                return cls._with_separator(tokenizer, separator, model)
            except _Unfit as reason:
                style = "separated by spaces" if separator else "written together"
                reasons.append(f"residues {style}: {reason}")
        raise ModelError(
            f"the tokenizer of {model} ({type(tokenizer).__name__}) does not give one token per "
            f"residue ({'; '.join(reasons)}); a residue-level tokenizer is needed. Check that the "
            "vocabulary file is the model's own and that it does not lower-case"
        )

    @classmethod
    def _with_separator(
        cls, tokenizer: PreTrainedTokenizerBase, separator: str, model: str
    ) -> TokenTable:
        def tokenise(sequence: str, special: bool = False) -> list[int]:
            encoded = tokenizer(separator.join(sequence), add_special_tokens=special)
            # Special tokens may have types of their own, as XLNet's <cls> has: they are not given
            # to the model, nor were they by the authors of ProtXLNet and of provis.
            if not special and any(encoded.get("token_type_ids", ())):
                raise _Unfit("token type ids other than 0")
            return list(encoded["input_ids"])

        table = np.full(256, _UNKNOWN, dtype=np.int64)
        unknown_token = tokenizer.unk_token_id
        cut = set()
        for letter in string.ascii_uppercase:
            # Between known residues: a tokenizer may merge neighbours that are both unknown.
            ids = tokenise(f"A{letter}A")
            if len(ids) == 3 and ids[1] != unknown_token:
                table[ord(letter)] = ids[1]
            elif letter in AMINO_ACIDS:
                raise _Unfit(f"{letter!r} between two alanines becomes tokens {ids}")
            elif len(ids) > 3:
                cut.add(letter)
        stand_in = "X" if separator and table[ord("X")] != _UNKNOWN else ""
        if stand_in:
            for letter in RARE:
                table[ord(letter)] = table[ord("X")]
        own = "".join(chr(byte) for byte in np.flatnonzero(table != _UNKNOWN))
        without = frozenset(letter for letter in RARE if table[ord(letter)] == _UNKNOWN)
        if unknown_token is None:
            without = frozenset()
        for letter in without:
            table[ord(letter)] = unknown_token

        prefix, suffix = cls._specials(tokenise(AMINO_ACIDS, special=True), tokenise(AMINO_ACIDS))
        split = without & cut
        result = cls(table, prefix, suffix, model, without, split)
        # Every letter next to many others; those without a token of their own one at a time.
        shuffled = np.random.default_rng(0).choice(list(own), size=160)
        alone = (letter for letter in result.alphabet if letter not in split)
        probes = ["".join(shuffled), own, *(f"M{letter}K" for letter in alone)]
        for probe in probes:
            as_given = probe.translate({ord(r): stand_in for r in RARE}) if stand_in else probe
            if tokenise(as_given, special=True) != result.encode(probe).tolist():
                raise _Unfit(f"tokens of {probe!r} depend on neighbouring residues")
        if split:
            logger.warning(
                "the tokenizer of %s cuts each of the residues %s into several tokens; here the "
                "unknown token stands for each",
                model,
                ", ".join(sorted(split)),
            )
        return result

    @staticmethod
    def _specials(full: list[int], body: list[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """What stands before and after `body` in `full`."""
        for start in range(len(full) - len(body) + 1):
            if full[start : start + len(body)] == body:
                return tuple(full[:start]), tuple(full[start + len(body) :])
        raise _Unfit("special tokens change the tokens of residues")


class _Unfit(Exception):
    """A way of writing residues that a tokenizer does not take; the other one is tried."""
