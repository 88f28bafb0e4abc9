"""Pages of documentation whose code is run, and whose output is what the code prints.

A page is Markdown. Its blocks of Python are run one after the other in one namespace; the block of
text right behind one holds what it prints, the value of a last expression included. Run as a
program, this writes the output of a page anew:

    python tests/documents.py docs/tutorial.md
"""

from __future__ import annotations

import ast
import contextlib
import io
import math
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

_BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:(?P<gap>\n*)^```text\n(?P<output>.*?)^```\n)?", re.M | re.S
)
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")


class Block(NamedTuple):
    """Code of a page, and the output that stands behind it.

    Attributes
    ----------
    line : int
        Of the page, from 1, where the code begins.
    code : str
    output : str or None
        None where the page shows none.
    """

    line: int
    code: str
    output: str | None


def blocks(text: str) -> list[Block]:
    """Blocks of Python of a page."""
    return [
        Block(text.count("\n", 0, found.start("code")) + 1, found["code"], found["output"])
        for found in _BLOCK.finditer(text)
    ]


def run(block: Block, page: str, namespace: dict[str, Any]) -> str:
    """What a block prints."""
    tree = ast.parse("\n" * (block.line - 1) + block.code, page)
    last = tree.body[-1] if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    statements = tree.body[:-1] if last is not None else tree.body
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(ast.Module(statements, []), page, "exec"), namespace)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), page, "eval"), namespace)
            if value is not None:
                print(value)
    return "".join(f"{line.rstrip()}\n" for line in printed.getvalue().splitlines())


def same(expected: str, got: str, relative: float = 0.02, absolute: float = 0.11) -> bool:
    """Whether two outputs agree: words exactly, numbers as far as machines agree on them.

    A weight of attention next to a threshold is an arc on one machine and none on the other.
    """
    if _words(expected) != _words(got):
        return False
    numbers = [[_value(n) for n in _NUMBER.findall(text)] for text in (expected, got)]
    return all(
        math.isclose(a, b, rel_tol=relative, abs_tol=absolute)
        for a, b in zip(*numbers, strict=True)
    )


def _words(text: str) -> list[str]:
    return _NUMBER.sub("#", text).split()


def _value(number: str) -> float:
    return float(number.replace(",", ""))


def with_outputs(text: str, page: str) -> str:
    """The page with what its code prints today."""
    namespace: dict[str, Any] = {"__name__": "__main__"}

    def written(found: re.Match[str]) -> str:
        line = text.count("\n", 0, found.start("code")) + 1
        output = run(Block(line, found["code"], None), page, namespace)
        shown = f"\n```text\n{output}```\n" if output else ""
        return f"```python\n{found['code']}```\n{shown}"

    return _BLOCK.sub(written, text)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(with_outputs(path.read_text(), name))
