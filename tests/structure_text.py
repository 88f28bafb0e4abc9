"""Write small PDB and mmCIF files for tests: a straight chain, one residue every 3.8 Angstrom."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from provis_fast.proteins import Protein, SetAside, load_proteins

#: A short sequence.
FIVE = "MET LYS VAL LEU ALA"
STEP = 3.8
#: Offsets of the atoms from C-alpha; C to the next N is 1.33 Angstrom.
OFFSETS = {
    "N": (-1.2, 0.5, 0.0),
    "CA": (0.0, 0.0, 0.0),
    "C": (1.27, 0.5, 0.0),
    "O": (1.3, 1.7, 0.0),
    "CB": (0.0, -1.0, 1.2),
}


@dataclass
class Atom:
    name: str
    residue: str
    chain: str
    number: int
    xyz: tuple[float, float, float]
    insertion: str = ""
    altloc: str = ""
    occupancy: float = 1.0
    label: int | None = None
    het: bool = False
    element: str = ""

    def pdb(self, serial: int) -> str:
        element = self.element or self.name[0]
        name = self.name if len(element) == 2 else f" {self.name}"
        x, y, z = self.xyz
        return (
            f"{'HETATM' if self.het else 'ATOM':6}{serial:5} {name:4}{self.altloc:1}"
            f"{self.residue:>3} {self.chain:1}{self.number:4}{self.insertion:1}   "
            f"{x:8.3f}{y:8.3f}{z:8.3f}{self.occupancy:6.2f}{20.0:6.2f}          {element:>2}"
        )

    def cif(self, serial: int, entity: str) -> str:
        x, y, z = self.xyz
        return (
            f"{'HETATM' if self.het else 'ATOM'} {serial} {self.element or self.name[0]} "
            f"{self.name} {self.altloc or '.'} {self.residue} "
            f"{self.chain + '2' if self.het else self.chain} {entity} {self.label or '.'} "
            f"{self.number} {self.chain} {self.insertion or '?'} {x:.3f} {y:.3f} {z:.3f} "
            f"{self.occupancy:.2f} 20 1"
        )


def residue(
    name: str,
    chain: str,
    number: int,
    place: float,
    *,
    insertion: str = "",
    leave_out: str = "",
    y: float = 0.0,
    **atom,
) -> list[Atom]:
    """Atoms of a residue at a place (in residues) along the x axis."""
    return [
        Atom(
            atom_name,
            name,
            chain,
            number,
            (place * STEP + dx, y + dy, dz),
            insertion,
            **atom,
        )
        for atom_name, (dx, dy, dz) in OFFSETS.items()
        if atom_name not in leave_out.split() and not (name == "GLY" and atom_name == "CB")
    ]


def chain(names: str, numbers: list[int] | None = None, name: str = "A", **options) -> list[Atom]:
    """Atoms of residues given by three-letter codes; missing numbers leave room in space."""
    codes = names.split()
    numbers = numbers or list(range(1, len(codes) + 1))
    return [
        atom
        for code, number in zip(codes, numbers, strict=True)
        for atom in residue(code, name, number, number, **options)
    ]


def pdb_text(*atom_lists: list[Atom], head: str = "", tail: str = "END\n") -> str:
    lines = []
    serial = 0
    for atoms in atom_lists:
        for atom in atoms:
            serial += 1
            lines.append(atom.pdb(serial))
        if not atoms[-1].het:
            lines.append("TER")
    return head + "\n".join(lines) + "\n" + tail


def seqres(chain_name: str, names: str) -> str:
    codes = names.split()
    lines = []
    for row, start in enumerate(range(0, len(codes), 13), start=1):
        part = " ".join(f"{code:>3}" for code in codes[start : start + 13])
        lines.append(f"SEQRES {row:3} {chain_name} {len(codes):4}  {part}\n")
    return "".join(lines)


CIF_COLUMNS = (
    "group_PDB id type_symbol label_atom_id label_alt_id label_comp_id label_asym_id "
    "label_entity_id label_seq_id auth_seq_id auth_asym_id pdbx_PDB_ins_code Cartn_x Cartn_y "
    "Cartn_z occupancy B_iso_or_equiv pdbx_PDB_model_num"
).split()


def cif_text(atoms: list[Atom], sequence: str = "", more: str = "", marks: bool = True) -> str:
    """Text of an mmCIF file with one polymer entity; ligands are entity 2."""
    mark = "#\n" if marks else ""
    text = f"data_TEST\n{mark}_entry.id TEST\n{mark}"
    if sequence:
        text += "loop_\n_entity.id\n_entity.type\n1 polymer\n2 non-polymer\n" + mark
        text += "_entity_poly.entity_id 1\n_entity_poly.type 'polypeptide(L)'\n" + mark
        text += "loop_\n_entity_poly_seq.entity_id\n_entity_poly_seq.num\n_entity_poly_seq.mon_id\n"
        text += "".join(f"1 {i} {code}\n" for i, code in enumerate(sequence.split(), 1)) + mark
        text += "loop_\n_struct_asym.id\n_struct_asym.entity_id\n" + f"{atoms[0].chain} 1\n{mark}"
    text += more + mark if more else ""
    text += "loop_\n" + "".join(f"_atom_site.{column}\n" for column in CIF_COLUMNS)
    text += "".join(a.cif(i, "2" if a.het else "1") + "\n" for i, a in enumerate(atoms, 1))
    return text + mark


def read(path: Path, text: str, **options) -> list[Protein | SetAside]:
    """Write a file and read its records."""
    path.write_text(text)
    return list(load_proteins(path, **options).records())
