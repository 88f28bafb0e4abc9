"""Fetching a model's files from the Hugging Face hub, or from its cache where there is no hub."""

from __future__ import annotations

import logging
from pathlib import Path, PurePosixPath

import huggingface_hub
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from provis_fast.errors import ModelError
from provis_fast.models.names import ELSEWHERE, supported

logger = logging.getLogger(__name__)

#: Seconds until the hub counts as out of reach. The download itself has the client's own limits.
TIMEOUT = 10.0

_TEXT_FILES = {".json", ".txt", ".model"}
_WEIGHTS = (".safetensors", ".bin")  # the first kind that a repository has is taken


def fetch(name: str, revision: str | None = None) -> tuple[Path, str | None]:
    """Folder with a model's config, tokenizer and weights.

    The hub is asked once, without retries: transformers would try each file six times over half a
    minute before it looked into the cache.

    Parameters
    ----------
    name : str
        ``owner/model`` or ``model``.
    revision : str, optional
        Branch, tag or commit.

    Returns
    -------
    folder : Path
    commit : str or None
        The commit whose files these are, if it is known.

    Raises
    ------
    ModelError
        If there is no such model, or neither a hub nor a cached copy.
    """
    try:
        info = huggingface_hub.HfApi().model_info(name, revision=revision, timeout=TIMEOUT)
    except Exception as error:  # the client's network errors have no base class in common
        if (refusal := _refusal(name, revision, error)) is not None:
            raise refusal from error
        return _cached(name, revision, error)

    wanted = _wanted([sibling.rfilename for sibling in info.siblings or ()])
    if not any(path.endswith(_WEIGHTS) for path in wanted):
        raise ModelError(
            f"{name} holds no weights as .safetensors or .bin on the hub: expected a PyTorch model"
        )
    try:
        folder = huggingface_hub.snapshot_download(name, revision=info.sha, allow_patterns=wanted)
    except Exception as error:
        raise _refusal(name, revision, error) or ModelError(
            f"{name}: the download broke off ({type(error).__name__}: {error}); start again, and "
            "what has come is kept"
        ) from error
    return Path(folder), info.sha


def _refusal(name: str, revision: str | None, error: Exception) -> ModelError | None:
    """What to tell the user if the hub was reached and said no."""
    if isinstance(error, HFValidationError):
        return ModelError(
            f"{name!r} is neither a folder nor a possible hub name: {error}. {supported()}"
        )
    if isinstance(error, RevisionNotFoundError):
        return ModelError(f"{name} has no revision {revision!r} on the hub")
    if isinstance(error, GatedRepoError):
        return ModelError(
            f"{name} is gated: ask for access on its hub page, then log in with `hf auth login`"
        )
    if isinstance(error, RepositoryNotFoundError):
        return ModelError(
            f"there is no folder {name} and no model of that name on the hub that you may read: "
            "check the spelling, or log in with `hf auth login` if it is private. "
            f"{supported()}"
        )
    return None


def _wanted(paths: list[str]) -> list[str]:
    """Files at the top of a repository that loading needs, with one kind of weights."""
    top = [path for path in paths if "/" not in path]
    wanted = [path for path in top if PurePosixPath(path).suffix in _TEXT_FILES]
    for suffix in _WEIGHTS:
        weights = [path for path in top if path.endswith(suffix) and path != "training_args.bin"]
        if weights:
            return wanted + weights
    return wanted


def _cached(name: str, revision: str | None, error: Exception) -> tuple[Path, str | None]:
    config = huggingface_hub.try_to_load_from_cache(name, "config.json", revision=revision)
    if isinstance(config, str):
        folder = Path(config).parent
        wanted_so = isinstance(error, OfflineModeIsEnabled)
        level = logging.INFO if wanted_so else logging.WARNING
        logger.log(level, "no hub (%s): using the cached copy of %s", error, name)
        return folder, folder.name
    raise ModelError(
        f"there is no folder {name}, and no copy of a model of that name in the cache; the hub "
        f"cannot be reached ({type(error).__name__}: {error}). Check the connection (and the "
        "variable HF_HUB_OFFLINE), or download the model elsewhere and give the path of its "
        f"folder; without a hub there is: {', '.join(ELSEWHERE)}. {supported()}"
    ) from error
