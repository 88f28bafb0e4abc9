"""What can be told of the CUDA kernels without a GPU, from the machine code in the module.

Needs a build with the CUDA part, and cuobjdump and nvdisasm: from a CUDA toolkit, or from the PyPI
packages nvidia-cuda-cuobjdump and nvidia-cuda-nvdisasm.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections import Counter
from itertools import pairwise, product
from pathlib import Path

import pytest

from provis_fast import _C

ARCHITECTURES = ("sm_80", "sm_90a")
# Kernels by element type, depth and purpose: two_pass_kernel<Element, depth, weighted> and
# fused_kernel<Element, depth> of csrc/cuda.
ELEMENTS = ("BFloat16", "Float16")
FUSED_KERNELS = set(product(ELEMENTS, (16, 32, 64, 96, 128), ("fused",)))
TENSOR_CORE_KERNELS = FUSED_KERNELS | set(
    product(ELEMENTS, (16, 32, 64, 96, 128, 256), ("arcs", "weighted"))
)
KERNELS = TENSOR_CORE_KERNELS | {("float", 0, "arcs"), ("float", 0, "weighted")}


def find_tool(name: str) -> str:
    """Path of a CUDA binary tool, on PATH or in a PyPI package; skips the test without it."""
    spec = importlib.util.find_spec("nvidia")
    places = [] if spec is None else list(spec.submodule_search_locations or ())
    packaged = [str(path) for place in places for path in Path(place).glob(f"*/bin/{name}")]
    for tool in (shutil.which(name), *packaged, shutil.which(f"/usr/local/cuda/bin/{name}")):
        if tool is not None and os.access(tool, os.X_OK):
            return tool
    pytest.skip(f"{name} is missing: pip install nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm")


def cuobjdump(*options: str) -> str:
    """Output of cuobjdump for the module, with nvdisasm on its PATH."""
    if not _C.build_info()["cuda"]:
        pytest.skip("built without the CUDA part: no nvcc, or PROVIS_FAST_CUDA=0")
    tools = [Path(find_tool(name)).parent for name in ("nvdisasm", "cuobjdump")]
    path = os.pathsep.join([*map(str, tools), os.environ.get("PATH", "")])
    command = [find_tool("cuobjdump"), *options, _C.__file__]
    done = subprocess.run(
        command, env=os.environ | {"PATH": path}, check=True, capture_output=True, text=True
    )
    return done.stdout


def kernel_of(line: str) -> tuple[str, int, str] | None:
    """(element, depth, purpose) from a kernel's mangled name."""
    found = re.search(
        r"(two_pass|fused)_kernelI(?:NS_\d+(BFloat16|Float16)E|f)Li(\d+)E(?:Lb([01])E)?", line
    )
    if found is None:
        return None
    purpose = {None: "fused", "0": "arcs", "1": "weighted"}[found[4]]
    return found[2] or "float", int(found[3]), purpose


@pytest.fixture(scope="module", params=ARCHITECTURES)
def instructions(request: pytest.FixtureRequest) -> dict[tuple[str, int, str], Counter[str]]:
    """How often each kernel has each instruction."""
    kernels: dict[tuple[str, int, str], Counter[str]] = {}
    counts: Counter[str] = Counter()
    for line in cuobjdump("-sass", "-arch", request.param).splitlines():
        if "Function :" in line:
            kernel = kernel_of(line)
            counts = Counter() if kernel is None else kernels.setdefault(kernel, Counter())
        elif found := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?([A-Z][A-Z0-9_.]*)", line):
            counts[found[1]] += 1
    return kernels


def test_every_kernel_is_there(instructions):
    assert set(instructions) == KERNELS


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_kernels_stay_in_registers(architecture):
    usage = cuobjdump("-res-usage", "-arch", architecture)
    lines = usage.splitlines()
    seen = set()
    for name, resources in pairwise(lines):
        kernel = kernel_of(name) if "Function" in name else None
        if kernel is None:
            continue
        seen.add(kernel)
        assert "STACK:0 " in resources and "LOCAL:0 " in resources, (kernel, resources)
    assert seen == KERNELS


def test_no_memory_of_a_thread(instructions):
    for kernel, counts in instructions.items():
        spills = [name for name in counts if re.match(r"(LDL|STL)\b", name)]
        assert not spills, (kernel, spills)


def test_products_are_on_tensor_cores(instructions):
    for kernel in TENSOR_CORE_KERNELS:
        suffix = ".BF16" if kernel[0] == "BFloat16" else ""
        assert instructions[kernel][f"HMMA.16816.F32{suffix}"] >= 8, kernel
        assert instructions[kernel]["LDSM.16.M88.4"] >= 4, kernel
    for purpose in ("arcs", "weighted"):  # nor TF32 in disguise
        assert not any("MMA" in name for name in instructions["float", 0, purpose])


def test_fragments_of_keys_are_multiplied_twice(instructions):
    """Two row tiles share them: without, shared memory would bound the products (tiles.h)."""
    for element, depth in product(ELEMENTS, (16, 32, 64, 96, 128)):
        counts = instructions[element, depth, "arcs"]
        products = sum(n for name, n in counts.items() if name.startswith("HMMA"))
        of_keys = counts["LDSM.16.M88.4"] - 2 * depth // 16  # the others load queries, once
        assert products == depth == 4 * of_keys, (element, depth)


def test_fused_kernels_multiply_values_too(instructions):
    for element, depth, purpose in FUSED_KERNELS:
        counts = instructions[element, depth, purpose]
        products = sum(n for name, n in counts.items() if name.startswith("HMMA"))
        row_tiles = 2 if depth <= 64 else 1
        assert products == row_tiles * depth, (element, depth)  # half with keys, half with values
        assert counts["LDSM.16.MT88.4"] == depth // 4, (element, depth)
        assert counts["STG.E.128"] >= 1, (element, depth)


def test_arcs_take_no_special_function(instructions):
    for (element, depth, purpose), counts in instructions.items():
        special = [name for name in counts if name.startswith("MUFU")]
        if purpose == "arcs":
            assert not special, (element, depth, special)
        else:
            assert "MUFU.EX2" in special, (element, depth)


def test_loads_are_16_bytes(instructions):
    for kernel, counts in instructions.items():
        wide = [name for name in counts if name.startswith("LDGSTS.E") and "128" in name]
        assert wide, kernel


def test_later_gpus_have_portable_code():
    targets = re.findall(r"\.(sm_\w+)\.ptx", cuobjdump("--list-ptx"))
    assert targets and set(targets) == {"sm_90"}  # sm_90a would run on Hopper alone


def test_module_needs_no_cuda_library():
    if not _C.build_info()["cuda"]:
        pytest.skip("built without the CUDA part: no nvcc, or PROVIS_FAST_CUDA=0")
    if (ldd := shutil.which("ldd")) is None:
        pytest.skip("ldd is missing")
    needed = subprocess.run([ldd, _C.__file__], check=True, capture_output=True, text=True).stdout
    assert not re.search(r"libcuda|libcudart", needed), needed
