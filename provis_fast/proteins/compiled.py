"""The compiled part that reads text."""

from __future__ import annotations

from provis_fast.errors import ProvisError
from provis_fast.versions import how_to_load

try:
    from provis_fast import _text
except ImportError as error:  # pragma: no cover - depends on the installation
    raise ProvisError(
        f"the compiled part of provis_fast that reads text cannot be loaded ({error}); "
        f"{how_to_load()}"
    ) from error

__all__ = ["_text"]
