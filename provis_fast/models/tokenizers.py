"""Loading the tokenizer that lies beside a model, as far as to the table made from it."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

from transformers import AutoTokenizer, BertTokenizer, PreTrainedTokenizerBase

from provis_fast.errors import ModelError
from provis_fast.models.tokens import TokenTable

logger = logging.getLogger(__name__)

#: Without one of these transformers would make up a tokenizer that knows no letter.
_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json")
_SENTENCEPIECE = "*.model"

#: Modules that transformers needs to read a SentencePiece file; without them it asks for others.
_READERS = {"sentencepiece": "sentencepiece", "google.protobuf": "protobuf"}


def load_tokens(name: str, folder: Path, vocabulary: Path | None = None) -> TokenTable:
    """The table of tokens of the tokenizer in a folder.

    Parameters
    ----------
    name : str
        Of the model, for messages.
    folder : Path
    vocabulary : Path, optional
        A BERT tokenizer's file, where there is nothing else of a tokenizer.

    Raises
    ------
    ModelError
        If there is no tokenizer, it cannot be read, or it is not made for residues.
    """
    tokenizer = _load(name, folder, vocabulary)
    try:
        return _table(tokenizer, name, folder)
    except ModelError:
        # ALBERT's class does so unless told otherwise, and ProtAlbert's authors tell it by hand.
        if not getattr(tokenizer, "do_lower_case", False):
            raise
        logger.info("%s: its tokenizer lower-cases residues unless told not to: told", name)
        return _table(_load(name, folder, vocabulary, do_lower_case=False), name, folder)


def _table(tokenizer: PreTrainedTokenizerBase, name: str, folder: Path) -> TokenTable:
    try:
        return TokenTable.from_tokenizer(tokenizer, name)
    except ModelError:
        raise
    except Exception as error:  # an empty vocabulary makes tokenizers raise whatever they like
        text = " ".join(str(error).split()) or "no message"
        raise ModelError(
            f"{name}: the tokenizer in {folder} ({type(tokenizer).__name__}) fails on residues: "
            f"{text}. Expected a vocabulary with a token for every residue and for what is "
            f"unknown, got one of {len(tokenizer)} tokens; put the model's own tokenizer files "
            "there"
        ) from error


def _load(
    name: str, folder: Path, vocabulary: Path | None, **options: bool
) -> PreTrainedTokenizerBase:
    if vocabulary is None:
        _check_files(name, folder)
    try:
        if vocabulary is not None:
            return BertTokenizer(vocab=str(vocabulary), do_lower_case=False)
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **options)
    except Exception as error:  # ImportError, OSError, ValueError, TypeError, by missing file
        text = str(error).strip()
        reason = f"{type(error).__name__}: {text.splitlines()[0] if text else 'no message'}"
        raise ModelError(
            f"{name}: cannot load a tokenizer from {folder}: {reason}. Put the model's own "
            "tokenizer files (vocab.txt, tokenizer.json or spiece.model, and "
            "tokenizer_config.json) there"
        ) from error


def _check_files(name: str, folder: Path) -> None:
    if any((folder / file).exists() for file in _VOCABULARIES):
        return
    if not any(folder.glob(_SENTENCEPIECE)):
        found = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
        raise ModelError(
            f"{name}: there is no tokenizer in {folder}: expected vocab.txt or tokenizer.json, or "
            f"spiece.model, and tokenizer_config.json, got {found}. Put the model's own tokenizer "
            "files there"
        )
    missing = [package for module, package in _READERS.items() if not _installed(module)]
    if missing:
        raise ModelError(
            f"{name}: its tokenizer is a SentencePiece model, and reading one needs "
            f'{" and ".join(missing)}: pip install "provis_fast[sentencepiece]"'
        )


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # a parent package is missing
        return False
