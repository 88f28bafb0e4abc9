"""Loading an encoder and its tokenizer by hub id, folder or known name."""

from __future__ import annotations

import importlib.util
import inspect
import logging
import pickle
import re
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    MODEL_FOR_TEXT_ENCODING_MAPPING,
    MODEL_MAPPING,
    AutoConfig,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils import logging as transformers_logging

from provis_fast._kernels import CUDA_BUILT
from provis_fast.errors import ArgumentError, ModelError
from provis_fast.models import hub, names, tape
from provis_fast.models.families import FAMILIES, family_of, supported
from provis_fast.models.model import UNUSED_PARTS, Model
from provis_fast.models.origin import Origin
from provis_fast.models.tokenizers import load_tokens

logger = logging.getLogger(__name__)

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}


@dataclass(frozen=True)
class _Files:
    """Where a model's files lie."""

    name: str
    folder: Path
    vocabulary: Path | None = None  # of a BERT tokenizer; else the folder holds a whole tokenizer
    revision: str | None = None
    tape: tape.Checkpoint | None = None  # instead of all that, but for the name


def _antiberty() -> _Files:
    """Files of the installed package, found without importing it."""
    spec = importlib.util.find_spec("antiberty")
    places = list(spec.submodule_search_locations or ()) if spec else []
    for place in places:
        trained = Path(place) / "trained_models"
        vocabulary = trained / "vocab.txt"
        files = _Files("antiberty", trained / "AntiBERTy_md_smooth", vocabulary)
        if (files.folder / "config.json").is_file() and vocabulary.is_file():
            return files
    raise ModelError(
        "the weights of AntiBERTy are part of the package antiberty, which is "
        f"{'installed without them' if places else 'not installed'}: "
        'pip install "provis_fast[demo]" (or pip install antiberty==0.1.3)'
    )


#: transformers replaces functions of torch while it loads: two threads that load at once would
#: leave them replaced, and models made later would not get the weights they should.
_ONE_AT_A_TIME = threading.Lock()


def load_model(
    name_or_path: str | Path,
    *,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "float32",
    revision: str | None = None,
) -> Model:
    """Load a protein language model to be analysed.

    Parameters
    ----------
    name_or_path : str or path
        A folder with a transformers model and its tokenizer, the name of one on the Hugging Face
        hub (``"facebook/esm2_t6_8M_UR50D"``), or a short name (``"esm2_t6_8M"``; all of them are in
        `names.REPOSITORIES`). ``"antiberty"`` takes the weights of the installed package of that
        name. For TapeBert, a folder as tape-proteins writes it, or a tar archive of one;
        ``"tape-bert"`` takes what the environment variable ``PROVIS_FAST_TAPE_BERT`` names, else
        what tape-proteins has downloaded.
    device : str or torch.device
        ``"auto"``: the CPU. ``"cuda"``: a GPU, where the kernels for it were built; these have
        never run on one yet, so compare with the CPU's results, and please report them. XLNet's
        relative attention is for the CPU alone.
    dtype : str or torch.dtype
        ``"float32"``, ``"bfloat16"``, ``"float16"`` or ``"float64"``; ``"auto"`` for that of the
        checkpoint. Weights that are not converted are mapped from their files, not copied; others
        are converted one at a time.
    revision : str, optional
        Branch, tag or commit, for a hub name.

    Returns
    -------
    Model
        In evaluation mode, without gradients, pooler and heads.

    Raises
    ------
    ArgumentError
        For an unknown device or dtype, or a name that is no text.
    ModelError
        If the model cannot be found, is incomplete, or cannot be analysed.
    """
    if not isinstance(name_or_path, (str, Path)) or not str(name_or_path):
        raise ArgumentError(
            "name_or_path: expected the name of a model or the path of its folder, got "
            f"{name_or_path!r}"
        )
    torch_device = _device(device)
    torch_dtype = _dtype(dtype)
    with tempfile.TemporaryDirectory(prefix="provis_fast-") as unpacked:
        files = _find(name_or_path, revision, Path(unpacked))
        name = files.name
        logger.info("loading %s from %s", name, files.folder)
        with _quiet_transformers():
            with _ONE_AT_A_TIME:
                module = _load_encoder(name, files.folder, torch_device, torch_dtype, files.tape)
            if files.tape is not None:
                tokens = tape.token_table(name)
            else:
                tokens = load_tokens(name, files.folder, files.vocabulary)
    if module.dtype not in DTYPES.values():
        raise ModelError(
            f"{name}: its checkpoint is of dtype {module.dtype}, which cannot be computed with: "
            f"give dtype as one of {', '.join(DTYPES)}"
        )
    module.requires_grad_(False).eval().to(torch_device)
    dtype_found = str(module.dtype).removeprefix("torch.")
    model = Model(module, tokens, name, files.revision)
    model.origin = Origin.of(name_or_path, name, files.revision or revision, dtype_found)
    return model


