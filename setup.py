"""Builds the compiled parts with CMake and ninja: `provis_fast._C`, the kernels, and
`provis_fast._text`, which reads inputs.

The extension neither links nor includes torch, so one build serves every torch version.

Environment:
    PROVIS_FAST_CUDA=0|1|auto   build the CUDA part: never, always, where nvcc is found and can
                                build it (default).
    PROVIS_FAST_CUDA_ARCHITECTURES   CMake's list of architectures; default
                                "80-real;90a-real;90-virtual", SASS for A100 and H100 and PTX for
                                what comes after them.
    CUDACXX                     path of nvcc; default: on PATH, or in /usr/local/cuda.
    PROVIS_FAST_WERROR=1        treat compiler warnings as errors.
    PROVIS_FAST_BUILD_TYPE      CMake build type; default Release.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent


def find_nvcc() -> str | None:
    """Path of the CUDA compiler; None where there is none."""
    named = os.environ.get("CUDACXX")
    return shutil.which(named or "nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")


class CMakeBuild(build_ext):
    """Configures and builds the CMake project; setuptools does the rest."""

    def build_extension(self, ext: Extension) -> None:
        import pybind11

        cuda = os.environ.get("PROVIS_FAST_CUDA", "auto")
        if cuda not in ("0", "1", "auto"):
            raise SystemExit(f"PROVIS_FAST_CUDA: expected 0, 1 or auto, got {cuda!r}")
        target = ext.name.rpartition(".")[2]
        if target != "_C":
            cuda = "0"  # the kernels' alone
        nvcc = find_nvcc() if cuda != "0" else None
        if cuda == "1" and nvcc is None:
            raise SystemExit(
                "PROVIS_FAST_CUDA=1: expected nvcc on PATH, in /usr/local/cuda or as CUDACXX, got "
                "none; install the CUDA toolkit 12 or later, or use 0 or auto"
            )
        output = Path(self.get_ext_fullpath(ext.name)).resolve().parent
        build = Path(self.build_temp).resolve() / f"cmake{target}"
        build.mkdir(parents=True, exist_ok=True)
        # Isolated builds have their tools in a folder that is gone the next time; a cache that
        # remembers its ninja would break the second build in the same tree.
        (build / "CMakeCache.txt").unlink(missing_ok=True)
        werror = os.environ.get("PROVIS_FAST_WERROR", "0") == "1"
        configure = [
            "cmake",
            "-S",
            str(ROOT),
            "-B",
            str(build),
            "-G",
            "Ninja",
            f"-DCMAKE_BUILD_TYPE={os.environ.get('PROVIS_FAST_BUILD_TYPE', 'Release')}",
            f"-DCMAKE_LIBRARY_OUTPUT_DIRECTORY={output}",
            f"-DPROVIS_FAST_VERSION={self.distribution.get_version()}",
            f"-DPROVIS_FAST_WERROR={'ON' if werror else 'OFF'}",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
        ]
        architectures = os.environ.get(
            "PROVIS_FAST_CUDA_ARCHITECTURES", "80-real;90a-real;90-virtual"
        )
        parts = "the CPU part; no CUDA part" + (", as there is no nvcc" if cuda == "auto" else "")
        done = False
        if nvcc is not None:
            with_cuda = [
                *configure,
                "-DPROVIS_FAST_CUDA=ON",
                f"-DCMAKE_CUDA_COMPILER={nvcc}",
                f"-DCMAKE_CUDA_ARCHITECTURES={architectures}",
            ]
            try:
                self._build(with_cuda, build, target)
                done = True
                parts = f"the CPU part and the CUDA part ({nvcc}; {architectures})"
            except SystemExit as error:
                if cuda == "1":
                    raise
                # A toolkit that does not fit the compiler must not cost the CPU part.
                parts = f"the CPU part; no CUDA part, as it could not be built with {nvcc}"
                print(f"{error}\nprovis_fast: going on without the CUDA part", file=sys.stderr)
                shutil.rmtree(build)
                build.mkdir()
        if not done:
            self._build(configure, build, target)
        if target != "_C":
            return
        print(f"provis_fast: built {parts}, in {output}")

    def _build(self, configure: list[str], build: Path, target: str) -> None:
        self._run(configure, "configure")
        self._run(["cmake", "--build", str(build), "--target", target], "build")

    @staticmethod
    def _run(command: list[str], step: str) -> None:
        try:
            subprocess.run(command, check=True)
        except FileNotFoundError:
            raise SystemExit(
                f"provis_fast: {command[0]} not found; pip install cmake ninja"
            ) from None
        except subprocess.CalledProcessError as error:
            raise SystemExit(
                f"provis_fast: the {step} step failed (exit status {error.returncode}); a C++17 "
                "compiler with OpenMP (GCC 10 or Clang 14 and later) is needed, and for the CUDA "
                "part, which PROVIS_FAST_CUDA=0 leaves out, the CUDA toolkit 12 or later; see above"
            ) from None


setup(
    ext_modules=[Extension(f"provis_fast.{name}", sources=[]) for name in ("_C", "_text")],
    cmdclass={"build_ext": CMakeBuild},
)
