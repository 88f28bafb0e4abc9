"""Short names of protein language models, and where each one's checkpoint is kept."""

from __future__ import annotations

from provis_fast.models.families import FAMILIES

#: Repository on the Hugging Face hub -> short names of its model. The part of the repository's name
#: behind the slash is a short name too. Only checkpoints that transformers reads without code of
#: their own.
REPOSITORIES: dict[str, tuple[str, ...]] = {
    "facebook/esm2_t6_8M_UR50D": ("esm2_t6_8M", "esm2_8M"),
    "facebook/esm2_t12_35M_UR50D": ("esm2_t12_35M", "esm2_35M"),
    "facebook/esm2_t30_150M_UR50D": ("esm2_t30_150M", "esm2_150M"),
    "facebook/esm2_t33_650M_UR50D": ("esm2_t33_650M", "esm2_650M"),
    "facebook/esm2_t36_3B_UR50D": ("esm2_t36_3B", "esm2_3B"),
    "facebook/esm2_t48_15B_UR50D": ("esm2_t48_15B", "esm2_15B"),
    "facebook/esm1b_t33_650M_UR50S": ("esm1b",),
    "facebook/esm1v_t33_650M_UR90S_1": ("esm1v_1",),
    "facebook/esm1v_t33_650M_UR90S_2": ("esm1v_2",),
    "facebook/esm1v_t33_650M_UR90S_3": ("esm1v_3",),
    "facebook/esm1v_t33_650M_UR90S_4": ("esm1v_4",),
    "facebook/esm1v_t33_650M_UR90S_5": ("esm1v_5",),
    "biohub/ESMC-300M-hf": ("esmc_300m",),
    "biohub/ESMC-600M-hf": ("esmc_600m",),
    "biohub/ESMC-6B-hf": ("esmc_6b",),
    "Rostlab/prot_bert": ("prot_bert",),
    "Rostlab/prot_bert_bfd": ("prot_bert_bfd",),
    "Rostlab/prot_albert": ("prot_albert",),
    "Rostlab/prot_xlnet": ("prot_xlnet",),
    "Rostlab/prot_t5_xl_uniref50": ("prot_t5_xl",),
    "Rostlab/prot_t5_xl_half_uniref50-enc": ("prot_t5_xl_half",),
}

#: Short names of models that are not on the hub; `load_model` knows where to look for each.
ELSEWHERE = ("antiberty", "tape-bert")


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")


_BY_NAME = {
    _plain(name): repository
    for repository, names in REPOSITORIES.items()
    for name in (*names, repository.rpartition("/")[2])
}
_ELSEWHERE = {_plain(name): name for name in ELSEWHERE}


def repository_of(name: str) -> str | None:
    """The hub repository that a short name stands for; None if it is no short name.

    Case does not count, and ``-`` and ``_`` are the same.
    """
    return _BY_NAME.get(_plain(name))


def elsewhere(name: str) -> str | None:
    """The entry of `ELSEWHERE` that `name` spells, or None."""
    return _ELSEWHERE.get(_plain(name))


def supported() -> str:
    """Short names and families, for messages."""
    short = ", ".join((*ELSEWHERE, *(names[0] for names in REPOSITORIES.values())))
    return (
        f"Models known by a short name: {short}; other models by hub name or folder, of the types "
        f"{', '.join(sorted(FAMILIES))}, or any encoder that uses transformers' attention interface"
    )
