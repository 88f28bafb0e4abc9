"""Where a model was loaded from, so that another process can load it too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provis_fast.models.model import Model


@dataclass(frozen=True)
class Origin:
    """The arguments of `load_model` that lead to the same weights again; can be pickled.

    Attributes
    ----------
    name : str
        What the model is called in results and messages.
    place : str
        Name on the hub, or the absolute path of a folder or an archive.
    revision : str or None
        Commit of a model of the hub.
    dtype : str
        As loaded.
    """

    name: str
    place: str
    revision: str | None
    dtype: str

    @classmethod
    def of(cls, name_or_path: str | Path, name: str, revision: str | None, dtype: str) -> Origin:
        """As `load_model` was called, with the commit that it found."""
        path = Path(name_or_path).expanduser()
        place = str(path.resolve()) if path.exists() else str(name_or_path)
        return cls(name, place, revision, dtype)

    def load(self, device: str) -> Model:
        """The model on a device of this process, under the name that it had.

        Raises
        ------
        ModelError
            It cannot be found or loaded here.
        """
        from provis_fast.models.loading import load_model

        model = load_model(self.place, device=device, dtype=self.dtype, revision=self.revision)
        model.name = self.name
        model.tokens = replace(model.tokens, model=self.name)
        model.origin = self
        return model
