"""TapeBert: checkpoints of the package tape-proteins, read as a `transformers.BertModel`.

TAPE (Rao et al., NeurIPS 2019, arXiv 1906.08230) built its transformer from an early BERT of the
library that became transformers, and names, shapes and arithmetic of its weights are still those
of `BertModel`. What differs is around them: a ``config.json`` that names no type of model, and a
tokenizer without a file.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import pickle
import shutil
import tarfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor
from transformers import BertConfig

from provis_fast.errors import ModelError
from provis_fast.models.tokens import TokenTable

#: Environment variable with the path of TapeBert's folder or archive.
VARIABLE = "PROVIS_FAST_TAPE_BERT"

_URL = "https://s3.amazonaws.com/songlabdata/proteindata/pytorch-models/"
_DOWNLOADS = ("bert-base-config.json", "bert-base-pytorch_model.bin")
_CONFIGS = ("config.json", _DOWNLOADS[0])
_WEIGHTS = ("pytorch_model.bin", _DOWNLOADS[1])

ARCHIVES = (".tar", ".tar.gz", ".tgz")

# The model itself has a third of a gibibyte; an archive of more than this is another thing.
_MAX_ARCHIVE = 4 << 30
_MAX_MEMBERS = 1000
_MAX_CONFIG = 1 << 20

# TAPE's defaults: what a config.json leaves out.
_DEFAULTS: dict[str, Any] = {
    "vocab_size": 30,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "max_position_embeddings": 8096,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
}
_ACTIVATIONS = ("gelu", "relu", "swish")

# The IUPAC vocabulary: <pad> 0, <mask> 1, <cls> 2, <sep> 3, <unk> 4, then every letter but J. U, Z,
# O and B have tokens of their own; there are no lower-case letters.
_LETTERS = "ABCDEFGHIKLMNOPQRSTUVWXYZ"
_FIRST_LETTER, _CLS, _SEP = 5, 2, 3


@dataclass(frozen=True)
class Checkpoint:
    """A TapeBert on disk: its configuration in transformers' terms, and the file of its weights."""

    config: BertConfig
    weights: Path
    archive: Path | None = None  # which it was unpacked from

    @property
    def place(self) -> str:
        """Where the weights lie for whoever gave them, for messages."""
        return str(self.archive or self.weights)


def token_table(name: str) -> TokenTable:
    """Token ids of TAPE's IUPAC vocabulary, between ``<cls>`` and ``<sep>``."""
    table = np.full(256, -1, dtype=np.int64)
    for number, letter in enumerate(_LETTERS, start=_FIRST_LETTER):
        table[ord(letter)] = number
    return TokenTable(table, (_CLS,), (_SEP,), name)


def find(name: str, into: Path) -> Checkpoint:
    """The published TapeBert: where `VARIABLE` says, else in the cache of the package tape.

    Parameters
    ----------
    name : str
        For messages.
    into : Path
        Folder that an archive may be unpacked into.

    Raises
    ------
    ModelError
        If it is in neither place; the message says where to get it.
    """
    if place := os.environ.get(VARIABLE):
        path = Path(place).expanduser()
        if path.is_dir():
            found = in_folder(name, path)
            if found is None:
                raise ModelError(
                    f"{VARIABLE}={place}: expected a TapeBert there, {_CONFIGS[0]} and "
                    f"{_WEIGHTS[0]} as tape-proteins writes them (or {' and '.join(_DOWNLOADS)})"
                )
            return found
        if path.is_file():
            return in_archive(name, path, into)
        raise ModelError(f"{VARIABLE}={place}: there is no such folder or archive")
    config, weights = (_cached(_URL + file) for file in _DOWNLOADS)
    if config is None or weights is None:
        raise ModelError(
            f"{name}: TapeBert is not on the hub and not in the cache of tape-proteins "
            f"({_cache()}). Download {' and '.join(_DOWNLOADS)} from {_URL} into one folder, and "
            f"give that folder in place of the name or in the variable {VARIABLE}"
        )
    return Checkpoint(_config(name, config, _read_json(name, config)), weights)


def in_folder(name: str, folder: Path) -> Checkpoint | None:
    """The TapeBert in a folder; None if the folder holds something else, or nothing.

    A configuration that names no type of model is TAPE's, unless vocabulary files lie beside it:
    those of early BERTs name none either.

    Raises
    ------
    ModelError
        If it is one of TAPE's, but no transformer that can be run.
    """
    config, weights = (
        next((folder / file for file in names if (folder / file).is_file()), None)
        for names in (_CONFIGS, _WEIGHTS)
    )
    if config is None or weights is None or any(folder.glob("*vocab*")):
        return None
    found = _read_json(name, config)
    if "model_type" in found or "architectures" in found or "hidden_size" not in found:
        return None
    return Checkpoint(_config(name, config, found), weights)


