"""Errors that say that memory does not suffice, and what to tell of a protein then."""

from __future__ import annotations

import re

import torch

#: What torch and the libraries below it say when memory does not suffice.
_NO_MEMORY = re.compile(
    "out of memory|not enough memory|can't allocate|ALLOC_FAILED", re.IGNORECASE
)


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an exception says that memory, of the machine or a device, does not suffice."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    # Torch's CPU allocator, and libraries of GPUs, have no class of their own.
    return isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error)) is not None


def out_of_memory(error: Exception) -> str:
    """Reason for a protein that does not fit into memory even alone."""
    first_line = (str(error) or type(error).__name__).splitlines()[0]
    return (
        f"not enough memory for this protein: {first_line[:200]}; cut it with max_length "
        "(--max-length), or use fewer properties, or a larger machine"
    )
