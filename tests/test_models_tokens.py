"""The byte table against the tokenizers it is made from."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_models import (
    ANTIBERTY_VOCABULARY,
    ESM_VOCABULARY,
    PROTBERT_VOCABULARY,
    bert_tokenizer,
    esm_tokenizer,
)

from provis_fast.errors import InputError, ModelError
from provis_fast.models import TokenTable

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"


@pytest.fixture
def esm(tmp_path) -> TokenTable:
    return TokenTable.from_tokenizer(esm_tokenizer(tmp_path), "an ESM")


def test_esm(esm):
    assert esm.alphabet == "ABCDEFGHIKLMNOPQRSTUVWXYZ"
    assert (esm.prefix, esm.suffix) == ((0,), (2,))
    for letter in esm.alphabet:
        assert esm.encode(letter).tolist() == [0, ESM_VOCABULARY.index(letter), 2]


def test_equals_tokenizer_on_random_sequences(esm, tmp_path):
    tokenizer = esm_tokenizer(tmp_path)
    rng = np.random.default_rng(7)
    for length in (1, 2, 33, 500):
        sequence = "".join(rng.choice(list(esm.alphabet), size=length))
        ids = esm.encode(sequence)
        assert ids.dtype == np.int64
        assert ids.tolist() == tokenizer(sequence)["input_ids"]


def test_spaced_vocabulary_with_x_takes_rare_letters_as_x():
    table = TokenTable.from_tokenizer(bert_tokenizer(PROTBERT_VOCABULARY), "a ProtBert")
    a, x = (PROTBERT_VOCABULARY.index(letter) for letter in "AX")
    assert table.encode("AXUZOBA").tolist() == [2, a, x, x, x, x, x, a, 3]
    for letter in AMINO_ACIDS:
        assert table.encode(letter)[1] == PROTBERT_VOCABULARY.index(letter)


def test_vocabulary_without_x_takes_rare_letters_as_unknown():
    table = TokenTable.from_tokenizer(bert_tokenizer(ANTIBERTY_VOCABULARY), "an AntiBERTy")
    assert table.encode("AXBZUOA").tolist() == [2, 5, 1, 1, 1, 1, 1, 5, 3]
    with pytest.raises(InputError, match="residue 2 is 'J'"):
        table.encode("AJ")


@pytest.mark.parametrize(
    ("sequence", "match"),
    [
        ("ACJ", r"residue 3 is 'J', which an ESM does not know; its letters are ABC.*use X"),
        ("*AC", r"residue 1 is '\*'"),
        ("A-C", "residue 2 is '-'"),
        ("A C", "residue 2 is ' '"),
        ("ACd", "residue 3 is 'd'.*upper case"),
        ("AÅC", "residue 2 is 'Å'"),
        ("AC\u0391", "residue 3 is '\u0391'"),
        ("", "empty"),
    ],
)
def test_letters_refused(esm, sequence, match):
    with pytest.raises(InputError, match=match):
        esm.encode(sequence)


def test_table_cannot_be_changed(esm):
    with pytest.raises(ValueError, match="read-only"):
        esm.table[65] = 3


@pytest.mark.parametrize(
    "tokenizer",
    [
        lambda: bert_tokenizer(lower=True),
        lambda: bert_tokenizer([t for t in PROTBERT_VOCABULARY if t != "W"]),
        lambda: bert_tokenizer([*PROTBERT_VOCABULARY[:5], "the", "protein", "##s"]),
    ],
)
def test_other_tokenizers_refused(tokenizer):
    with pytest.raises(ModelError, match="one token per residue"):
        TokenTable.from_tokenizer(tokenizer(), "a model")


def test_tokenizer_that_merges_residues_refused():
    """A vocabulary with single residues and a pair of them passes letter by letter only."""
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    vocabulary = {token: i for i, token in enumerate(["<unk>", *AMINO_ACIDS, "MK"])}
    merging = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocabulary, merges=[("M", "K")], unk_token="<unk>")
    )
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=merging, unk_token="<unk>")
    assert fast("MK")["input_ids"] == [21]
    with pytest.raises(ModelError, match="depend on neighbouring residues"):
        TokenTable.from_tokenizer(fast, "a model")
