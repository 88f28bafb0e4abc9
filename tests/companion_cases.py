"""A made-up view, and a page of its two-dimensional parts alone, without Mol*."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import numpy as np
from view_cases import decoded
from view_payloads import encoded

from provis_fast.viewing.page import SCRIPTS as WHOLE

#: Parts of the page's program, but for the three-dimensional ones.
SCRIPTS = [
    name
    for name in WHOLE
    if name
    not in (
        "unpack.js",
        "camera.js",
        "mvs.js",
        "molstar.js",
        "scene.js",
        "shown_arcs.js",
        "controls.js",
        "main.js",
    )
]
N_LAYERS, N_HEADS = 3, 4
CONTACT = {"cutoff": 8.0, "min_separation": 6, "atom": "CA"}
_STRUCTURE = ["helix", "strand", "turn", "other"]
_START = """
const payload = JSON.parse(document.getElementById("payload").textContent);
const data = new ViewData(payload);
const state = new ViewState(payload);
const contactMap = new ContactMap(document.getElementById("contact-map"), data, state);
const arcDiagram = new ArcDiagram(document.getElementById("arc-diagram"), data, state);
const headTable = new HeadTable(document.getElementById("heads"), data, state);
Object.assign(window, { data, state, contactMap, arcDiagram, headTable });
"""


def made_up_payload(
    lengths: tuple[int, ...] = (120, 70), seed: int = 5, per_head: int = 60
) -> dict:
    """A view of chains with gaps, insertion codes and unresolved residues; arcs at random.

    Chain A is numbered from -2, has an insertion (52, 52A, 52B), jumps by 100 after 80 residues,
    and residues 30 to 37 (places from 0) are unresolved; the other chains are numbered from 301.
    """
    rng = np.random.default_rng(seed)
    chains = [_chain(rng, k, length, per_head) for k, length in enumerate(lengths)]
    return {
        "format": "provis_fast.view",
        "format_version": 1,
        "title": "Made <up> & more",
        "created_with": {"provis_fast": "0"},
        "model": {"name": "models/tiny", "n_layers": N_LAYERS, "n_heads": N_HEADS},
        "threshold": 0.1,
        "layer": 2,
        "head": 3,
        "symmetric": True,
        "contact": CONTACT,
        "min_arcs": 20,
        "structure": {"format": "mmcif", "data": "", "note": ""},
        "chains": [chain for chain, _ in chains],
        "heads": counts_of_heads([facts for _, facts in chains], 0.1),
        "notes": [],
    }


def _numbers(length: int, chain: int, known: np.ndarray) -> list[str]:
    if chain:
        numbers = [str(301 + i) for i in range(length)]
    else:
        numbers = [str(i - 2) for i in range(length)]
        numbers[55:] = ["52A", "52B", *(str(i - 4) for i in range(57, length))]
        numbers[80:] = [str(int(each) + 100) for each in numbers[80:]]
    return [number if resolved else "" for number, resolved in zip(numbers, known, strict=True)]


def _chain(rng: np.random.Generator, number: int, length: int, per_head: int) -> tuple[dict, dict]:
    known = np.ones(length, dtype=np.uint8)
    known[30:38] = number > 0
    first, second = np.triu_indices(length, CONTACT["min_separation"])
    touching = known[first] & known[second] & (rng.random(len(first)) < 0.05)
    contacts = np.stack([first, second], axis=1)[touching == 1].astype(np.uint16)
    queries, keys, weights, starts = [], [], [], [0]
    for _ in range(N_LAYERS * N_HEADS):
        # Distinct ordered pairs; the last head has hardly any arcs.
        n = 3 if len(starts) == N_LAYERS * N_HEADS else per_head
        pairs = rng.choice(length * length, n, replace=False)
        if len(contacts) > n // 2:
            some = contacts[rng.choice(len(contacts), n // 2, replace=False)].astype(np.int64)
            pairs = np.unique(np.concatenate([pairs[n // 2 :], some[:, 0] * length + some[:, 1]]))
        weight = -np.sort(-rng.uniform(0.1, 1.0, len(pairs)).astype(np.float32))
        pairs = rng.permutation(pairs)
        queries.append(pairs // length)
        keys.append(pairs % length)
        weights.append(weight)
        starts.append(starts[-1] + len(pairs))
    arcs = {
        "starts": np.array(starts, dtype=np.uint32),
        "query": np.concatenate(queries).astype(np.uint16),
        "key": np.concatenate(keys).astype(np.uint16),
        "weight": np.concatenate(weights),
    }
    letters = rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), length)
    structure = np.repeat([0, 3, 1, 2, 3], 9)
    labels = np.resize(structure, length).astype(np.int16)
    labels[known == 0] = -1
    sites = np.where(rng.random(length) < 0.06, 1, 0).astype(np.int16)
    sites[:3] = 1
    chain = {
        "id": "ABCDEFGH"[number],
        "label_asym": "ABCDEFGH"[number],
        "name": f"made_{number}",
        "sequence": "".join(letters),
        "numbers": _numbers(length, number, known),
        "residues": ["GLY"] * length,
        "label_seq": list(range(1, length + 1)),
        "ca": encoded(rng.normal(size=(length, 3)).astype(np.float32)),
        "contacts": encoded(contacts),
        "known": encoded(known),
        "tracks": [
            {"name": "secondary_structure", "classes": _STRUCTURE, "labels": encoded(labels)},
            {
                "name": "binding_site",
                "classes": ["no", "binding site"],
                "labels": encoded(sites if number == 0 else np.full(length, -1, dtype=np.int16)),
            },
        ],
        "arcs": {name: encoded(array) for name, array in arcs.items()},
    }
    return chain, {"known": known, "contacts": contacts, **arcs}


def counts_of_heads(facts: list[dict], threshold: float, min_arcs: int = 20) -> list[dict]:
    """What a table of heads should say, counted plainly, one arc at a time; best first."""
    least = CONTACT["min_separation"]
    pairs = touching = 0
    for chain in facts:
        i, j = np.triu_indices(len(chain["known"]), least)
        pairs += int((chain["known"][i] & chain["known"][j]).sum())
        touching += len(chain["contacts"])
    heads = []
    for number in range(N_LAYERS * N_HEADS):
        arcs = eligible = contacts = 0
        for chain in facts:
            in_contact = {tuple(pair) for pair in chain["contacts"].tolist()}
            for k in range(chain["starts"][number], chain["starts"][number + 1]):
                query, key = int(chain["query"][k]), int(chain["key"][k])
                if chain["weight"][k] < threshold:
                    continue
                arcs += 1
                if abs(query - key) < least or not (chain["known"][query] and chain["known"][key]):
                    continue
                eligible += 1
                contacts += (min(query, key), max(query, key)) in in_contact
        heads.append(
            {
                "layer": number // N_HEADS + 1,
                "head": number % N_HEADS + 1,
                "arcs": arcs,
                "eligible": eligible,
                "contacts": contacts,
                "proportion": contacts / eligible if eligible >= min_arcs else None,
                "background": touching / pairs if pairs else None,
            }
        )

    def best_first(head: dict) -> tuple:
        share = -1.0 if head["proportion"] is None else head["proportion"]
        return (-share, -head["eligible"], -head["arcs"])

    return sorted(heads, key=best_first)


def facts_of(payload: dict) -> list[dict]:
    """What `counts_of_heads` counts, of every chain of a payload."""
    return [
        {
            "known": decoded(chain["known"]),
            "contacts": decoded(chain["contacts"]),
            **{name: decoded(array) for name, array in chain["arcs"].items()},
        }
        for chain in payload["chains"]
    ]


def write_page(payload: dict, path: Path, grey: bool = False) -> Path:
    """A page of contact map, arc diagram and table of heads."""
    parts = resources.files("provis_fast.viewing").joinpath("page_parts")
    program = "\n".join(parts.joinpath(name).read_text(encoding="utf-8") for name in SCRIPTS)
    style = parts.joinpath("companions.css").read_text(encoding="utf-8")
    content = json.dumps(payload).replace("<", "\\u003c")
    grey_style = "html { filter: grayscale(1); background: white; }" if grey else ""
    path.write_text(
        f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Companions</title>
<style>
* {{ box-sizing: border-box; }} body {{ font: 15px/1.45 sans-serif; margin: 16px; }}
#companions {{ display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 16px; }}
{style}{grey_style}</style></head>
<body><div id="companions"><div id="contact-map"></div><div id="arc-diagram"></div></div>
<div id="heads"></div>
<script type="application/json" id="payload">{content}</script>
<script type="module">{program}{_START}</script></body></html>""",
        encoding="utf-8",
    )
    return path
