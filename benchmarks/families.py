"""Every family of models: an analysis beside the plain forward pass, and memory against length.

    python benchmarks/families.py [--families xlnet,modernbert] [--length 512] [--proteins 4]
        [--rounds 5] [--layers 3] [--threads 1] [--lengths 512,1024,2048,4096] [--out FILE]

Models have the width of well-known ones, a few layers and random weights. Timed in turn, round by
round: `analyze` of proteins of one length for amino acids (all layers, weighting "both"), and the
same proteins through the encoder as transformers runs it, without statistics, by each attention
that it has built in. Memory: growth of a fresh process's peak for one protein, in MiB.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine
import torch
from torch import nn
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_TEXT_ENCODING_MAPPING,
    MODEL_MAPPING,
    EsmTokenizer,
)

import provis_fast as pf
from provis_fast.models import Model
from provis_fast.proteins import Protein

WIDE = dict(hidden_size=1024, num_attention_heads=16, intermediate_size=4096)
BASE = dict(hidden_size=768, num_attention_heads=12, intermediate_size=3072)
T5 = dict(d_model=1024, d_kv=128, num_heads=32, d_ff=16384, feed_forward_proj="relu")
#: ``config.model_type`` -> sizes of a well-known model; the number of layers comes with the call.
SIZES = {
    "bert": WIDE,  # ProtBert
    "albert": dict(hidden_size=4096, num_attention_heads=64, intermediate_size=16384),  # ProtAlbert
    "esm": dict(  # ESM-2 650M
        hidden_size=1280,
        num_attention_heads=20,
        intermediate_size=5120,
        position_embedding_type="rotary",
        token_dropout=True,
        mask_token_id=32,
    ),
    "esmc": dict(  # ESM-C 300M
        hidden_size=960,
        num_attention_heads=15,
        num_key_value_heads=15,
        head_dim=64,
        intermediate_size=2560,
    ),
    "modernbert": {  # base
        **BASE,
        "intermediate_size": 1152,
        **{f"{name}_token_id": 2 for name in ("bos", "eos", "cls", "sep")},
    },
    "roberta": BASE,
    "roformer": dict(BASE, embedding_size=768),
    "t5": T5,  # ProtT5-XL's encoder
    "xlnet": dict(d_model=1024, n_head=16, d_inner=4096),  # ProtXLNet
}
LAYERS = {"t5": "num_layers", "xlnet": "n_layer"}
LETTERS = "LAGVSERTIDPKQNFYMHWCXBUZO"


def protein(length: int, seed: int = 0) -> Protein:
    """A protein of random letters."""
    at = torch.randint(20, (length,), generator=torch.Generator().manual_seed(seed))
    return Protein(f"p{seed}", "".join(LETTERS[i] for i in at.tolist()))


def build(family: str, layers: int, positions: int) -> Model:
    """A model with random weights, and room for `positions` tokens where it has a table."""
    named = {LAYERS.get(family, "num_hidden_layers"): layers, "vocab_size": 33, "pad_token_id": 1}
    if family not in LAYERS:
        named["max_position_embeddings"] = positions + 4
    config = CONFIG_MAPPING[family](**named, **SIZES[family])
    torch.manual_seed(0)
    encoders = MODEL_FOR_TEXT_ENCODING_MAPPING
    model_class = (encoders if type(config) in encoders else MODEL_MAPPING)[type(config)]
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = ["<cls>", "<pad>", "<eos>", "<unk>", *LETTERS, ".", "-", "<null_1>", "<mask>"]
        path = Path(folder) / "vocab.txt"
        path.write_text("\n".join(vocabulary) + "\n")
        tokenizer = EsmTokenizer(str(path))
    return Model(model_class(config).eval().requires_grad_(False), tokenizer, family)


def plain(module: nn.Module, model: Model, proteins: list[Protein]) -> None:
    """The encoder alone, one protein after the other."""
    options = model.inputs([model.tokens.encode("A")]).keys() & {"use_mems"}
    with torch.inference_mode():
        for one in proteins:
            ids = torch.from_numpy(model.tokens.encode(one.sequence))[None]
            module(input_ids=ids, **dict.fromkeys(options, False))


def analysis(model: Model, proteins: list[Protein]) -> None:
    """Every layer analysed for amino acids."""
    pf.analyze(model, proteins, ("amino_acid",), weighting="both")


def attentions(module: nn.Module) -> list[str]:
    """Implementations of attention that transformers has for a model."""
    found = ["eager"]
    if getattr(module, "_supports_sdpa", False):
        found.append("sdpa")
    return found


def times(family: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Median seconds by contender, timed in turn."""
    model = build(family, arguments.layers, arguments.length + 2)
    proteins = [protein(arguments.length, seed) for seed in range(arguments.proteins)]
    names = attentions(model.module)
    taken: dict[str, list[float]] = {name: [] for name in ("analysis", *names)}
    for round_ in range(arguments.rounds + 1):
        for name in taken:
            if name != "analysis":
                model.module.set_attn_implementation(name)
            begin = time.perf_counter()
            if name == "analysis":
                analysis(model, proteins)
            else:
                plain(model.module, model, proteins)
            if round_:  # the first one warms up
                taken[name].append(time.perf_counter() - begin)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def peak() -> float:
    """Peak resident set of this process in MiB."""
    # Not getrusage, which begins with the peak of the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def memory(family: str, which: str, length: int, layers: int) -> None:
    """Print by how much one run makes the peak of this process grow."""
    model = build(family, layers, length + 2)
    model.module.set_attn_implementation(attentions(model.module)[-1])
    for n in (8, length):
        before = peak()
        if which == "analysis":
            analysis(model, [protein(n)])
        else:
            plain(model.module, model, [protein(n)])
    print(peak() - before)


def grown(family: str, which: str, length: int, layers: int) -> float:
    """MiB by which the peak of a fresh process grows."""
    asked = ["--memory", family, which, str(length), "--layers", str(layers)]
    command = [sys.executable, __file__, *asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return float(done.stdout.split()[-1])


def numbers(text: str) -> list[int]:
    """Integers separated by commas."""
    return [int(number) for number in text.split(",") if number]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", default=",".join(SIZES))
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--proteins", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--lengths", type=numbers, default=[512, 1024, 2048, 4096])
    parser.add_argument("--memory", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.memory:
        family, which, length = arguments.memory
        memory(family, which, int(length), arguments.layers)
        return
    families = arguments.families.split(",")
    if unknown := set(families) - set(SIZES):
        parser.error(f"--families: expected some of {', '.join(SIZES)}, got {', '.join(unknown)}")
    rows = {}
    for family in families:
        taken = times(family, arguments)
        fastest = min((name for name in taken if name != "analysis"), key=taken.get)
        ratio = taken["analysis"] / taken[fastest]
        shown = ", ".join(f"{name} {seconds * 1e3:.0f} ms" for name, seconds in taken.items())
        print(f"{family}: {ratio:.2f} x {fastest} ({shown})", flush=True)
        mib = {}
        for length in arguments.lengths:
            mib[length] = [
                round(grown(family, which, length, arguments.layers), 1)
                for which in ("analysis", "plain")
            ]
            print(
                f"  {length} residues: {mib[length][0]} MiB, plain forward {mib[length][1]} MiB",
                flush=True,
            )
        rows[family] = {"seconds": taken, "ratio": ratio, "mib_analysis_and_plain": mib}
        if arguments.out:  # after each family: the whole takes long
            asked = {name: value for name, value in vars(arguments).items() if name != "out"}
            report = {"machine": machine.describe(), "arguments": asked, "families": rows}
            arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
