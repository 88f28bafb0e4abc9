"""T5 encoders on disk and in somebody's pipeline: with a decoder beside them, or without."""

from __future__ import annotations

import json

import analysis_cases
import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny_models import T5_SIZES, encoder_class, hidden, tiny, tiny_of, tokens
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import T5Tokenizer

import provis_fast as pf
from provis_fast.errors import ModelError
from provis_fast.models import routed, weights_digest

LETTERS = "ALGVSREDTIPKFQNYMHWCXUBZO"
KINDS = {
    "t5": (transformers.T5Config, transformers.T5ForConditionalGeneration),
    "mt5": (transformers.MT5Config, transformers.MT5ForConditionalGeneration),
    "umt5": (transformers.UMT5Config, transformers.UMT5ForConditionalGeneration),
}


def tokenizer():
    """As ProtT5's: residues separated by spaces, one token at the end and none before."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [("\u2581" + letter, -2.0 - k / 10) for k, letter in enumerate(LETTERS)]
    return T5Tokenizer(vocab=pieces, extra_ids=3)


def whole(kind):
    """An encoder-decoder, whose decoder has more layers than its encoder."""
    config, model_class = KINDS[kind]
    sizes = T5_SIZES | {"vocab_size": 31, "pad_token_id": 0, "eos_token_id": 1}
    return tiny_of(model_class, config(**sizes, num_decoder_layers=5), factor=30.0)


@pytest.fixture(params=sorted(KINDS))
def folder(request, tmp_path):
    whole(request.param).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    return tmp_path


def test_the_encoder_of_an_encoder_decoder(folder, capfd):
    config = json.loads((folder / "config.json").read_text())
    assert config["is_encoder_decoder"]
    model = pf.load_model(folder)
    assert capfd.readouterr() == ("", "")
    assert (model.n_layers, model.n_heads, model.head_size) == (3, 2, 12)
    assert model.packs and model.max_residues is None
    assert (model.tokens.prefix, model.tokens.suffix) == ((), (1,))
    assert model.config["relative_attention_num_buckets"] == 8
    assert model.config["d_kv"] == 12 and model.config["feed_forward_proj"] == "gated-gelu"
    assert not any("decoder" in name for name, _ in model.module.named_parameters())
    both = whole(config["model_type"])
    ids = torch.from_numpy(model.tokens.encode("MKVUZOBXL"))[None]
    expected = hidden(both.encoder, input_ids=ids)
    assert torch.equal(hidden(model.module, input_ids=ids), expected)
    assert weights_digest(both.encoder) == model.digest
    changed = config | {"feed_forward_proj": "gated-silu", "dense_act_fn": "silu"}
    (folder / "config.json").write_text(json.dumps(changed))
    assert pf.load_model(folder).digest != model.digest


def test_an_encoder_alone(folder, tmp_path):
    """As the half-precision ProtT5 comes: saved from T5EncoderModel."""
    model = pf.load_model(folder)
    encoder = encoder_class(model.module.config).from_pretrained(folder)
    alone = tmp_path / "alone"
    encoder.save_pretrained(alone)
    tokenizer().save_pretrained(alone)
    assert pf.load_model(alone).digest == model.digest
    weights = load_file(alone / "model.safetensors")
    assert "shared.weight" in weights
    weights["encoder.embed_tokens.weight"] = weights["shared.weight"].clone()  # older files: twice
    save_file(weights, alone / "model.safetensors", metadata={"format": "pt"})
    assert pf.load_model(alone).digest == model.digest
    del weights["encoder.block.2.layer.1.DenseReluDense.wo.weight"]
    save_file(weights, alone / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"1 missing \(encoder.block.2.layer.1"):
        pf.load_model(alone)


def test_more_layers_than_the_config_says_are_refused(folder):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_layers": 2}))
    with pytest.raises(ModelError, match=r"at least 3 layers, .* num_hidden_layers=2"):
        pf.load_model(folder)


def test_weights_as_pickle(folder):
    digest = pf.load_model(folder).digest
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    assert pf.load_model(folder).digest == digest


def test_analyze_and_attach_agree_with_eager_attention(folder):
    model = pf.load_model(folder)
    letters = analysis_cases.AMINO_ACIDS + "X"  # others would become X in `analyze` alone
    proteins = analysis_cases.random_proteins(
        [60, 1, 150, 97, 33, 120, *[50] * 12], letters=letters
    )
    result = pf.analyze(model, proteins, ("amino_acid", "contact"))
    arcs = near = 0
    for protein in proteins:
        ids = torch.from_numpy(model.tokens.encode(protein.sequence))
        a = analysis_cases.float64_attention(model.module, ids)[:, :, :-1, :-1]
        arcs = arcs + (a >= 0.3).sum((-1, -2))
        near = near + (np.abs(a - 0.3) <= 1e-5).sum((-1, -2))
    assert arcs.sum() >= 1000
    assert (np.abs(result.arcs - arcs) <= near).all()
    users = tokenizer()
    texts = [" ".join(p.sequence) for p in proteins]
    batch = users(texts, padding=True, return_tensors="pt", return_token_type_ids=False)
    encoder = whole(model.family).encoder  # of a pipeline that generates with the whole
    with torch.no_grad(), pf.attach(encoder, users, ("amino_acid",)) as tap:
        encoder(**batch)
    assert (np.abs(tap.result().arcs - arcs) <= near).all()
    assert tap.result().residues == result.residues
    assert tap.result().model["digest"] == result.model["digest"]


class _Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation returns."""

    numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for x in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(x, torch.Tensor):
                self.numel = max(self.numel, x.numel())
        return out


@pytest.mark.parametrize("name", ["t5", "umt5", "mt5"])
def test_nothing_of_tokens_by_tokens_is_made(name):
    length = 500
    model = tiny(name)
    shapes = []

    def handler(layer, query, key, value, mask, scale, relative_bias):
        assert scale == 1.0 and relative_bias.dtype == torch.float32
        shapes.append(tuple(relative_bias.shape))
        return value.transpose(1, 2)

    with routed(model, handler), _Largest() as largest:
        hidden(model, input_ids=tokens(1, length))
    assert shapes == [(2, 2 * length - 1)] * 3
    assert largest.numel < length * length
    with _Largest() as largest:  # while transformers makes such a bias
        hidden(model, input_ids=tokens(1, length))
    assert largest.numel >= length * length


def test_a_bias_of_ones_own_is_refused():
    model = tiny("t5")
    attention = model.encoder.block[0].layer[0].SelfAttention
    bias = torch.zeros(1, 2, 6, 6)
    with pf.attach(model, residues=torch.ones(1, 6, dtype=torch.bool), properties=()):
        with torch.no_grad(), pytest.raises(ModelError, match="position_bias of shape"):
            attention(torch.zeros(1, 6, 24), position_bias=bias)
