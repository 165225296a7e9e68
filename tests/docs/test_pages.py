"""Links lead somewhere, the tree of the README is true, excerpts are excerpts, and no page speaks of one machine."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.docs.reading import ROOT, Block, blocks, pages

README = ROOT / "README.md"
LINK = re.compile(r"\]\(([^)\s]+)\)")
TREE_LINE = re.compile(r"^( *)([\w.*/-]+/?)(?:\s{2,}.*)?$")
EXCERPTS = [block for page in pages() for block in blocks(page) if block.note == "from"]
UNSAID = {"__pycache__", ".git", ".venv", ".tox"}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def slug(title: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower().replace("`", "")).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return {slug(title) for title in re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)}


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for link in LINK.findall(text):
        if link.startswith(("https://", "mailto:")):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{name_of(page)}: {link}"
        assert not anchor or anchor in anchors(path), f"{name_of(page)}: {link} has no such heading"


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_a_page_has_one_title_and_speaks_of_no_single_machine(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert str(ROOT) not in text
    assert str(Path.home()) + "/" not in text


def test_every_page_of_docs_is_linked_from_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in LINK.findall(index.read_text("utf-8"))}
    left_out = [name_of(page) for page in pages() if page.is_relative_to(ROOT / "docs") and page not in linked]
    assert [name for name in left_out if name != "docs/README.md"] == []


@pytest.mark.parametrize("block", EXCERPTS, ids=[block.place for block in EXCERPTS])
def test_an_excerpt_stands_on_the_page_it_is_from(block: Block) -> None:
    source = (block.page.parent / block.target).read_text(encoding="utf-8")
    for part in re.split(r"^\s*\.\.\.\n", block.text, flags=re.MULTILINE):
        assert part in source


def test_the_readme_is_short_and_has_its_picture() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 200
    picture = ROOT / "docs" / "pictures" / "report.svg"
    assert "docs/pictures/report.svg" in text
    shown = picture.read_text(encoding="utf-8")
    assert shown.startswith("<svg")
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]+"', "", shown).replace("https://www.textualize.io", "")
    assert "/tmp/" not in shown


def tree() -> dict[str, list[str]]:
    """The folders of the README's tree and what it lists in each."""
    (block,) = [item for item in blocks(README) if item.text.startswith("slmcheck/ ")]
    found: dict[str, list[str]] = {"": []}
    parents: list[tuple[int, str]] = []
    for line in block.text.splitlines():
        match = TREE_LINE.match(line)
        assert match, line
        depth, name = len(match[1]), match[2]
        while parents and parents[-1][0] >= depth:
            parents.pop()
        above = parents[-1][1] if parents else ""
        found.setdefault(above, []).append(name)
        if name.endswith("/"):
            parents.append((depth, f"{above}{name}"))
    return found


def test_everything_in_the_tree_exists() -> None:
    for folder, names in tree().items():
        for name in names:
            path = ROOT / folder / name
            assert path.is_dir() if name.endswith("/") else path.is_file(), f"{folder}{name}"


@pytest.mark.parametrize("folder", ["", "slmcheck/", "plugins/", "docs/", "suites/"])
def test_the_tree_leaves_no_folder_out(folder: str) -> None:
    there = {f"{path.name}/" for path in (ROOT / folder).iterdir() if path.is_dir() and not path.name.startswith(".")}
    listed = {name for name in tree()[folder] if name.endswith("/")}
    assert {name for name in there if name.strip("/") not in UNSAID and not is_ignored(name)} == listed


def test_the_layers_on_the_page_are_those_that_are_checked() -> None:
    (contract,) = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    # Names in brackets are places that are kept for later.
    layers = [[name for name in layer.split(" | ") if not name.startswith("(")] for layer in contract["layers"]]
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    assert "".join(f"    {' | '.join(layer)}\n" for layer in layers if layer) in page


def is_ignored(name: str) -> bool:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    return name in ignored or f"/{name}" in ignored or name.endswith(".egg-info/")