def in_archive(name: str, archive: Path, into: Path) -> Checkpoint:
    """Unpack a TapeBert from a tar file, gzipped or not.

    Only its configuration and its weights are read, wherever in the archive they lie, and both are
    written under names of our own: nothing in the archive decides where anything goes.

    Raises
    ------
    ModelError
        If the archive is damaged, too large, or has no TapeBert, or two, or links for one.
    """
    wanted = {file: _CONFIGS[0] for file in _CONFIGS} | {file: _WEIGHTS[0] for file in _WEIGHTS}
    try:
        with archive.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            plain: Any = gzip.GzipFile(fileobj=raw) if packed else raw
            with tarfile.open(fileobj=_Limited(plain), mode="r:") as tar:
                for number, member in enumerate(tar, start=1):
                    if number > _MAX_MEMBERS:
                        raise ValueError(f"it has more than {_MAX_MEMBERS} members")
                    target = wanted.get(member.name.rpartition("/")[2])
                    if target is not None:
                        _unpack(tar, member, into / target)
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError) as error:
        raise ModelError(
            f"{name}: cannot read the archive {archive}: {error}. Expected a tar file (.tar or "
            f".tar.gz) with {_CONFIGS[0]} and {_WEIGHTS[0]} of a TapeBert"
        ) from error
    found = in_folder(name, into)
    if found is None:
        got = ", ".join(sorted(path.name for path in into.iterdir())) or "neither"
        raise ModelError(
            f"{name}: there is no TapeBert in {archive}: expected {_CONFIGS[0]} (that names no "
            f"model_type) and {_WEIGHTS[0]} as tape-proteins writes them, got {got}"
        )
    return replace(found, archive=archive)


def read_weights(name: str, checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Weights by the names that `BertModel` has for them; heads keep names that it has not.

    Raises
    ------
    ModelError
        If the file is damaged or holds more than tensors.
    """
    try:
        found = torch.load(checkpoint.weights, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{name}: the weights in {checkpoint.place} are a pickle that holds more than "
            "tensors (or is damaged); code from data is never run"
        ) from error
    except Exception as error:  # damaged files raise whatever the parsers of formats raise
        raise ModelError(
            f"{name}: cannot read the weights in {checkpoint.place}: {type(error).__name__}: "
            f"{error}"
        ) from error
    if not isinstance(found, dict) or not all(isinstance(w, Tensor) for w in found.values()):
        raise ModelError(f"{name}: {checkpoint.place} holds no weights: expected a dict of tensors")
    return {_renamed(key): weights for key, weights in found.items()}


def _renamed(key: str) -> str:
    key = key.removeprefix("bert.")  # of a model with a head
    for old, new in ((".gamma", ".weight"), (".beta", ".bias")):  # of layer norms in old files
        if key.endswith(old):
            key = key.removesuffix(old) + new
    return key


def _config(name: str, path: Path, found: dict[str, Any]) -> BertConfig:
    """TAPE's configuration in transformers' terms."""
    if "num_attention_heads" not in found:
        raise ModelError(
            f"{name}: {path} is that of a TAPE model without attention heads (such as its LSTM or "
            "ResNet); expected its transformer"
        )
    values = {key: found.get(key, default) for key, default in _DEFAULTS.items()}
    if values["vocab_size"] != _DEFAULTS["vocab_size"]:
        raise ModelError(
            f"{name}: {path} names no model_type, and its vocab_size is {values['vocab_size']}: "
            f"expected a transformers model, or a TapeBert with its {_DEFAULTS['vocab_size']} "
            "tokens (the IUPAC vocabulary)"
        )
    if values["hidden_act"] not in _ACTIVATIONS:
        raise ModelError(
            f"{name}: hidden_act in {path} is {values['hidden_act']!r}, expected one of "
            f"{', '.join(_ACTIVATIONS)}"
        )
    if found.get("pruned_heads"):
        raise ModelError(
            f"{name}: heads of this model have been pruned ({found['pruned_heads']} in {path}), "
            "which is not supported"
        )
    try:
        return BertConfig(**values, pad_token_id=0)
    except Exception as error:  # transformers checks types with an exception of its own
        text = " ".join(str(error).split())
        raise ModelError(f"{name}: {path} does not describe a TapeBert: {text}") from error


def _read_json(name: str, path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_CONFIG:
            raise ValueError(f"more than {_MAX_CONFIG} bytes")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{name}: cannot read {path}: {error}") from error
    if not isinstance(found, dict):
        raise ModelError(f"{name}: expected a JSON object in {path}, got {type(found).__name__}")
    return found


def _cache() -> Path:
    """Where tape-proteins keeps what it downloads."""
    for variable in ("PROTEIN_MODELS_CACHE", "PYTORCH_PRETRAINED_BERT_CACHE"):
        if place := os.environ.get(variable):
            return Path(place)
    home = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(home, "torch"))
    return Path(home).expanduser() / "protein_models"


def _cached(url: str) -> Path | None:
    """The newest download of `url`: named by its digest, a dot, and that of the server's tag."""
    digest = hashlib.sha256(url.encode()).hexdigest()
    copies = [
        path
        for path in _cache().glob(f"{digest}*")
        if path.suffix not in (".json", ".lock", ".incomplete")
    ]
    return max(copies, key=lambda path: path.stat().st_mtime, default=None)


def _unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    if not member.isreg() or member.issparse():
        raise ValueError(f"{member.name!r} is a link or another special file")
    if target.exists():
        raise ValueError(f"it has {target.name} twice")
    source = tar.extractfile(member)
    with source, target.open("wb") as out:
        shutil.copyfileobj(source, out)


class _Limited(io.RawIOBase):
    """What an archive unpacks to, refused beyond `_MAX_ARCHIVE` bytes and in huge pieces.

    A few kilobytes of gzip can unpack to terabytes, and a header of a tar file, read in one piece,
    can claim any size.
    """

    def __init__(self, stream: BinaryIO):
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_CONFIG:
            raise ValueError(f"a header of {size} bytes")
        self._check(self._stream.tell() + size)
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_SET:
            self._check(offset)
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def _check(self, end: int) -> None:
        if end > _MAX_ARCHIVE + _MAX_CONFIG:
            raise ValueError(f"it unpacks to more than {_MAX_ARCHIVE >> 30} GiB")
