"""Listen in on a model that somebody else runs.

>>> with pf.attach(model, tokenizer) as tap:  # doctest: +SKIP
...     model(**tokenizer(sequences, padding=True, return_tensors="pt"))
>>> tap.result()  # doctest: +SKIP
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from itertools import pairwise
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from provis_fast import versions
from provis_fast.accumulate import BatchStatistics
from provis_fast.errors import ArgumentError, ModelError
from provis_fast.measures import Measures
from provis_fast.models import packed_terms, route, routed, weights_digest
from provis_fast.properties import Property
from provis_fast.properties.batch import build_batch, encode_no_residues, encode_protein
from provis_fast.proteins import Protein, SetAside
from provis_fast.statistics import HeadStatistics
from provis_fast.tap_tokens import Residues, TokenLetters, TokenProtein

logger = logging.getLogger(__name__)

# What transformers calls the boundaries of sequences that are packed in one row.
_PACKING = ("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k")

#: A mask [B, L], or a function of (input_ids, attention_mask) that makes one.
ResidueMask = Tensor | Callable[[Tensor | None, Tensor | None], Tensor]


def attach(
    hf_model: torch.nn.Module,
    tokenizer: Any = None,
    properties: str | Property | Iterable[str | Property] = ("amino_acid",),
    threshold: float | Sequence[float] = 0.3,
    residues: ResidueMask | None = None,
    layers: Sequence[int] | None = None,
    *,
    weighting: str = "arcs",
    min_arcs: int = 100,
    entropy: bool = False,
) -> Tap:
    """Collect attention statistics from a Hugging Face model while its owner uses it.

    Inside ``with attach(...) as tap:`` every forward pass of the model computes its attention with
    our kernels; outputs agree with the model's own within 1e-5 (float32). Afterwards the model is
    exactly as it was, also after an exception.

    Parameters
    ----------
    hf_model : torch.nn.Module
        A transformers model in eval mode whose attention is routed (see `provis_fast.models`), with
        or without a head on top.
    tokenizer : optional
        The model's tokenizer. Tells which tokens are special, and which letters the others are.
    properties, threshold, weighting, min_arcs, entropy
        As in `provis_fast.analyze`. What follows from the sequence alone is read off the tokens;
        other properties need ``tap.expect(proteins)`` before every forward pass.
    residues : Tensor, bool [B, L], or callable, optional
        Tokens that stand for residues, or a function of (input_ids, attention_mask) that returns
        them. Default: what `attention_mask` allows, less the tokenizer's special tokens (mask and
        unknown tokens stand for residues).
    layers : sequence of int, optional
        Layers to analyse, from 0. The whole model runs all the same.

    Returns
    -------
    Tap
        A context manager.

    Raises
    ------
    ArgumentError
        Neither `tokenizer` nor `residues`; another bad argument.
    ModelError
        The model is of a kind that is not routed, or somebody listens in on it already.

    Notes
    -----
    Bootstrap replicates and permutations know proteins by id and sequence, so that only
    `provis_fast.analyze` has them.

    A forward pass takes a padded batch [B, L], or one row [1, T] of sequences packed without
    padding together with transformers' ``cu_seq_lens_q``. There is no backward pass through a model
    that is listened in on: it raises.
    """
    return Tap(
        hf_model,
        tokenizer,
        residues,
        lambda n_layers, n_heads: Measures.checked(
            properties, threshold, layers, n_layers, n_heads, weighting, min_arcs, entropy
        ),
    )


class Tap:
    """Statistics of somebody else's forward passes; made by `attach`."""

    def __init__(
        self,
        hf_model: torch.nn.Module,
        tokenizer: Any,
        residues: ResidueMask | None,
        measures: Callable[[int, int], Measures],
    ):
        if not isinstance(hf_model, torch.nn.Module):
            raise ArgumentError(
                f"hf_model: expected a transformers model, got {type(hf_model).__name__}; for a "
                "model of load_model pass its .module"
            )
        if tokenizer is None and residues is None:
            raise ArgumentError(
                "tokenizer, residues: expected one of them, got neither; special tokens must not "
                "count, so pass the model's tokenizer, or residues= as a bool tensor [B, L]"
            )
        routing = route(hf_model)
        self._model = hf_model
        # The encoder itself, because a pipeline may call it past the head that it stands under.
        self._encoder = routing.encoder
        self._measures = measures(routing.n_layers, routing.n_heads)
        self._residues = Residues(tokenizer, residues)
        self._letters = None if tokenizer is None else TokenLetters(tokenizer)
        self._result = self._measures.empty(
            model={
                "name": getattr(getattr(hf_model, "config", None), "_name_or_path", "")
                or type(hf_model).__name__,
                "dtype": str(next(hf_model.parameters()).dtype).removeprefix("torch."),
                "layers": routing.n_layers,
                "heads": routing.n_heads,
            },
            versions=versions.current(),
        )
        self._expected: list[Protein] | None = None
        self._batch: _ForwardPass | None = None
        self._open: ExitStack | None = None

    def expect(self, proteins: Protein | Iterable[Protein]) -> None:
        """Tell which proteins the next forward pass will hold, in the order of its sequences.

        Parameters
        ----------
        proteins : Protein or iterable of Protein
            One for each sequence that has residues, with as many as it has residue tokens. Rows of
            nothing but padding are passed over.

        Raises
        ------
        ArgumentError
            Something that is no protein.
        """
        proteins = [proteins] if isinstance(proteins, Protein) else list(proteins)
        for protein in proteins:
            if not isinstance(protein, Protein):
                raise ArgumentError(
                    f"proteins: expected provis_fast.Protein, got {type(protein).__name__}"
                )
        self._expected = proteins

    def result(self) -> HeadStatistics:
        """Statistics of all forward passes until now; a copy."""
        if "digest" not in self._result.model:  # late, because it reads every weight
            self._result.model["digest"] = weights_digest(self._encoder)
        return self._result.copy()

    def __enter__(self) -> Tap:
        if self._open is not None:
            raise ArgumentError("attach: this tap is open already; attach once, nest nothing")
        with ExitStack() as stack:
            stack.enter_context(routed(self._model, self._attend))
            for hook in (
                self._encoder.register_forward_pre_hook(self._before, with_kwargs=True),
                self._encoder.register_forward_hook(self._after),
            ):
                stack.callback(hook.remove)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        stack, self._open, self._batch, self._expected = self._open, None, None, None
        if stack is not None:
            stack.close()

    def _before(
        self, module: torch.nn.Module, positional: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Work out what stands in the batch, before its forward pass begins."""
        self._batch = None  # what an earlier pass left behind when it failed
        expected, self._expected = self._expected, None
        self._batch = _ForwardPass(
            self._measures, self._residues, self._letters, expected, positional, named
        )
        # The boundaries of packed sequences are for the attention alone, which knows them now.
        return positional, {k: v for k, v in named.items() if k not in _PACKING}

    def _attend(
        self,
        layer: int,
        query: Tensor,  # [B, H, L, D]
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,  # [B, L]
        scale: float,
        **terms: Any,
    ) -> Tensor:
        if self._batch is None:
            raise ModelError(
                f"attach: the attention of {type(self._model).__name__} ran outside a forward pass "
                f"of its {type(self._encoder).__name__}; call the model, not its layers"
            )
        return self._batch.attend(layer, query, key, value, mask, scale, **terms)

    def _after(self, module: torch.nn.Module, inputs: Any, output: Any) -> None:
        """Add the batch, now that its forward pass is over."""
        batch, self._batch = self._batch, None
        if batch is not None:
            batch.add_to(self._result)


class _ForwardPass:
    """One batch of somebody else's model: S sequences in `tokens` tokens."""

    def __init__(
        self,
        measures: Measures,
        residues: Residues,
        letters: TokenLetters | None,
        expected: list[Protein] | None,
        positional: tuple[Any, ...],
        named: dict[str, Any],
    ):
        input_ids = named.get("input_ids", positional[0] if positional else None)
        attention_mask = named.get("attention_mask", positional[1] if positional[1:] else None)
        embeddings = named.get("inputs_embeds")
        present = input_ids if input_ids is not None else embeddings
        if present is None:
            raise ArgumentError("attach: expected input_ids or inputs_embeds in the model's call")
        n_rows, length = present.shape[:2]
        self._cu_seqlens = named.get("cu_seq_lens_q")
        mask = residues.of(input_ids, attention_mask, (n_rows, length), present.device)
        self._mask = mask
        # A mask that forbids nothing is left out: attention without one is faster on a GPU, in
        # float32 by far. The copy of the residues, below, waits for the device anyway.
        self._unpadded = attention_mask is not None and bool(attention_mask.all())
        flat = mask.reshape(-1).cpu().numpy()
        if self._cu_seqlens is None:
            bounds = np.arange(n_rows + 1) * length
        elif n_rows == 1:
            self._cu_seqlens = self._cu_seqlens.to(present.device, torch.int32)
            bounds = self._cu_seqlens.cpu().numpy().astype(np.int64)
        else:
            raise ArgumentError(
                f"attach: expected packed sequences (cu_seq_lens_q) in one row, got {n_rows} rows"
            )
        self._longest = int(np.diff(bounds).max(initial=1))
        places = [np.flatnonzero(flat[begin:end]) for begin, end in pairwise(bounds)]
        # Pipelines fill batches up with rows of padding, which stand for no protein.
        sequences = [s for s, place in enumerate(places) if len(place)]
        proteins = _proteins_of(
            measures.properties, letters, expected, input_ids, sequences, places, bounds
        )
        self._proteins = dict(zip(sequences, proteins, strict=True))
        self._encoded = [
            encode_protein(measures.properties, self._proteins[s], int(n), place)
            if s in self._proteins
            else encode_no_residues(measures.properties, int(n))
            for s, (n, place) in enumerate(zip(np.diff(bounds), places, strict=True))
        ]
        properties = build_batch(
            measures.properties, self._encoded, len(flat), flat, present.device
        )
        self._statistics = BatchStatistics(measures, len(self._encoded), properties, present.device)

    def attend(
        self,
        layer: int,
        query: Tensor,  # [B, H, L, D]
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,  # [B, L]
        scale: float,
        **terms: Any,
    ) -> Tensor:
        """Attention of one layer, [B, L, H, D]."""
        key_mask = None if mask is None or self._unpadded else mask.bool()
        if self._cu_seqlens is None:
            return self._statistics.attend(
                layer,
                query,
                key,
                value,
                scale=scale,
                key_mask=key_mask,
                residues=self._mask,
                **terms,
            ).transpose(1, 2)
        return self._statistics.attend(
            layer,
            *(x[0].transpose(0, 1) for x in (query, key, value)),
            scale=scale,
            cu_seqlens=self._cu_seqlens,
            key_mask=None if key_mask is None else key_mask[0],
            residues=self._mask[0],
            max_length=self._longest,
            **packed_terms(terms),
        )[None]

    def add_to(self, result: HeadStatistics) -> None:
        """Add the batch to the result, unless something in it was not finite."""
        bad = [s for s in self._statistics.not_finite() if s in self._proteins]
        for number in bad:
            protein = self._proteins[number].id
            result.note(SetAside(protein, "failed", "NaN or infinity among its attention scores"))
            logger.warning("%s: NaN or infinity among its attention scores; not counted", protein)
        self._statistics.add_to(
            result,
            np.stack([e.numerators for e in self._encoded]),
            np.stack([e.denominators for e in self._encoded]),
            np.array([len(self._proteins.get(s, ())) for s in range(len(self._encoded))]),
            leave_out=[*bad, *(s for s in range(len(self._encoded)) if s not in self._proteins)],
        )


def _proteins_of(
    properties: Sequence[Property],
    letters: TokenLetters | None,
    expected: list[Protein] | None,
    input_ids: Tensor | None,
    sequences: list[int],
    places: list[np.ndarray],  # residue tokens of all sequences
    bounds: np.ndarray,  # int64 [S + 1]
) -> Sequence[Protein | TokenProtein]:
    """The protein of each of `sequences`: as announced, or as its tokens spell it."""
    ids = None if input_ids is None else input_ids.reshape(-1).cpu().numpy()
    if expected is None:
        wanting = [prop.name for prop in properties if not prop.from_sequence]
        if wanting:
            raise ArgumentError(
                f"attach: {', '.join(wanting)} need(s) more than the sequence; call "
                "tap.expect(proteins) before each forward pass"
            )
        spelled = any(prop.kind != "separation" for prop in properties)
        if spelled and (letters is None or ids is None):
            raise ArgumentError(
                f"attach: {', '.join(prop.name for prop in properties)} need(s) the letters of the "
                "residues; pass tokenizer= and run the model on input_ids, or call "
                "tap.expect(proteins) before each forward pass"
            )
        return [
            TokenProtein(
                f"sequence {s} of the batch",
                letters.spell(ids[bounds[s] + places[s]]) if spelled else " " * len(places[s]),
            )
            for s in sequences
        ]
    if len(expected) != len(sequences):
        raise ArgumentError(
            f"proteins: tap.expect announced {len(expected)}, the forward pass has "
            f"{len(sequences)} sequences with residues; announce one for each"
        )
    for protein, s in zip(expected, sequences, strict=True):
        place, begin = places[s], bounds[s]
        if len(protein) != len(place):
            raise ArgumentError(
                f"proteins: {protein.id!r} has {len(protein)} residues, its sequence in the batch "
                f"{len(place)} residue tokens; pass proteins as they were tokenised, in that order"
            )
        if letters is not None and ids is not None:
            letters.check(protein, ids[begin + place])
    return expected
