"""How numbers, properties and classes are written for a reader."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from provis_fast.head_arrays import PropertySpec

AMINO_ACID_NAMES = {
    "A": "alanine",
    "C": "cysteine",
    "D": "aspartate",
    "E": "glutamate",
    "F": "phenylalanine",
    "G": "glycine",
    "H": "histidine",
    "I": "isoleucine",
    "K": "lysine",
    "L": "leucine",
    "M": "methionine",
    "N": "asparagine",
    "P": "proline",
    "Q": "glutamine",
    "R": "arginine",
    "S": "serine",
    "T": "threonine",
    "V": "valine",
    "W": "tryptophan",
    "Y": "tyrosine",
    "other": "other letters than the 20 amino acids",
}
_STRUCTURE = {"helix": "helices", "strand": "strands", "turn": "turns", "other": "loops"}
_STRUCTURES = ("secondary_structure", "secondary_structure_query", "author_secondary_structure")
#: What residues of one-class properties are called.
_RESIDUES = {
    "binding_site": ("binding sites", "residues of binding sites"),
    "site_record": ("sites of SITE records", "residues in SITE records"),
    "modification": ("modified residues", "modified residues"),
    "active_site": ("active sites", "residues of active sites"),
    "disulfide": ("disulfide bonds", "ends of disulfide bonds"),
    "cross_link": ("cross-links", "ends of covalent cross-links"),
    "transmembrane": ("transmembrane segments", "residues of transmembrane segments"),
    "signal_peptide": ("signal peptides", "residues of signal peptides"),
    "transit_peptide": ("transit peptides", "residues of transit peptides"),
    "domain": ("domains", "residues of annotated domains"),
    "zinc_finger": ("zinc fingers", "residues of zinc fingers"),
    "dna_binding": ("DNA-binding regions", "residues of DNA-binding regions"),
    "coiled_coil": ("coiled coils", "residues of coiled coils"),
    "disordered": ("disordered regions", "residues of disordered regions"),
    "buried": ("buried residues", "buried residues"),
}
_LOOKS_AT = {
    "key_class": "the residue attended to (key)",
    "query_class": "the residue that attends (query)",
    "class_pair": "both residues of a pair",
    "key_value": "a number of the residue attended to (key)",
    "pair": "the pair of residues",
    "separation": "the distance of the pair along the sequence",
}


#: Definitions of properties of this package, by name and kind.
_DEFINITIONS = {
    ("amino_acid", "key_class"): "the amino acid of the residue attended to (key)",
    ("amino_acid_query", "query_class"): "the amino acid of the residue that attends (query)",
    ("amino_acid_pair", "class_pair"): "the amino acids of query and key",
    (
        "secondary_structure",
        "key_class",
    ): "the secondary structure of the key by DSSP: helix (G, H, "
    "I), strand (E, B), turn (S, T), other",
    ("secondary_structure_query", "query_class"): "the secondary structure of the query by DSSP",
    ("author_secondary_structure", "key_class"): "the secondary structure of the key as its file "
    "has it",
    ("binding_site", "key_class"): "whether the key touches a ligand, or is annotated to bind one",
    ("site_record", "key_class"): "whether the key stands in a SITE record",
    ("modification", "key_class"): "whether the key is modified or carries a glycan",
    ("contact", "pair"): "whether query and key are in contact: their atoms closer than the cutoff "
    "(Å), at least the separation apart in the sequence; nearer pairs count neither way",
    ("separation", "separation"): "how far apart query and key stand in the sequence",
    ("hydrophobicity", "key_value"): "the hydrophobicity of the key (Kyte and Doolittle)",
    ("charge", "key_value"): "the charge of the key",
    ("volume", "key_value"): "the volume of the key (Å³)",
    ("solvent_exposure", "key_value"): "the exposed surface of the key, relative to its maximum",
    ("buried", "key_class"): "whether less than a quarter of the key's surface is exposed",
    ("plddt", "key_value"): "the confidence of the key's predicted position (pLDDT)",
}


class Words(NamedTuple):
    """How a class of a property is spoken of.

    Attributes
    ----------
    target : str
        "attends to {target} most".
    arcs : str
        "69% of its arcs {arcs}".
    others : str
        What the background is a share of: "of all {others}".
    """

    target: str
    arcs: str
    others: str


def words(spec: PropertySpec, class_name: str) -> Words:
    """How one class is spoken of, from what is known of the property."""
    lone = len(spec.classes) == 1
    if spec.kind == "pair":
        if spec.name == "contact":
            return Words("contacts", "join residues in contact", "such pairs")
        return Words(
            f"pairs of {spec.name}", f"join pairs of residues of {spec.name}", "known pairs"
        )
    if spec.kind == "separation":
        target = f"residues {class_name.replace('>=', 'at least ')} positions away"
        if class_name == "0":
            return Words("the residue itself", "join a residue with itself", "pairs")
        if class_name == "1":
            target, pairs = "the residues next in the sequence", "pairs"
            return Words(target, "join residues that follow each other in the sequence", pairs)
        return Words(target, f"join {target.replace('away', 'apart')}", "pairs")
    if spec.kind == "class_pair":
        return Words(f"pairs {class_name}", f"join pairs {class_name}", "known pairs")
    target = residues = f"residues of class {class_name} ({spec.name})"
    if spec.name.startswith("amino_acid") and class_name in AMINO_ACID_NAMES:
        target = residues = AMINO_ACID_NAMES[class_name]
    elif spec.name in _STRUCTURES and class_name in _STRUCTURE:
        target, residues = _STRUCTURE[class_name], f"residues in {_STRUCTURE[class_name]}"
    elif lone:
        named = f"residues with {spec.name}"
        target, residues = _RESIDUES.get(spec.name, (named, named))
    if spec.kind == "query_class":
        return Words(f"other residues from {target}", f"come from {residues}", "known residues")
    return Words(target, f"point at {residues}", "known residues")


def class_label(spec: PropertySpec, class_name: str) -> str:
    """A class in a table: amino acids with their names, lone classes without a repetition."""
    if spec.name.startswith("amino_acid") and class_name in AMINO_ACID_NAMES:
        return f"{class_name} ({AMINO_ACID_NAMES[class_name]})" if len(class_name) == 1 else "other"
    if spec.kind == "separation":
        return (
            f"|i − j| {'≥ ' + class_name[2:] if class_name.startswith('>=') else '= ' + class_name}"
        )
    return class_name


def plain(name: str) -> str:
    """A property's name in a sentence; those that somebody else chose stay as they are."""
    return name.replace("_", " ") if name.isidentifier() else name


