"""BinaryCIF files of mmCIF text, written by Biotite, for tests."""

from __future__ import annotations

import io

import biotite.structure.io.pdbx as pdbx

NUMBERS = {
    "atom_site.id": int,
    "label_seq_id": int,
    "auth_seq_id": int,
    "pdbx_PDB_model_num": int,
    "Cartn_x": float,
    "Cartn_y": float,
    "Cartn_z": float,
    "occupancy": float,
    "B_iso_or_equiv": float,
    "metric_value": float,
}


def _column(category: str, name: str, column: pdbx.CIFColumn) -> pdbx.BinaryCIFColumn:
    mask = None if column.mask is None else column.mask.array
    kind = NUMBERS.get(name, NUMBERS.get(f"{category}.{name}"))
    values = column.as_array() if kind is None else column.as_array(kind, masked_value=0)
    return pdbx.BinaryCIFColumn(
        pdbx.BinaryCIFData(values), None if mask is None else pdbx.BinaryCIFData(mask)
    )


def binary_cif(text: str, compressed: bool = True) -> bytes:
    """The first block of mmCIF text as BinaryCIF; atoms' numbers as numbers, the rest as text."""
    file = pdbx.CIFFile.read(io.StringIO(text))
    block_name = next(iter(file))
    block = pdbx.BinaryCIFBlock(
        {
            category: pdbx.BinaryCIFCategory(
                {name: _column(category, name, column) for name, column in columns.items()}
            )
            for category, columns in file[block_name].items()
        }
    )
    binary = pdbx.BinaryCIFFile({block_name: block})
    if compressed:
        binary = pdbx.compress(binary)
    stream = io.BytesIO()
    binary.write(stream)
    return stream.getvalue()
