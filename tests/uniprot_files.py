"""The same made-up entries in UniProt's flat file, XML, JSON and TSV, and in GFF3."""

from __future__ import annotations

import json
import textwrap
from typing import NamedTuple
from xml.sax.saxutils import quoteattr

#: For each key of the flat file its names in XML, in JSON and GFF3, and as a column of TSV.
NAMES = {
    "BINDING": ("binding site", "Binding site", "Binding site"),
    "ACT_SITE": ("active site", "Active site", "Active site"),
    "MOD_RES": ("modified residue", "Modified residue", "Modified residue"),
    "LIPID": ("lipid moiety-binding region", "Lipidation", "Lipidation"),
    "CARBOHYD": ("glycosylation site", "Glycosylation", "Glycosylation"),
    "DISULFID": ("disulfide bond", "Disulfide bond", "Disulfide bond"),
    "CROSSLNK": ("cross-link", "Cross-link", "Cross-link"),
    "HELIX": ("helix", "Helix", "Helix"),
    "STRAND": ("strand", "Beta strand", "Beta strand"),
    "TURN": ("turn", "Turn", "Turn"),
    "TRANSMEM": ("transmembrane region", "Transmembrane", "Transmembrane"),
    "INTRAMEM": ("intramembrane region", "Intramembrane", "Intramembrane"),
    "SIGNAL": ("signal peptide", "Signal", "Signal peptide"),
    "TRANSIT": ("transit peptide", "Transit peptide", "Transit peptide"),
    "DOMAIN": ("domain", "Domain", "Domain [FT]"),
    "ZN_FING": ("zinc finger region", "Zinc finger", "Zinc finger"),
    "DNA_BIND": ("DNA-binding region", "DNA binding", "DNA binding"),
    "COILED": ("coiled-coil region", "Coiled coil", "Coiled coil"),
    "REGION": ("region of interest", "Region", "Region"),
    "CHAIN": ("chain", "Chain", "Chain"),
}


class F(NamedTuple):
    """A feature: positions as the flat file writes them."""

    key: str
    start: str
    end: str
    note: str = ""
    isoform: str = ""

    @property
    def location(self) -> str:
        place = self.start if self.start == self.end else f"{self.start}..{self.end}"
        return f"{self.isoform}:{place}" if self.isoform else place


class Entry(NamedTuple):
    accession: str
    sequence: str
    features: tuple[F, ...] = ()


SEQUENCE = "MKVLAAGWCHTYIEDQNPSRFKLMVCGATWYHENDQRSPIKLCAVGF" * 3
ENTRIES = (
    Entry(
        "P00001",
        SEQUENCE,
        (
            F("SIGNAL", "1", "12"),
            F("CHAIN", "13", "141", "Made up; a protein"),
            F("DISULFID", "26", "43"),
            F("DISULFID", "73", "73", "Interchain (with C-9 in P00002)"),
            F("BINDING", "30", "30"),
            F("BINDING", "50", "55", 'with "quotes" and <signs> & more, 50% of them'),
            F("ACT_SITE", "10", "10", "Nucleophile"),
            F("MOD_RES", "20", "20", "Phosphoserine"),
            F("CARBOHYD", "33", "33", "N-linked (GlcNAc...) asparagine"),
            F("LIPID", "9", "9"),
            F("CROSSLNK", "38", "38", "Glycyl lysine isopeptide"),
            F("HELIX", "40", "48"),
            F("TURN", "47", "51"),
            F("STRAND", "60", "64"),
            F("TRANSMEM", "70", "90", "Helical"),
            F("INTRAMEM", "100", "104"),
            F("DOMAIN", "20", "120", "SH3"),
            F("ZN_FING", "60", "80", "C2H2-type"),
            F("DNA_BIND", "81", "99"),
            F("COILED", "100", "130"),
            F("REGION", "121", "141", "Disordered"),
            F("REGION", "1", "5", "Not Disordered"),
        ),
    ),
    Entry("P00002", "ACDEFGHIKLMNPQRSTVWY", (F("ACT_SITE", "1", "1"), F("ACT_SITE", "20", "20"))),
    Entry("P00003", "MKV"),
    Entry(
        "P00004",
        SEQUENCE[:60],
        (
            F("TRANSIT", "1", "?", "Mitochondrion"),
            F("SIGNAL", "<1", "5"),
            F("BINDING", "60", "60"),
            F("BINDING", "61", "61"),
            F("MOD_RES", "?15", "?15"),
            F("DOMAIN", "40", ">60"),
            F("ACT_SITE", "3", "3", isoform="P00004-2"),
        ),
    ),
)


