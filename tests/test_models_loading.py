"""Loading from folders; packing; what is refused, and how."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny_models import (
    CONFIGS,
    ESM_VOCABULARY,
    attend_within,
    esm_tokenizer,
    save_with_tokenizer,
    tiny,
    tiny_of,
)

from provis_fast import _kernels
from provis_fast.errors import ArgumentError, InputError, ModelError
from provis_fast.models import FAMILIES, Model, load_model, loading, routed, weights_digest

SEQUENCES = ["MKTAYIAKQRQISFVKSHFSRQ", "A", "GSHMLEDPVDAFKRWYNCTIQLLLLLAAA", "WXU"]


@pytest.fixture
def folder(tmp_path) -> Path:
    return save_with_tokenizer(tmp_path / "model", tiny("esm-rotary"))


# -- packing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_packed_equals_one_by_one(name, tmp_path):
    encoder = tiny(name)
    model = Model(encoder, esm_tokenizer(tmp_path), name)
    sequences = [*SEQUENCES, "ACDEFGHIKLMNPQRSTVWY" * 2]  # together longer than the positions
    ids = [model.tokens.encode(sequence) for sequence in sequences]
    boundaries = [0, *np.cumsum([len(one) for one in ids]).tolist()]
    inputs = model.inputs(ids)
    positions = FAMILIES[model.family].positions
    options = FAMILIES[model.family].options
    assert set(inputs) == {"input_ids", positions, *options} - {None}
    for row in (inputs[name] for name in inputs.keys() - options.keys()):
        assert (row.dtype, tuple(row.shape)) == (torch.int64, (1, boundaries[-1]))
    with torch.no_grad():
        with routed(model.module, attend_within(boundaries)):
            packed = model.module(**inputs).last_hidden_state
        for one, start, end in zip(ids, boundaries[:-1], boundaries[1:], strict=True):
            alone = encoder(input_ids=torch.from_numpy(one)[None]).last_hidden_state
            torch.testing.assert_close(packed[:, start:end], alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_longest_protein(name, tmp_path):
    encoder = tiny(name)
    model = Model(encoder, esm_tokenizer(tmp_path), name)
    positions = FAMILIES[model.family].positions
    if model.max_residues is None:
        unlimited = {"esm-rotary", "esmc", "t5", "t5-relu", "mt5", "umt5"}
        assert name in unlimited | {"modernbert", "xlnet", "xlnet-clamped"}
        longest = 100
    else:
        pad = 1 if int(model.inputs([model.tokens.encode("A")])[positions][0, 0]) else -1
        longest = model.max_residues
        assert longest == 64 - pad - 1 - 2
        ids = model.tokens.encode("A" * (longest + 1))
        with pytest.raises(InputError, match=f"{longest + 1} residues.*positions for {longest}"):
            model.inputs([model.tokens.encode("A"), ids])
        with pytest.raises((IndexError, RuntimeError)), torch.no_grad():
            encoder(input_ids=torch.from_numpy(ids)[None])
    with torch.no_grad():
        encoder(**model.inputs([model.tokens.encode("A" * longest)]))


def test_esm1b_holds_1022_residues(tmp_path):
    config = transformers.EsmConfig(
        **{**CONFIGS["esm-absolute"]().to_dict(), "max_position_embeddings": 1026}
    )
    model = Model(tiny_of(transformers.EsmModel, config), esm_tokenizer(tmp_path), "ESM-1b shape")
    assert model.max_residues == 1022


def test_nothing_to_pack(folder):
    with pytest.raises(ArgumentError, match="at least one protein"):
        load_model(folder).inputs([])


# -- folders ---------------------------------------------------------------------------------------


def test_folder(folder, capfd):
    model = load_model(str(folder))
    assert capfd.readouterr() == ("", "")
    assert (model.family, model.n_layers, model.n_heads) == ("esm", 3, 2)
    assert (model.head_size, model.max_residues) == (12, None)
    assert (model.device.type, model.dtype) == ("cpu", torch.float32)
    assert not model.module.training
    assert not any(weights.requires_grad for weights in model.module.parameters())
    assert model.module.pooler is None and model.module.contact_head is None
    assert model.config["num_hidden_layers"] == 3
    json.dumps(model.config)
    assert "3 layers x 2 heads x 12" in repr(model)
    inputs = model.inputs([model.tokens.encode(SEQUENCES[0])])
    with torch.no_grad():
        found = model.module(**inputs).last_hidden_state
        expected = tiny("esm-rotary")(**inputs).last_hidden_state
    assert torch.equal(found, expected)


def test_weights_of_more_layers_than_the_config_says_are_refused(folder):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"num_hidden_layers": 2}))
    with pytest.raises(ModelError, match=r"at least 3 layers, .* num_hidden_layers=2"):
        load_model(folder)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", torch.float64])
def test_dtypes(folder, dtype):
    model = load_model(folder, dtype=dtype, device=torch.device("cpu"))
    assert model.dtype == (getattr(torch, dtype) if isinstance(dtype, str) else dtype)
    assert model.module.rotary_embeddings.inv_freq.dtype == torch.float32
    with torch.no_grad():
        output = model.module(**model.inputs([model.tokens.encode(SEQUENCES[0])]))
    assert output.last_hidden_state.dtype == model.dtype


def test_arguments_refused(folder):
    with pytest.raises(ArgumentError, match="dtype: expected one of float32"):
        load_model(folder, dtype="int8")
    with pytest.raises(ArgumentError, match="device: expected 'auto'"):
        load_model(folder, device="gpu")
    missing = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(ArgumentError, match="torch sees"):
        load_model(folder, device=missing)


def test_a_gpu_without_kernels_for_it(folder, monkeypatch, caplog):
    monkeypatch.setattr(loading, "CUDA_BUILT", False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert load_model(folder).device.type == "cpu"
    with pytest.raises(ArgumentError, match=r"kernels for the CPU only; use 'cpu' or 'auto'"):
        load_model(folder, device="cuda")
    monkeypatch.setattr(loading, "CUDA_BUILT", True)
    assert loading._device("cuda") == torch.device("cuda")
    assert "never run on a GPU" in caplog.text
    assert loading._device("auto") == torch.device("cpu")


def test_kernels_for_gpus_are_not_looked_for_where_there_are_none():
    with pytest.raises(ArgumentError, match="query: expected a tensor on the CPU"):
        _kernels._no_kernel_for_cuda(torch.zeros(1))


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("bert", "hidden_act"),
        ("distilbert", "activation"),
        ("modernbert", "hidden_activation"),
        ("xlnet", "ff_activation"),
    ],
)
def test_digest_depends_on_the_activation(name, option):
    """The same weights are another model with another one, whatever its config calls it."""
    model = tiny(name)
    digest = weights_digest(model)
    assert getattr(model.config, option) == "gelu"
    setattr(model.config, option, "relu")
    assert weights_digest(model) != digest


def test_digest_depends_on_weights_alone(folder, tmp_path):
    model = load_model(folder)
    assert len(model.digest) == 64
    assert load_model(folder).digest == model.digest
    assert weights_digest(tiny("esm-rotary")) == model.digest  # pooler and contact head aside
    headed = tiny_of(transformers.EsmForMaskedLM, CONFIGS["esm-rotary"](), seed=3)
    assert weights_digest(headed) != model.digest
    headed.esm.load_state_dict(model.module.state_dict(), strict=False)
    assert weights_digest(headed) == model.digest
    assert load_model(save_with_tokenizer(tmp_path / "headed", headed)).digest == model.digest
    assert load_model(folder, dtype="float64").digest != model.digest


def test_checkpoint_of_a_model_with_a_head(tmp_path):
    headed = tiny_of(transformers.BertForMaskedLM, CONFIGS["bert"]())
    model = load_model(save_with_tokenizer(tmp_path / "headed", headed))
    inputs = model.inputs([model.tokens.encode("ACDEF")])
    with torch.no_grad():
        expected = headed.bert(**inputs).last_hidden_state
        assert torch.equal(model.module(**inputs).last_hidden_state, expected)


def without_weight(folder: Path, name: str) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_incomplete_weights_refused(folder):
    name = "encoder.layer.1.attention.self.query.weight"
    without_weight(folder, name)
    with pytest.raises(ModelError, match=f"1 missing.*{name}.*random"):
        load_model(folder)


def test_truncated_weights_refused(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="cannot load the weights"):
        load_model(folder)


def test_weights_as_pickle(folder):
    """Plain tensors in a pickle are read; one that calls code is refused before it runs."""
    digest = load_model(folder).digest
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    assert load_model(folder).digest == digest

    class Attack:
        def __reduce__(self):
            return (Path.touch, (folder / "was-run",))

    torch.save({"weights": Attack()}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"holds more than tensors.*as \.safetensors$"):
        load_model(folder)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Attack()))
    with pytest.raises(ModelError, match="code from data is never run"):
        load_model(folder)
    assert not (folder / "was-run").exists()


def test_code_beside_weights_is_not_run(folder):
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "mine"
    config["auto_map"] = {"AutoConfig": "mine.Config", "AutoModel": "mine.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "mine.py").write_text(f"open({str(folder / 'was-run')!r}, 'w')")
    with pytest.raises(ModelError, match=r"cannot use .*config\.json"):
        load_model(folder)
    assert not (folder / "was-run").exists()


def test_folders_refused(folder, tmp_path):
    with pytest.raises(ModelError, match="there is no folder"):
        load_model(tmp_path / "nothing")
    with pytest.raises(ModelError, match="there is no folder"):
        load_model("./nothing")
    with pytest.raises(ModelError, match="is a file; expected a folder"):
        load_model(folder / "config.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"there is no config\.json"):
        load_model(tmp_path / "empty")
    for name in ("vocab.txt", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.json"):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(ModelError, match=r"expected vocab\.txt or tokenizer\.json, .*config\.json"):
        load_model(folder)


def test_tokenizer_of_another_model_refused(folder):
    longer = [*ESM_VOCABULARY[:4], *(f"<{i}>" for i in range(20)), *ESM_VOCABULARY[4:]]
    (folder / "vocab.txt").write_text("\n".join(longer))
    (folder / "tokenizer.json").unlink(missing_ok=True)
    with pytest.raises(ModelError, match="another model's tokenizer"):
        load_model(folder)


def test_unrouted_class_is_refused_before_its_weights_are_read(tmp_path):
    transformers.DebertaV2Config().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"DebertaV2Model .type 'deberta-v2'. cannot be analysed"):
        load_model(tmp_path)


def test_loading_leaves_transformers_settings_alone(folder):
    settings = transformers.utils.logging
    before = settings.get_verbosity(), settings.is_progress_bar_enabled()
    load_model(folder)
    assert (settings.get_verbosity(), settings.is_progress_bar_enabled()) == before
    shutil.rmtree(folder)
    with pytest.raises(ModelError):
        load_model(folder)
    assert (settings.get_verbosity(), settings.is_progress_bar_enabled()) == before


def test_digest_tells_whether_ernie_uses_its_tasks():
    module = tiny("ernie")
    before = weights_digest(module)
    module.config.use_task_id = not module.config.use_task_id
    assert weights_digest(module) != before
