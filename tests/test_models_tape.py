"""TapeBert: folders, archives, downloads; what is refused. test_tape_parity.py has the original."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pickle
import tarfile
from pathlib import Path

import pytest
import torch
from tiny_models import tiny_of
from transformers import BertConfig, BertForMaskedLM, BertModel

from provis_fast.errors import InputError, ModelError
from provis_fast.models import load_model, tape, weights_digest

SIZES = {
    "vocab_size": 30,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
}
# What tape-proteins writes beside the sizes.
CONFIG = SIZES | {
    "attention_probs_dropout_prob": 0.1,
    "finetuning_task": None,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-12,
    "num_labels": 2,
    "output_attentions": False,
    "output_hidden_states": False,
    "torchscript": False,
}


def encoder() -> BertModel:
    return tiny_of(BertModel, BertConfig(**SIZES, pad_token_id=0))


def save(folder: Path, names=("config.json", "pytorch_model.bin"), **changes) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / names[0]).write_text(json.dumps(CONFIG | changes))
    torch.save(encoder().state_dict(), folder / names[1])
    return folder


@pytest.fixture
def folder(tmp_path) -> Path:
    return save(tmp_path / "tape")


@pytest.fixture(autouse=True)
def no_downloads(tmp_path, monkeypatch):
    monkeypatch.delenv(tape.VARIABLE, raising=False)
    monkeypatch.setenv("PROTEIN_MODELS_CACHE", str(tmp_path / "cache"))


# -- what is read ----------------------------------------------------------------------------------


def test_folder(folder, capfd):
    model = load_model(folder)
    assert capfd.readouterr() == ("", "")
    assert (model.family, model.n_layers, model.n_heads, model.head_size) == ("bert", 3, 2, 12)
    assert (model.max_residues, model.packs, model.dtype) == (62, True, torch.float32)
    assert model.digest == weights_digest(encoder())
    assert model.module.config.layer_norm_eps == 1e-12


def test_tokens(folder):
    tokens = load_model(folder).tokens
    assert tokens.alphabet == "ABCDEFGHIKLMNOPQRSTUVWXYZ"
    # Of IUPAC_VOCAB in tape/tokenizers.py.
    assert tokens.encode("ABOUXZK").tolist() == [2, 5, 6, 18, 24, 27, 29, 14, 3]
    assert not tokens.without_token
    with pytest.raises(InputError, match=r"residue 2 is 'J'.*use X"):
        tokens.encode("AJ")
    with pytest.raises(InputError, match=r"residue 1 is 'a'.*upper case"):
        tokens.encode("aC")


@pytest.mark.parametrize("dtype", ["auto", "float64", "bfloat16"])
def test_dtypes(folder, dtype):
    expected = torch.float32 if dtype == "auto" else getattr(torch, dtype)
    assert load_model(folder, dtype=dtype).dtype == expected


def test_with_a_head_old_names_and_the_old_format(folder):
    """As the published weights: of 2019, with a language model's head."""
    headed = tiny_of(BertForMaskedLM, BertConfig(**SIZES, pad_token_id=0), seed=4)
    old = {}
    for key, weights in headed.state_dict().items():
        if key.startswith("cls."):
            key = key.replace("cls.predictions", "mlm")
        elif ".LayerNorm." in key:
            key = key.replace(".weight", ".gamma").replace(".bias", ".beta")
        old[key] = weights
    path = folder / "pytorch_model.bin"
    torch.save(old, path, _use_new_zipfile_serialization=False)
    assert load_model(folder).digest == weights_digest(headed)


# -- archives --------------------------------------------------------------------------------------


def pack(archive: Path, *members: tuple[str, bytes | Path], mode="w:gz") -> Path:
    with tarfile.open(archive, mode) as tar:
        for name, content in members:
            data = content if isinstance(content, bytes) else content.read_bytes()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return archive


def both(folder: Path, inside: str = "") -> list[tuple[str, Path]]:
    return [(inside + name, folder / name) for name in ("config.json", "pytorch_model.bin")]