def flat(entries=ENTRIES) -> str:
    text = []
    for entry in entries:
        n = len(entry.sequence)
        text += [
            f"ID   {entry.accession}_TEST             Reviewed;         {n} AA.",
            f"AC   {entry.accession}; Q99999;",
            "DE   RecName: Full=Made up;",
            "CC   -!- FUNCTION: None.",
        ]
        for feature in entry.features:
            text.append(f"FT   {feature.key:<16}{feature.location}")
            if feature.note:
                note = feature.note.replace('"', '""')
                lines = textwrap.wrap(f'/note="{note}"', 58)
                text += [f"FT                   {line}" for line in lines]
            text.append('FT                   /evidence="ECO:0000255"')
        text.append(f"SQ   SEQUENCE   {n} AA;  4321 MW;  0123456789ABCDEF CRC64;")
        for row in textwrap.wrap(entry.sequence, 60):
            text.append("     " + " ".join(textwrap.wrap(row, 10)))
        text.append("//")
    return "\n".join(text) + "\n"


def _xml_position(tag: str, place: str) -> str:
    status = {"<": "less than", ">": "greater than", "?": "uncertain"}.get(place[0])
    if place == "?":
        return f'<{tag} status="unknown"/>'
    if status:
        return f'<{tag} position="{place[1:]}" status="{status}"/>'
    return f'<{tag} position="{place}"/>'


def xml(entries=ENTRIES, namespace="http://uniprot.org/uniprot", prefix="") -> str:
    p = f"{prefix}:" if prefix else ""
    space = f' xmlns{":" + prefix if prefix else ""}="{namespace}"' if namespace else ""
    text = ["<?xml version='1.0' encoding='UTF-8'?>", f"<{p}uniprot{space}>"]
    for entry in entries:
        text += [
            f'<{p}entry dataset="Swiss-Prot" version="1">',
            f"<{p}accession>{entry.accession}</{p}accession>",
            f"<{p}accession>Q99999</{p}accession>",
            f"<{p}protein><{p}recommendedName><{p}fullName>Made up</{p}fullName>"
            f"</{p}recommendedName></{p}protein>",
            f'<{p}comment type="alternative products"><{p}isoform><{p}id>{entry.accession}-2'
            f'</{p}id><{p}sequence type="described" ref="V1"/></{p}isoform></{p}comment>',
        ]
        for feature in entry.features:
            note = f" description={quoteattr(feature.note)}" if feature.note else ""
            sequence = f' sequence="{feature.isoform}"' if feature.isoform else ""
            if feature.start == feature.end:
                places = _xml_position(f"{p}position", feature.start)
            else:
                places = _xml_position(f"{p}begin", feature.start)
                places += _xml_position(f"{p}end", feature.end)
            text.append(
                f'<{p}feature type="{NAMES[feature.key][0]}"{note} evidence="1">'
                f"<{p}location{sequence}>{places}</{p}location></{p}feature>"
            )
        text.append(
            f'<{p}sequence length="{len(entry.sequence)}" mass="4321">'
            f"{entry.sequence}</{p}sequence>"
        )
        text.append(f"</{p}entry>")
    return "\n".join([*text, f"</{p}uniprot>"]) + "\n"


