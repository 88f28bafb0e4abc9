"""Builds the compiled part, `provis_fast._C`, with CMake and ninja.

The extension neither links nor includes torch, so one build serves every torch version.

Environment:
    PROVIS_FAST_CUDA=0|1|auto   build the CUDA part: never, always, where nvcc is found (default).
                                This release has no CUDA part: 1 is refused.
    PROVIS_FAST_WERROR=1        treat compiler warnings as errors.
    PROVIS_FAST_BUILD_TYPE      CMake build type; default Release.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent


class CMakeBuild(build_ext):
    """Configures and builds the CMake project; setuptools does the rest."""

    def build_extension(self, ext: Extension) -> None:
        import pybind11

        cuda = os.environ.get("PROVIS_FAST_CUDA", "auto")
        if cuda not in ("0", "1", "auto"):
            raise SystemExit(f"PROVIS_FAST_CUDA: expected 0, 1 or auto, got {cuda!r}")
        if cuda == "1":
            raise SystemExit("PROVIS_FAST_CUDA=1: this release has no CUDA part; use 0 or auto")
        output = Path(self.get_ext_fullpath(ext.name)).resolve().parent
        build = Path(self.build_temp).resolve() / "cmake"
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
        self._run(configure, "configure")
        self._run(["cmake", "--build", str(build), "--target", "_C"], "build")
        print(f"provis_fast: built the CPU part ({output}); CUDA part: not in this release")

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
                "compiler with OpenMP (GCC 10 or Clang 14 and later) is needed; see above"
            ) from None


setup(
    ext_modules=[Extension("provis_fast._C", sources=[])],
    cmdclass={"build_ext": CMakeBuild},
)
