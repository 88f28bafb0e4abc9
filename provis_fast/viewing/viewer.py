"""The package that brings Mol*, the viewer of the page."""

from __future__ import annotations

from importlib import metadata

from provis_fast.errors import ArgumentError


def check_installed() -> None:
    """Make sure that a page can be made, before a model is run in vain.

    Raises
    ------
    ArgumentError
        The package is not installed.
    """
    try:
        metadata.distribution("ipymolstar")
    except metadata.PackageNotFoundError:
        raise ArgumentError(
            "views need the package ipymolstar, which brings the viewer Mol*: "
            "pip install 'provis_fast[view]'"
        ) from None
