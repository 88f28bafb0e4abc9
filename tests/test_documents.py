"""`documents`: what it runs, and which differences it notices."""

from __future__ import annotations

import subprocess
import sys

import documents
import pytest

PAGE = """\
# A page

```python
x = 2
print("x is", x)
x + 1
```

```text
x is 2
3
```

Words between.

```python
y = x * 10
```

```sh
rm -rf everything
```

```python
f"{y:,} of {1 / 3:.2%}"
```
```text
old
```
"""


def outputs(text: str) -> list[str]:
    namespace: dict = {}
    return [documents.run(block, "page.md", namespace) for block in documents.blocks(text)]


def test_blocks():
    first, second, third = documents.blocks(PAGE)
    assert (first.line, second.line, third.line) == (4, 17, 25)
    assert first.output == "x is 2\n3\n" and second.output is None and third.output == "old\n"


def test_code_is_run_in_one_namespace():
    assert outputs(PAGE) == ["x is 2\n3\n", "", "20 of 33.33%\n"]


def test_errors_name_page_and_line():
    page = "text\n\n```python\nok = 1\nraise KeyError(ok)\n```\n"
    (block,) = documents.blocks(page)
    with pytest.raises(KeyError) as raised:
        documents.run(block, "page.md", {})
    last = raised.traceback[-1]
    assert str(last.path).endswith("page.md") and last.lineno + 1 == 5


def test_a_page_is_written_anew():
    anew = documents.with_outputs(PAGE, "page.md")
    assert [block.output for block in documents.blocks(anew)] == [
        "x is 2\n3\n",
        None,
        "20 of 33.33%\n",
    ]
    assert documents.with_outputs(anew, "page.md") == anew
    assert "Words between." in anew and "rm -rf everything" in anew


def test_as_a_program(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(PAGE, encoding="utf-8")
    subprocess.run([sys.executable, documents.__file__, str(path)], check=True, cwd=tmp_path)
    assert path.read_text(encoding="utf-8") == documents.with_outputs(PAGE, "page.md")


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ("head 3-3 13.4%", "head 3-3 13.4%"),
        ("a   b\n 1", "a b 1"),  # spaces between words are no words
        ("14,819 arcs", "14,820 arcs"),
        ("13.4%", "13.5%"),
        ("background: 2.13%.", "background: 2.13%."),
    ],
)
def test_alike(expected, got):
    assert documents.same(expected, got)


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ("head 3-3 13.4%", "head 4-3 13.4%"),
        ("head 3-3 13.4%", "head 3-4 13.4%"),
        ("13.4%", "14.4%"),
        ("8 tests", "9 tests"),
        ("14,819 arcs", "15,819 arcs"),
        ("14,819 arcs", "14,819 pairs"),
        ("W: 34", "C: 34"),
        ("5%", "-5%"),
        ("1 2", "1 2 3"),
        ("1 2 3", "1 2"),
        ("nan", "0.1"),
        ("contact: 1", ""),
    ],
)
def test_different(expected, got):
    assert not documents.same(expected, got)
