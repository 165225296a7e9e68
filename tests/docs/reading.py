"""The pages of the project, taken apart: fenced blocks, what is to be written to files, commands with their output.

What the tests understand on a page:

* A fence `console` is run: lines that begin with `$ ` are commands, the lines below one are what it prints. `...` is
  any text, on a line of its own any lines. Numbers with a decimal point may have other digits, because they are those
  of one machine. A command ends with status 0 unless the next one is `echo $?`.
* `<!-- file: PATH -->` above a fence: the fence is the content of that file.
* `<!-- continues: PAGE -->`: the commands start in the project that the commands of another page left.
* `<!-- from: PAGE -->` above a fence: the fence is an excerpt of that page.
* A fence `sh` is not run: what needs a network, a long time or somebody's account. Its command lines must parse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w*)\s*$")
_NOTE = re.compile(r"^<!-- (file|from): (\S+) -->$")
_CONTINUES = re.compile(r"^<!-- continues: (\S+) -->$", re.MULTILINE)
_DECIMAL = re.compile(r"(?<![\w.])[+−-]?\d[\d,]*\.\d+(?![\w.]*\d)")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str
    note: str = ""
    """`file` or `from`, where a comment above says so."""
    target: str = ""

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A command of a console block with the output that is shown."""

    text: str
    output: str
    line: int


def pages() -> list[Path]:
    """Every page that people read, in a fixed order."""
    named = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "changelog.d" / "README.md"]
    return [*named, *sorted((ROOT / "docs").rglob("*.md"))]


@cache
def blocks(page: Path) -> tuple[Block, ...]:
    """The fenced blocks of a page."""
    return tuple(_blocks(page))


def _blocks(page: Path) -> Iterator[Block]:
    lines = page.read_text(encoding="utf-8").splitlines()
    start, language = None, ""
    for number, line in enumerate(lines):
        fence = _FENCE.match(line)
        if fence and start is None:
            start, language = number, fence[1]
        elif fence and start is not None:
            above = next((text for text in reversed(lines[:start]) if text.strip()), "")
            note = _NOTE.match(above)
            text = "\n".join(lines[start + 1 : number]) + "\n"
            yield Block(page, start + 1, language, text, note[1] if note else "", note[2] if note else "")
            start = None


def continued(page: Path) -> Path | None:
    """The page whose project a page goes on with."""
    found = _CONTINUES.search(page.read_text(encoding="utf-8"))
    return (page.parent / found[1]).resolve() if found else None


def commands(block: Block) -> list[Command]:
    """The commands of a console block."""
    found: list[Command] = []
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if line.startswith("$ "):
            found.append(Command(line[2:], "", number))
        else:
            assert found, f"{block.place}: output without a command"
            found[-1] = Command(found[-1].text, f"{found[-1].output}{line}\n", found[-1].line)
    return found


def matches(expected: str, printed: str) -> bool:
    """Whether what was printed is what a page shows."""
    return re.fullmatch(_pattern(expected), _tidy(printed)) is not None


def _pattern(expected: str) -> str:
    parts = []
    for line in _tidy(expected).splitlines():
        parts.append(r"(?:[^\n]*\n)*?" if line == "..." else _line_pattern(line) + r"\n")
    return "".join(parts)


def _line_pattern(line: str) -> str:
    pieces = []
    for piece in line.split("..."):
        texts, numbers = _DECIMAL.split(piece), len(_DECIMAL.findall(piece))
        escaped = [re.escape(text) for text in texts]
        pieces.append(r"[+−-]?\d[\d,]*\.\d+".join(escaped) if numbers else escaped[0])
    return r"[^\n]*".join(pieces)


def _tidy(text: str) -> str:
    """Runs of spaces as one, no blank lines at the ends."""
    lines = [re.sub(r"[ \t]+", " ", line).strip() for line in text.strip("\n").splitlines()]
    return "".join(f"{line}\n" for line in lines)
