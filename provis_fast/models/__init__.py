"""Loading protein language models, their tokens, and routing their attention."""

from __future__ import annotations

from provis_fast.models.families import FAMILIES, UNSUPPORTED, Family
from provis_fast.models.handler import Handler, StopForward, packed_terms
from provis_fast.models.loading import DTYPES, load_model
from provis_fast.models.model import Model, weights_digest
from provis_fast.models.routed_module import RoutedModule
from provis_fast.models.routing import route, routed
from provis_fast.models.tokens import TokenTable

__all__ = [
    "DTYPES",
    "FAMILIES",
    "UNSUPPORTED",
    "Family",
    "Handler",
    "Model",
    "RoutedModule",
    "StopForward",
    "TokenTable",
    "load_model",
    "packed_terms",
    "route",
    "routed",
    "weights_digest",
]
