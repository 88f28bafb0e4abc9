"""TapeBert against the original: attention of the package tape-proteins, on random weights."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_models
import torch

from provis_fast import analyze, ops
from provis_fast.models import load_model, routed
from provis_fast.proteins import Protein

tape = pytest.importorskip(
    "tape", reason="the original TapeBert needs tape-proteins; .ci/run installs it"
)

THRESHOLD = 0.1
LENGTHS = (1, 2, 37, 120, 233)


def random_model(kind: str):
    config = tape.ProteinBertConfig(
        hidden_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=96,
        output_attentions=True,
    )
    torch.manual_seed(0)
    return tiny_models.sharpen(getattr(tape, kind)(config).eval())


@pytest.fixture(scope="module")
def original():
    return random_model("ProteinBertModel")


@pytest.fixture
def folder(original, tmp_path):
    original.save_pretrained(str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def sequences() -> list[str]:
    rng = np.random.default_rng(0)
    letters = list("ABCDEFGHIKLMNOPQRSTUVWXYZ")
    return ["".join(rng.choice(letters, length)) for length in LENGTHS]


def attention(original, sequence: str) -> np.ndarray:
    """float32 [layers, heads, tokens, tokens], tokens by the original's own tokenizer."""
    ids = torch.from_numpy(tape.TAPETokenizer("iupac").encode(sequence))[None]
    with torch.no_grad():
        return torch.cat(original(ids)[-1]).numpy()


def test_tokens(folder, sequences):
    tokens = load_model(folder).tokens
    tokenizer = tape.TAPETokenizer("iupac")
    for sequence in sequences:
        assert tokens.encode(sequence).tolist() == tokenizer.encode(sequence).tolist()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_attention(original, folder, sequences, dtype):
    model = load_model(folder, dtype=dtype)
    model.module.set_attn_implementation("eager")
    difference = 0.0
    reference = original.double() if dtype == "float64" else original
    try:
        for sequence in sequences:
            inputs = model.inputs([model.tokens.encode(sequence)])
            with torch.no_grad():
                found = torch.cat(model.module(**inputs, output_attentions=True).attentions)
            difference = max(
                difference, np.abs(found.numpy() - attention(reference, sequence)).max()
            )
    finally:
        original.float()
    assert difference < (1e-6 if dtype == "float32" else 1e-13)


def test_checkpoint_of_a_model_with_a_head(sequences, tmp_path):
    """As the published one, a language model."""
    headed = random_model("ProteinBertForMaskedLM")
    headed.save_pretrained(str(tmp_path))
    model = load_model(tmp_path)
    model.module.set_attn_implementation("eager")
    inputs = model.inputs([model.tokens.encode(sequences[-1])])
    with torch.no_grad():
        found = torch.cat(model.module(**inputs, output_attentions=True).attentions)
    expected = attention(headed, sequences[-1])
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6, rtol=0)


def test_arcs(original, folder, sequences):
    """Every arc of all proteins packed in one row, by the kernel, is one of the original's."""
    expected = set()
    for number, sequence in enumerate(sequences):
        weights = attention(original, sequence)[:, :, 1:-1, 1:-1]
        assert np.abs(weights - THRESHOLD).min() > 4e-6, "one weight lies too near"
        expected |= {(number, *arc) for arc in np.argwhere(weights >= THRESHOLD).tolist()}
    assert len(expected) >= 1000

    model = load_model(folder)
    ids = [model.tokens.encode(sequence) for sequence in sequences]
    ends = np.cumsum([0, *map(len, ids)])
    residues = torch.ones(ends[-1], dtype=torch.bool)
    residues[ends[:-1]] = residues[ends[1:] - 1] = False
    found = set()

    def handler(layer, query, key, value, mask, scale):
        result = ops.attention_statistics(
            *(part[0].transpose(0, 1) for part in (query, key, value)),
            cu_seqlens=torch.from_numpy(ends.astype(np.int32)),
            residues=residues,
            thresholds=THRESHOLD,
            scale=scale,
            max_arcs=1 << 17,
        )
        for sequence, head, i, j in result.arc_index.tolist():
            found.add((sequence, layer, head, i - 1, j - 1))
        return result.output[None]

    with torch.no_grad(), routed(model.module, handler):
        model.module(**model.inputs(ids))
    assert found == expected


def test_analysis(original, folder, sequences):
    """U, Z, O and B have tokens of their own: the proteins hold all of them."""
    weights = [attention(original, sequence)[:, :, 1:-1, 1:-1] for sequence in sequences]
    proteins = [Protein(f"p{n}", sequence) for n, sequence in enumerate(sequences)]
    result = analyze(str(folder), proteins, threshold=THRESHOLD)
    expected = sum((one >= THRESHOLD).sum((-2, -1)) for one in weights)
    np.testing.assert_array_equal(result.arcs, expected)
    at_leucine = sum(
        ((one >= THRESHOLD) & (np.array(list(sequence)) == "L")).sum((-2, -1))
        for one, sequence in zip(weights, sequences, strict=True)
    )
    leucine = "ACDEFGHIKLMNPQRSTVWY".index("L")
    np.testing.assert_array_equal(result.counts["amino_acid"][..., leucine], at_leucine)