@pytest.mark.parametrize(
    ("name", "mode"), [("m.tar.gz", "w:gz"), ("m.tgz", "w:gz"), ("m.tar", "w")]
)
def test_archive(folder, tmp_path, name, mode):
    archive = pack(tmp_path / name, ("README", b"x"), *both(folder, "bert-base/"), mode=mode)
    assert load_model(archive).digest == load_model(folder).digest
    assert load_model(str(archive)).name == str(archive)


def test_nothing_of_an_archive_is_written_where_it_says(folder, tmp_path):
    outside = tmp_path / "outside"
    archive = pack(
        tmp_path / "m.tar.gz",
        (str(outside / "config.json"), folder / "config.json"),
        ("../../pytorch_model.bin", folder / "pytorch_model.bin"),
        ("../evil.py", b"x"),
    )
    before = sorted(tmp_path.rglob("*"))
    assert load_model(archive).digest == load_model(folder).digest
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_in_an_archive_are_refused(folder, tmp_path, kind):
    archive = tmp_path / "m.tar"
    with tarfile.open(archive, "w") as tar:
        link = tarfile.TarInfo("config.json")
        link.type, link.linkname = kind, str(folder / "config.json")
        tar.addfile(link)
        tar.add(folder / "pytorch_model.bin", "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"'config\.json' is a link or another special file"):
        load_model(archive)


def test_an_archive_that_is_too_large_is_refused_before_it_is_unpacked(
    folder, tmp_path, monkeypatch
):
    archive = pack(tmp_path / "m.tar.gz", ("zeros", bytes(1 << 22)), *both(folder))
    monkeypatch.setattr(tape, "_MAX_ARCHIVE", 1 << 20)
    with pytest.raises(ModelError, match="unpacks to more than"):
        load_model(archive)
    monkeypatch.undo()
    load_model(archive)
    monkeypatch.setattr(tape, "_MAX_MEMBERS", 2)
    with pytest.raises(ModelError, match="more than 2 members"):
        load_model(archive)


def test_a_header_of_any_size_is_not_read(folder, tmp_path):
    """A few bytes of gzip say that the next name is 64 MiB long."""
    name = tarfile.TarInfo("././@LongLink")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 1 << 26
    (tmp_path / "m.tar.gz").write_bytes(gzip.compress(name.tobuf(tarfile.GNU_FORMAT)))
    with pytest.raises(ModelError, match="a header of 67108864 bytes"):
        load_model(tmp_path / "m.tar.gz")


def test_archives_refused(folder, tmp_path):
    whole = pack(tmp_path / "m.tar.gz", *both(folder)).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="cannot read the archive"):
        load_model(tmp_path / "cut.tar.gz")
    (tmp_path / "text.tar.gz").write_text("Not found")
    with pytest.raises(ModelError, match=r"Expected a tar file"):
        load_model(tmp_path / "text.tar.gz")
    with pytest.raises(ModelError, match=r"no TapeBert in .*got config\.json"):
        load_model(pack(tmp_path / "half.tar", both(folder)[0], mode="w"))
    with pytest.raises(ModelError, match=r"it has config\.json twice"):
        load_model(pack(tmp_path / "two.tar", *both(folder), both(folder, "b/")[0], mode="w"))


# -- the short name --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tape-bert", "tape_bert"])
def test_short_name_by_variable(folder, tmp_path, monkeypatch, name):
    monkeypatch.setenv(tape.VARIABLE, str(folder))
    model = load_model(name)
    assert (model.name, model.digest) == ("tape-bert", load_model(folder).digest)
    monkeypatch.setenv(tape.VARIABLE, str(pack(tmp_path / "m.tar.gz", *both(folder))))
    assert load_model(name).digest == model.digest
    downloads = save(tmp_path / "downloads", tape._DOWNLOADS)
    monkeypatch.setenv(tape.VARIABLE, str(downloads))
    assert load_model(name).digest == model.digest
    assert load_model(downloads).digest == model.digest


