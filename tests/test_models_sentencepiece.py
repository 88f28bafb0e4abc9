"""Tokenizers of ProtAlbert, ProtXLNet and ProtT5, against the library that they are made with."""

from __future__ import annotations

import importlib.util
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import sentencepiece_files as files
import torch
from transformers import AlbertConfig, T5Config, XLNetConfig, XLNetModel

import provis_fast as pf
from provis_fast.errors import ModelError
from provis_fast.models.tokenizers import load_tokens

MODELS = {
    "albert": (files.ALBERT, AlbertConfig, 34),
    "xlnet": (files.XLNET, XLNetConfig, 37),
    "t5": (files.T5, T5Config, 128),
}
SPECIALS = {"albert": ((2,), (3,)), "xlnet": ((), (4, 3)), "t5": ((), (1,))}


def save(folder: Path, name: str, extra: list[tuple[str, int]] | None = None) -> Path:
    pieces, config, size = MODELS[name]
    folder.mkdir(exist_ok=True)
    config(vocab_size=size).save_pretrained(folder)
    files.write(folder / "spiece.model", [*pieces, *(extra or [])])
    return folder


@pytest.fixture
def library():
    pytest.importorskip("google.protobuf", reason="needs the extra sentencepiece")
    return pytest.importorskip("sentencepiece", reason="needs the extra sentencepiece")


@pytest.mark.parametrize("name", sorted(MODELS))
def test_residues(library, tmp_path, name):
    """The 20 amino acids, with spaces between, as SentencePiece itself cuts them."""
    tokens = load_tokens(name, save(tmp_path, name))
    assert (tokens.prefix, tokens.suffix) == SPECIALS[name]
    original = library.SentencePieceProcessor(model_file=str(tmp_path / "spiece.model"))
    rng = np.random.default_rng(3)
    for length in (1, 2, 300):
        sequence = "".join(rng.choice(list(files.AMINO_ACIDS), length))
        pieces = original.encode(" ".join(sequence))
        assert original.id_to_piece(pieces) == [f"▁{letter}" for letter in sequence]
        expected = [*tokens.prefix, *pieces, *tokens.suffix]
        assert tokens.encode(sequence).tolist() == expected


@pytest.mark.parametrize("name", ["albert", "t5"])
def test_rare_residues_become_x(library, tmp_path, name):
    """Though the vocabularies hold U, Z, O and B, models were used with X in their place."""
    tokens = load_tokens(name, save(tmp_path, name))
    original = library.SentencePieceProcessor(model_file=str(tmp_path / "spiece.model"))
    expected = original.encode("A X X X X X C")
    assert tokens.encode("AUZOBXC")[tokens.n_prefix :][:7].tolist() == expected
    assert not tokens.without_token and not tokens.split


def test_rare_residues_of_xlnet_are_unknown_one_by_one(library, tmp_path):
    """Where SentencePiece merges unknown neighbours, a protein keeps its length."""
    tokens = load_tokens("a ProtXLNet", save(tmp_path, "xlnet"))
    original = library.SentencePieceProcessor(model_file=str(tmp_path / "spiece.model"))
    a, c = (original.piece_to_id(f"▁{letter}") for letter in "AC")
    assert original.encode("A X U C") == [a, 0, c]
    assert tokens.encode("AXUC").tolist() == [a, 0, 0, c, 4, 3]
    assert "".join(sorted(tokens.without_token)) == "BOUXZ" and not tokens.split


@pytest.mark.parametrize("types", [False, True])
def test_a_whole_xlnet(library, tmp_path, types):
    """Also where the tokenizer returns types of tokens by itself: 2 of <cls>, which stands last."""
    config = XLNetConfig(vocab_size=37, d_model=32, n_layer=3, n_head=4, d_inner=64)
    torch.manual_seed(0)
    XLNetModel(config).save_pretrained(tmp_path)
    files.write(tmp_path / "spiece.model", files.XLNET)
    names = ["input_ids", *(["token_type_ids"] if types else []), "attention_mask"]
    settings = {"do_lower_case": False, "model_input_names": names}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    model = pf.load_model(tmp_path)
    assert (model.tokens.prefix, model.tokens.suffix) == ((), (4, 3))
    sequences = ["ACDEFGHIKLMNPQRSTVWY" * 2, "MKXUAAC", "MK"]
    proteins = [pf.Protein(f"p{k}", sequence) for k, sequence in enumerate(sequences)]
    result = pf.analyze(model, proteins, threshold=0.05, min_arcs=1)
    plain = XLNetModel.from_pretrained(tmp_path, attn_implementation="eager").eval()
    arcs = 0
    for protein in proteins:
        ids = torch.from_numpy(model.tokens.encode(protein.sequence))[None]
        with torch.no_grad():
            out = plain(input_ids=ids, use_mems=False, output_attentions=True)
        a = torch.cat(out.attentions)[:, :, :-2, :-2]  # [layers, heads, L, L]
        assert not ((a - 0.05).abs() <= 1e-5).any()
        arcs = arcs + (a >= 0.05).sum((-1, -2)).numpy()
    assert arcs.sum() > 300
    np.testing.assert_array_equal(result.arcs, arcs)


def test_residues_that_would_be_cut_in_two_are_told(library, tmp_path, caplog):
    """A piece for the space alone: an unknown letter then is that piece and the unknown token."""
    folder = save(tmp_path, "xlnet", [("▁", files.NORMAL)])
    with caplog.at_level(logging.WARNING):
        tokens = load_tokens("a ProtXLNet", folder)
    assert "residues B, O, U, X, Z into several tokens" in caplog.text
    assert "".join(sorted(tokens.split)) == "BOUXZ" and tokens.split == tokens.without_token
    assert len(tokens.encode("AXXC")) == 4 + 2


def test_missing_packages_are_named(tmp_path, monkeypatch):
    """transformers would ask for tiktoken, which cannot read the file."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "sentencepiece" else find(name)
    )
    with pytest.raises(ModelError, match=r'needs sentencepiece.*"provis_fast\[sentencepiece\]"'):
        load_tokens("a ProtT5", save(tmp_path, "t5"))


def test_damaged_file(library, tmp_path):
    folder = save(tmp_path, "t5")
    whole = (folder / "spiece.model").read_bytes()
    (folder / "spiece.model").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"cannot load a tokenizer|one token per residue"):
        load_tokens("a ProtT5", folder)
