"""SentencePiece files with the vocabularies of ProtAlbert, ProtXLNet and ProtT5, byte by byte.

The format is the message ModelProto of sentencepiece_model.proto: pieces are field 1 (piece 1,
score 2, type 3), the trainer's specification field 2 (model_type 3, ids of special pieces 40 to
43), the normaliser's field 3 (name 1, three switches 3 to 5).
"""

from __future__ import annotations

import struct
from pathlib import Path

AMINO_ACIDS = "ALGVSREDTIPKFQNYMHWC"  # in the order of ProtT5's vocabulary

NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4


def residues(letters: str) -> list[tuple[str, int]]:
    """Pieces of residues written with spaces between."""
    return [(f"▁{letter}", NORMAL) for letter in letters]


ALBERT = [
    ("<pad>", CONTROL),
    ("<unk>", UNKNOWN),
    *((token, CONTROL) for token in ("[CLS]", "[SEP]", "[MASK]")),
    *residues(AMINO_ACIDS + "XBOUZ"),
]
#: No piece for X: the authors write <unk> for it, and for U, Z, O and B.
XLNET = [
    ("<unk>", UNKNOWN),
    *((token, CONTROL) for token in ("<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>")),
    *((token, USER_DEFINED) for token in ("<eod>", "<eop>")),
    *residues(AMINO_ACIDS),
]
T5 = [
    ("<pad>", CONTROL),
    ("</s>", CONTROL),
    ("<unk>", UNKNOWN),
    *residues(AMINO_ACIDS + "XBOUZ"),
]


def write(path: Path, pieces: list[tuple[str, int]]) -> None:
    """A Unigram model of these pieces (name, type), without normalisation."""
    unknown = next(number for number, (_, kind) in enumerate(pieces) if kind == UNKNOWN)
    model = b"".join(
        _field(1, _field(1, text.encode()) + _score(-3.0 * (kind == NORMAL)) + _field(3, kind))
        for text, kind in pieces
    )
    absent = (1 << 64) - 1  # -1
    trainer = _field(3, 1) + _field(40, unknown)
    for special in (41, 42, 43):
        trainer += _field(special, absent)
    normaliser = _field(1, b"identity") + _field(3, 1) + _field(4, 1) + _field(5, 1)
    path.write_bytes(model + _field(2, trainer) + _field(3, normaliser))


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _score(value: float) -> bytes:
    return bytes([2 << 3 | 5]) + struct.pack("<f", value)


def _varint(value: int) -> bytes:
    digits = bytearray()
    while value >= 128:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes([*digits, value])