def test_short_name_by_the_original_s_cache(folder, tmp_path):
    """Files are named by the digests of the address and of the server's tag."""
    cache = tmp_path / "cache"
    cache.mkdir()
    for file, ours in zip(tape._DOWNLOADS, ("config.json", "pytorch_model.bin"), strict=True):
        address = "https://s3.amazonaws.com/songlabdata/proteindata/pytorch-models/" + file
        tag = hashlib.sha256(b'"tag"').hexdigest()
        copy = cache / f"{hashlib.sha256(address.encode()).hexdigest()}.{tag}"
        copy.write_bytes((folder / ours).read_bytes())
        Path(f"{copy}.json").write_text("{}")
        Path(f"{copy}.lock").touch()
    assert load_model("tape-bert").digest == load_model(folder).digest


def test_short_name_without_the_model(tmp_path, monkeypatch):
    with pytest.raises(ModelError, match=r"Download bert-base-config\.json and .*from https:.*"):
        load_model("tape-bert")
    monkeypatch.setenv(tape.VARIABLE, str(tmp_path / "nothing"))
    with pytest.raises(ModelError, match=f"{tape.VARIABLE}=.*no such folder or archive"):
        load_model("tape-bert")
    monkeypatch.setenv(tape.VARIABLE, str(tmp_path))
    with pytest.raises(ModelError, match=f"{tape.VARIABLE}=.*expected a TapeBert there"):
        load_model("tape-bert")


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"vocab_size": 31}, "vocab_size is 31: expected .*30 tokens"),
        ({"hidden_act": "tanh"}, "hidden_act.*'tanh', expected one of gelu, relu, swish"),
        ({"pruned_heads": {"0": [1]}}, "have been pruned"),
        ({"num_hidden_layers": 2}, "at least 3 layers.*num_hidden_layers=2"),
        ({"num_hidden_layers": 4}, "16 missing"),
        ({"intermediate_size": 48}, "of another shape"),
        ({"hidden_size": "24"}, "does not describe a TapeBert"),
        ({"num_attention_heads": 5}, "not a multiple|does not describe a TapeBert"),
    ],
)
def test_configurations_refused(tmp_path, changes, match):
    with pytest.raises(ModelError, match=match):
        load_model(save(tmp_path / "tape", **changes))


def test_tape_s_other_models_are_refused(folder):
    config = {key: value for key, value in CONFIG.items() if key != "num_attention_heads"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="without attention heads"):
        load_model(folder)


def test_other_folders_are_not_taken_for_it(folder):
    (folder / "vocab.txt").write_text("A")
    with pytest.raises(ModelError, match=r"cannot use .*config"):  # by transformers
        load_model(folder)


@pytest.mark.parametrize("text", ["[]", "{", '{"a": ' + "9" * (1 << 20) + "}"])
def test_damaged_configuration(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(ModelError, match=r"cannot read .*config\.json|expected a JSON object"):
        load_model(folder)


def test_no_code_is_run(folder, tmp_path):
    class Attack:
        def __reduce__(self):
            return (Path.touch, (folder / "was-run",))

    weights = folder / "pytorch_model.bin"
    for content in ({"weights": Attack()}, Attack()):
        torch.save(content, weights)
        with pytest.raises(ModelError, match="code from data is never run"):
            load_model(folder)
        weights.write_bytes(pickle.dumps(content))
        with pytest.raises(
            ModelError, match=r"code from data is never run|cannot read the weights"
        ):
            load_model(pack(tmp_path / "m.tar.gz", *both(folder)))
    torch.save([1], weights)
    with pytest.raises(ModelError, match="expected a dict of tensors"):
        load_model(folder)
    weights.write_bytes(b"")
    with pytest.raises(ModelError, match="cannot read the weights"):
        load_model(folder)
    assert not (folder / "was-run").exists()


def test_bad_weights_in_an_archive_are_told_by_the_archive(folder, tmp_path):
    archive = tmp_path / "tape.tar"
    torch.save([1, 2], folder / "pytorch_model.bin")
    for content in (None, b"damaged"):
        if content is not None:
            (folder / "pytorch_model.bin").write_bytes(content)
        with tarfile.open(archive, "w") as tar:
            tar.add(folder, "tape")
        with pytest.raises(ModelError, match="weights") as caught:
            load_model(archive)
        assert str(archive) in str(caught.value)
        assert "provis_fast-" not in str(caught.value)