def _find(name_or_path: str | Path, revision: str | None, unpacked: Path) -> _Files:
    """A model's files; those of an archive are put into `unpacked`."""
    name = str(name_or_path)
    folder = Path(name_or_path).expanduser()
    if folder.is_dir():
        return _Files(name, folder, tape=tape.in_folder(name, folder))
    if folder.exists():
        if not folder.name.endswith(tape.ARCHIVES):
            raise ModelError(
                f"{name} is a file; expected a folder with config.json and weights, or an archive "
                f"of TapeBert ({', '.join(tape.ARCHIVES)})"
            )
        return _Files(name, folder, tape=tape.in_archive(name, folder, unpacked))
    if isinstance(name_or_path, Path) or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(f"there is no folder {name}")
    known = names.elsewhere(name)
    if known == "antiberty":
        return _antiberty()
    if known == "tape-bert":
        checkpoint = tape.find(known, unpacked)
        return _Files(known, checkpoint.weights.parent, tape=checkpoint)
    repository = names.repository_of(name) or name
    snapshot, commit = hub.fetch(repository, revision)
    return _Files(repository, snapshot, revision=commit)


def _load_encoder(
    name: str,
    folder: Path,
    device: torch.device,
    dtype: torch.dtype | str,
    checkpoint: tape.Checkpoint | None,
) -> PreTrainedModel:
    config = _load_config(name, folder) if checkpoint is None else checkpoint.config
    model_class = _encoder_class(name, config)
    # Refused before gigabytes of weights are read.
    family = family_of(config, model_class.__name__)
    if device.type != "cpu" and not family.on_gpu:
        raise ModelError(
            f"{name}: device {device} asked for, but terms of relative position, which "
            f"{model_class.__name__} adds to its scores, are not supported on a GPU yet: use "
            "device='cpu'"
        )
    options = {}
    if "add_pooling_layer" in inspect.signature(model_class.__init__).parameters:
        options["add_pooling_layer"] = False
    if checkpoint is not None:
        options["state_dict"] = tape.read_weights(name, checkpoint)
    try:
        module, report = model_class.from_pretrained(
            folder if checkpoint is None else None,
            config=config,
            dtype=dtype,
            weights_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused below, in words of our own
            **options,
        )
    except pickle.UnpicklingError as error:
        # What torch says recommends to run the code.
        raise ModelError(
            f"{name}: the weights in {folder} are a pickle that holds more than tensors (or is "
            "damaged); code from data is never run. Get them as .safetensors"
        ) from error
    except Exception as error:  # damaged files raise whatever the parsers of formats raise
        if checkpoint is None:
            _check_buildable(name, folder, model_class, config)
        raise ModelError(
            f"{_label(name, folder)}cannot load the weights in {folder}: {_one_line(error)}. Is "
            "the folder complete?"
        ) from error
    missing = sorted(key for key in report["missing_keys"] if not key.startswith(UNUSED_PARTS))
    shapes = (key[0] for key in report["mismatched_keys"])
    wrong = sorted(key for key in shapes if not key.startswith(UNUSED_PARTS))
    faults = [
        f"{len(keys)} {what} ({', '.join(keys[:3])})"
        for keys, what in ((missing, "missing"), (wrong, "of another shape than config.json says"))
        if keys
    ]
    if faults:
        raise ModelError(
            f"{name}: the weights in {folder} do not fill {model_class.__name__}: "
            f"{', '.join(faults)}; random numbers would stand in for them. Take config.json and "
            "the weights from one and the same model"
        )
    _check_depth(name, folder, config, report["unexpected_keys"])
    for part in UNUSED_PARTS:
        if getattr(module, part, None) is not None:
            setattr(module, part, None)
    return module


def _load_config(name: str, folder: Path) -> PreTrainedConfig:
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(
            f"{_label(name, folder)}there is no config.json in {folder}: expected a folder with "
            "config.json, weights (model.safetensors or pytorch_model.bin) and a tokenizer; give "
            "the folder that holds them"
        )
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # wrong values raise whatever the class of the config makes of them
        raise ModelError(
            f"{_label(name, folder)}cannot use {path}: {_one_line(error)}. Expected that of a "
            f"transformers model of one of the types {supported()}; take the model's own"
        ) from error


