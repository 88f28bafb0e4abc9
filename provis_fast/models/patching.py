"""Changing single objects of a model for a while, and only those.

A family whose attention does not go through transformers' attention interface, or that would form a
matrix on the way to it, has a patch (`Family.patch`): a context manager that puts functions of ours
in the place of methods, on the instances of one model, and takes them away again. Classes are never
touched, so that other models in the same process know nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from provis_fast.errors import ModelError

#: ``attend(module, query, key, value, mask, *, scaling, dropout=0.0, **terms) -> output``: what a
#: patch calls in place of its family's own attention. `module` is the attention module, one of the
#: schedule's; query, key and value are ``[B, H, L, D]``; `mask` is ``[B, L]``, nonzero where a
#: token may be attended to, or None; `terms` are those of `handler.Handler`; the output is
#: ``[B, L, H, D]``. What else a layer was asked for (``output_attentions``) is passed on as well,
#: and refused where it cannot be had.
Attend = Callable[..., Tensor]


@contextmanager
def replaced(
    parts: Iterable[nn.Module], method: str, function: Callable[..., Any]
) -> Iterator[None]:
    """Let calls of ``part.method(...)`` be ``function(part, ...)`` while the context lasts.

    Parameters
    ----------
    parts : iterable of nn.Module
    method : str
        Name of a method that their class defines.
    function : callable

    Raises
    ------
    ModelError
        If somebody else has replaced that method already: what their function does would be lost.
    """
    parts = list({id(part): part for part in parts}.values())
    for part in parts:
        if method in vars(part):
            raise ModelError(
                f"{type(part).__name__}.{method} has been replaced on this model by another "
                "package; its attention cannot be routed as well: take that away first"
            )
    try:
        for part in parts:
            setattr(part, method, partial(function, part))
        yield
    finally:
        for part in parts:
            vars(part).pop(method, None)
