"""``provis-fast doctor --model``: what would be run, and how."""

from __future__ import annotations

import logging
from typing import Any

from provis_fast.cli import OK
from provis_fast.models import Model, load_model

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")

#: Types whose encoders add a vector of biases by distance, or a term of their own, to the scores.
_RELATIVE_BIAS = ("t5", "mt5", "umt5")
_RELATIVE_TERM = ("xlnet",)


def run(name: str, revision: str | None = None) -> int:
    """Print what is known of one model, loaded in its checkpoint's dtype.

    Raises
    ------
    ModelError
        If it cannot be analysed, which the command line turns into exit status 2.
    """
    log = logging.getLogger("provis_fast.models.tokens")
    before = log.level
    log.setLevel(logging.ERROR)  # its warning is among the lines below
    try:
        model = load_model(name, dtype="auto", revision=revision)
    finally:
        log.setLevel(before)
    for line, value in describe(model).items():
        print(f"{line:<18} {value}")
    return OK


def describe(model: Model) -> dict[str, str]:
    """Name of a line -> its text, in the order to be printed."""
    tokens = model.tokens
    lines = {
        "model": model.name + (f" at {model.revision}" if model.revision else ""),
        "family": f"{model.family} ({type(model.module).__name__})",
        "attention": f"{model.n_layers} layers x {model.n_heads} heads x {model.head_size}",
        "residues": tokens.alphabet,
        "special tokens": f"{tokens.n_prefix} before a protein, {tokens.n_suffix} behind it",
    }
    if tokens.without_token:
        lines["unknown token for"] = ", ".join(sorted(tokens.without_token))
    if tokens.split:
        lines["not cut in pieces"] = ", ".join(sorted(tokens.split))
    longest = model.max_residues
    lines["longest protein"] = "no limit" if longest is None else f"{longest} residues"
    lines["run"] = "packed, several proteins in a row" if model.packs else "one protein at a time"
    lines["positions"] = _positions(model.module.config)
    lines["kernel"] = ", ".join(kernel_features(model.module.config)) or "plain attention"
    lines["dtype"] = str(model.dtype).removeprefix("torch.")
    parameters = list(model.module.parameters())
    count = sum(weights.numel() for weights in parameters)
    size = sum(weights.numel() * weights.element_size() for weights in parameters)
    lines["weights"] = f"{count:,} in {memory(size)}"
    lines["digest"] = f"{model.digest} (of the weights as {lines['dtype']})"
    return lines


def kernel_features(config: Any) -> list[str]:
    """What the kernel adds to plain attention for a model of this configuration."""
    features = []
    if window := getattr(config, "sliding_window", None):
        features.append(f"sliding window of {window} tokens to either side")
    if config.model_type in _RELATIVE_BIAS:
        features.append("relative bias by distance")
    if config.model_type in _RELATIVE_TERM:
        features.append("term of relative position")
    return features


def memory(size: float) -> str:
    """A number of bytes in the unit that suits it."""
    unit = 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size /= 1024
        unit += 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"


def _positions(config: Any) -> str:
    if config.model_type in (*_RELATIVE_BIAS, *_RELATIVE_TERM):
        return "relative, in the scores"
    kind = getattr(config, "position_embedding_type", None)
    if (
        kind == "rotary"
        or getattr(config, "rope_parameters", None)
        or config.model_type in ("roformer",)
    ):
        return "rotary, turned by the model before the kernel"
    return "learned, added to the tokens"