def _check_buildable(
    name: str, folder: Path, model_class: type[PreTrainedModel], config: PreTrainedConfig
) -> None:
    """Blame config.json where no model can be made of it, whatever the weights."""
    try:
        with torch.device("meta"):
            model_class(config)
    except Exception as error:  # each class checks its sizes in its own way, or not at all
        raise ModelError(
            f"{_label(name, folder)}no {model_class.__name__} can be made of "
            f"{folder / 'config.json'}: {_one_line(error)}. Take config.json and the weights from "
            "one and the same model"
        ) from error


def _label(name: str, folder: Path) -> str:
    """A model's name before a message, unless the message names it already, as its folder."""
    return "" if Path(name).expanduser() == folder else f"{name}: "


def _encoder_class(name: str, config: PreTrainedConfig) -> type[PreTrainedModel]:
    """The class of an encoder without heads, and without the decoder that it was trained with.

    Changes the config of an encoder-decoder of which only the encoder is loaded.
    """
    kind = type(config)
    known = config.model_type in FAMILIES and kind in MODEL_FOR_TEXT_ENCODING_MAPPING
    mapping = MODEL_FOR_TEXT_ENCODING_MAPPING if known else MODEL_MAPPING
    if kind not in mapping:
        raise ModelError(
            f"{name}: transformers has no encoder for type {config.model_type!r}; supported: "
            f"{supported()}"
        )
    model_class = mapping[kind]
    if known and model_class is not MODEL_MAPPING[kind]:
        config.is_encoder_decoder = config.use_cache = False
    return model_class


def _check_depth(
    name: str, folder: Path, config: PreTrainedConfig, unexpected: Iterable[str]
) -> None:
    """Refuse weights of more layers than config.json says: the others would not be run."""
    layers = getattr(config, "num_hidden_layers", None)
    # T5's blocks number their parts as layers; what its decoder has is of no account.
    own = (key for key in unexpected if not key.startswith("decoder."))
    numbers = (re.search(r"\b(?:layers?|block)\.(\d+)\.", key) for key in own)
    beyond = max((int(n[1]) for n in numbers if n), default=-1)
    if layers is not None and beyond >= layers:
        raise ModelError(
            f"{name}: the weights in {folder} have at least {beyond + 1} layers, config.json says "
            f"num_hidden_layers={layers}; take both from one and the same model"
        )


def _device(device: str | torch.device) -> torch.device:
    if device == "auto":  # not the GPU, until its kernels have been tested on one
        return torch.device("cpu")
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ArgumentError(
            f"device: expected 'auto', 'cpu', 'cuda' or 'cuda:N', got {device!r}"
        ) from error
    if found.type == "cuda" and not (found.index or 0) < torch.cuda.device_count():
        raise ArgumentError(
            f"device: {device!r} asked for, but torch sees {torch.cuda.device_count()} GPUs"
        )
    if found.type != "cpu" and not (found.type == "cuda" and CUDA_BUILT):
        raise ArgumentError(
            f"device: {device!r} asked for, but this installation has kernels for the CPU only; "
            "use 'cpu' or 'auto'"
        )
    if found.type == "cuda":
        logger.warning(
            "the kernels for GPUs have been compiled and tested on the host, but have never run on "
            "a GPU: compare with device='cpu' before you rely on them"
        )
    return found


def _dtype(dtype: str | torch.dtype) -> torch.dtype | str:
    if isinstance(dtype, str) and dtype == "auto":
        return dtype
    found = DTYPES.get(dtype, dtype) if isinstance(dtype, str) else dtype
    if found not in DTYPES.values():
        raise ArgumentError(f"dtype: expected one of {', '.join(DTYPES)} or 'auto', got {dtype!r}")
    return found


def _one_line(error: BaseException) -> str:
    """An exception in a line that can stand before a full stop."""
    lines = str(error).strip().splitlines()
    # A first line that ends with a colon says where, the next one what.
    said = lines[: 2 if lines and lines[0].endswith(":") else 1]
    text = " ".join(line.strip() for line in said).rstrip(".")
    return f"{type(error).__name__}: {text or 'no message'}"


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep transformers from writing its load report and progress bar to stderr.

    What matters of the report (missing weights) is checked and raised.
    """
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
