"""Short names of models: what they stand for, and what an unknown one is told."""

from __future__ import annotations

from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub.errors import OfflineModeIsEnabled, RepositoryNotFoundError

from provis_fast.errors import ModelError
from provis_fast.models import hub, load_model, names


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("esm2_t6_8M", "facebook/esm2_t6_8M_UR50D"),
        ("esm2_t6_8M_UR50D", "facebook/esm2_t6_8M_UR50D"),
        ("ESM2-t48-15b", "facebook/esm2_t48_15B_UR50D"),
        ("esm2_650M", "facebook/esm2_t33_650M_UR50D"),
        ("esm1b", "facebook/esm1b_t33_650M_UR50S"),
        ("esm1v_3", "facebook/esm1v_t33_650M_UR90S_3"),
        ("esmc_300m", "biohub/ESMC-300M-hf"),
        ("prot_bert", "Rostlab/prot_bert"),
        ("prot-bert-bfd", "Rostlab/prot_bert_bfd"),
        ("prot_albert", "Rostlab/prot_albert"),
        ("prot_xlnet", "Rostlab/prot_xlnet"),
        ("prot_t5_xl", "Rostlab/prot_t5_xl_uniref50"),
        ("prot_t5_xl_half", "Rostlab/prot_t5_xl_half_uniref50-enc"),
    ],
)
def test_short_names(name, repository, monkeypatch):
    assert names.repository_of(name) == repository
    asked = []

    def fetch(name, revision=None):
        asked.append((name, revision))
        raise ModelError("no hub")

    monkeypatch.setattr(hub, "fetch", fetch)
    with pytest.raises(ModelError, match="no hub"):
        load_model(name, revision="v1")
    assert asked == [(repository, "v1")]


def test_no_name_stands_for_two_models():
    aliases = [
        name.lower().replace("-", "_")
        for repository, short in names.REPOSITORIES.items()
        for name in {*short, repository.rpartition("/")[2]}
    ]
    assert len(aliases) == len(set(aliases))
    assert not {name.replace("-", "_") for name in names.ELSEWHERE} & set(aliases)


def test_other_names_are_left_to_the_hub():
    assert names.repository_of("owner/model") is None
    assert names.repository_of("facebook/esm2_t6_8M_UR50D") is None
    assert names.elsewhere("antiberty") == "antiberty"
    assert names.elsewhere("TAPE_BERT") == "tape-bert"
    assert names.elsewhere("esm1b") is None


@pytest.mark.parametrize("error", [RepositoryNotFoundError, OfflineModeIsEnabled])
def test_an_unknown_name_is_told_what_there_is(error, monkeypatch):
    def refuse(*args, **kwargs):
        if error is OfflineModeIsEnabled:
            raise error("offline")
        raise error("no", response=SimpleNamespace(headers={}, request=None))

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *a, **k: None)
    with pytest.raises(ModelError) as caught:
        load_model("esm3")
    message = str(caught.value)
    for part in ("no folder esm3", "antiberty, tape-bert", "esm2_t6_8M", "prot_t5_xl", "esmc_600m"):
        assert part in message
    assert "of the types albert, bert," in message