def _json_position(place: str) -> dict:
    if place == "?":
        return {"value": None, "modifier": "UNKNOWN"}
    modifier = {"<": "OUTSIDE", ">": "OUTSIDE", "?": "UNSURE"}.get(place[0], "EXACT")
    return {"value": int(place.strip("<>?")), "modifier": modifier}


def json_entries(entries=ENTRIES) -> list[dict]:
    found = []
    for entry in entries:
        features = []
        for feature in entry.features:
            location = {"start": _json_position(feature.start), "end": _json_position(feature.end)}
            if feature.isoform:
                location["sequence"] = feature.isoform
            features.append(
                {
                    "type": NAMES[feature.key][1],
                    "location": location,
                    "description": feature.note,
                    "evidences": [{"evidenceCode": "ECO:0000255"}],
                }
            )
        found.append(
            {
                "entryType": "UniProtKB reviewed (Swiss-Prot)",
                "primaryAccession": entry.accession,
                "comments": [{"commentType": "FUNCTION", "sequence": {"value": "MISLEADING"}}],
                "features": features,
                "sequence": {"value": entry.sequence, "length": len(entry.sequence)},
            }
        )
    return found


def json_text(entries=ENTRIES, indent=None) -> str:
    return json.dumps({"results": json_entries(entries)}, indent=indent)


def json_lines(entries=ENTRIES) -> str:
    return "".join(json.dumps(entry) + "\n" for entry in json_entries(entries))


def _cell(entry: Entry, key: str) -> str:
    pieces = []
    for feature in entry.features:
        if feature.key == key:
            note = feature.note.replace('"', '""')
            pieces.append(f"{key} {feature.location}")
            pieces += [f'/note="{note}"'] if note else []
            pieces.append('/evidence="ECO:0000255"')
    return "; ".join(pieces)


def tsv(
    entries=ENTRIES, keys=tuple(NAMES), columns=("Entry", "Reviewed", "Length", "Sequence")
) -> str:
    text = ["\t".join([*(NAMES[key][2] for key in keys), *columns])]
    for entry in entries:
        own = {
            "Entry": entry.accession,
            "Reviewed": "reviewed",
            "Length": str(len(entry.sequence)),
            "Sequence": entry.sequence,
        }
        text.append("\t".join([*(_cell(entry, key) for key in keys), *(own[c] for c in columns)]))
    return "\n".join(text) + "\n"


def gff3(entries=ENTRIES, sequences=True) -> str:
    text = ["##gff-version 3"]
    for entry in entries:
        text.append(f"##sequence-region {entry.accession} 1 {len(entry.sequence)}")
        for feature in entry.features:
            escaped = feature.note.replace("%", "%25").replace(";", "%3B").replace("=", "%3D")
            isoform = f"{feature.isoform}:" if feature.isoform else ""
            start, end = isoform + feature.start, feature.end
            text.append(
                "\t".join(
                    [
                        *(entry.accession, "UniProtKB", NAMES[feature.key][1], start),
                        *(end if start != end and not isoform else start, ".", ".", "."),
                        f"Ontology_term=ECO:0000255;Note={escaped}",
                    ]
                )
            )
    if sequences:
        text.append("##FASTA")
        text.append(fasta(entries).rstrip())
    return "\n".join(text) + "\n"


def fasta(entries=ENTRIES) -> str:
    rows = []
    for entry in entries:
        rows += [f">{entry.accession} made up", *textwrap.wrap(entry.sequence, 60)]
    return "\n".join(rows) + "\n"


#: Format, name of a file that tells it by its content alone, and its text.
FILES = {
    "uniprot": ("a.txt", flat),
    "uniprot-xml": ("a.xml", xml),
    "uniprot-json": ("a.json", json_text),
    "uniprot-tsv": ("a.tsv", tsv),
    "gff3": ("a.gff3", gff3),
}