def title(name: str) -> str:
    """A property's name as a heading; those that somebody else chose stay as they are."""
    found = plain(name)
    return found[:1].upper() + found[1:] if name.isidentifier() else name


def definition(spec: PropertySpec) -> str:
    """What a property looks at, and with what it was computed."""
    text = _DEFINITIONS.get((spec.name, spec.kind), f"looks at {_LOOKS_AT[spec.kind]}")
    options = "; ".join(f"{name}: {_option(value)}" for name, value in spec.options.items())
    return f"{text}; {options}" if options else text


def _option(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def head_name(layer: int, head: int) -> str:
    """A head as a reader knows it, from its 0-based numbers: 11, 3 is "12-4"."""
    return f"{layer + 1}-{head + 1}"


def percent(share: float) -> str:
    """A share: 69.4%, 0.31%, below 0.01%."""
    if math.isnan(share):
        return "unknown"
    size = abs(100 * share)
    if 0 < size < 0.005:
        return "below 0.01%"
    return f"{100 * share:.{2 if 0 < size < 0.95 else 1}f}%"


def number(value: float) -> str:
    """A number with three digits."""
    if math.isnan(value):
        return "unknown"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def amount(share: float, is_value: bool) -> str:
    """A share, or a mean of values."""
    return number(share) if is_value else percent(share)


def interval(low: float, high: float, is_value: bool) -> str:
    """Two ends: 60.1% to 78.2%."""
    return f"{amount(low, is_value)} to {amount(high, is_value)}"


def times(ratio: float) -> str:
    """A ratio: 27.8 times, 0.31 times."""
    return f"{ratio:,.1f} times" if ratio >= 0.95 or ratio == 0 else f"{ratio:.2f} times"


def p_value(log_p: float) -> str:
    """A p-value from its natural logarithm: 0.012, 3.1e-57."""
    if math.isnan(log_p):
        return "unknown"
    if log_p > math.log(0.001):
        return f"{math.exp(log_p):.2g}"
    exponent = math.floor(log_p / math.log(10))
    mantissa = f"{math.exp(log_p - exponent * math.log(10)):.1f}"
    if mantissa == "10.0":
        mantissa, exponent = "1.0", exponent + 1
    return f"{mantissa}e{exponent}"


def count(n: int, noun: str, plural: str | None = None) -> str:
    """1 head, 12 heads, no head."""
    if n == 0:
        return f"no {noun}"
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def listed(parts: Sequence[str], conjunction: str = "and") -> str:
    """a, b and c."""
    *most, last = parts
    return f"{', '.join(most)} {conjunction} {last}" if most else last


def ranges(numbers: Sequence[int]) -> str:
    """1-3, 6 from ascending numbers."""
    parts: list[list[int]] = []
    for each in numbers:
        if parts and each == parts[-1][-1] + 1:
            parts[-1].append(each)
        else:
            parts.append([each])
    return ", ".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)
