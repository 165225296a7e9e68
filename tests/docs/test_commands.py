"""What the pages tell a reader to type works, and prints what they show."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.reading import ROOT, Block, blocks, commands, continued, matches, pages
from tests.docs.test_reference import load_script

CONSOLE = [page for page in pages() if any(block.language == "console" for block in blocks(page))]
MARK = "--- end of command, status "


class Projects:
    """The folders that the commands of pages left; each page is run once."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._done: dict[Path, Path] = {}

    def of(self, page: Path) -> Path:
        """The folder of a page after its last command."""
        if page not in self._done:
            folder = self._home / page.stem
            before = continued(page)
            if before is None:
                folder.mkdir()
            else:
                shutil.copytree(self.of(before), folder, symlinks=True)
            for block in blocks(page):
                self._carry_out(block, folder)
            self._done[page] = folder
        return self._done[page]

    def _carry_out(self, block: Block, folder: Path) -> None:
        if block.note == "file":
            target = folder / block.target
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            run_block(block, folder)


def run_block(block: Block, folder: Path) -> None:
    """Run the commands of a block in one shell; compare statuses and output with the page."""
    wanted = commands(block)
    script = "".join(f'{item.text}\n_s=$?; printf "\\n%s%s\\n" "{MARK}" "$_s"; (exit $_s)\n' for item in wanted)
    shown = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=600,
        check=False,
    ).stdout
    parts = shown.split(MARK)
    assert len(parts) == len(wanted) + 1, shown
    printed = parts[0]
    for place, item in enumerate(wanted):
        status, _, rest = parts[place + 1].partition("\n")
        where = f"{block.page.relative_to(ROOT)}:{item.line}"
        asked = place + 1 < len(wanted) and wanted[place + 1].text == "echo $?"
        assert status == "0" or asked, f"{where}: '{item.text}' ended with status {status}\n{printed}"
        assert matches(item.output, printed), (
            f"{where}: '{item.text}' printed\n{printed}\nand the page says\n{item.output}"
        )
        printed = rest


def environment() -> dict[str, str]:
    """A reader's environment: our interpreter first, nothing of the session that runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "SLMCHECK_", "COV_"))}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}",
        "COLUMNS": "80",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


@pytest.fixture(scope="session")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Projects:
    return Projects(tmp_path_factory.mktemp("pages"))


@pytest.mark.parametrize("page", CONSOLE, ids=[str(page.relative_to(ROOT)) for page in CONSOLE])
def test_the_commands_of_a_page_do_what_it_says(page: Path, projects: Projects) -> None:
    assert projects.of(page).is_dir()


def test_numbers_with_a_decimal_point_may_differ_and_words_may_not() -> None:
    assert matches("accuracy 0.444  -55.6 points", "accuracy  0.500 -60.12 points\n")
    assert not matches("2 passed in 1.2s", "3 passed in 1.2s")
    assert not matches("accuracy 0.444", "f1 0.444")


def test_an_ellipsis_stands_for_text_or_for_lines() -> None:
    assert matches("first\n...\nlast", "first\na\nb\nlast")
    assert matches("report: .slmcheck/...", "report: .slmcheck/reports/2026")
    assert not matches("first\nlast", "first\na\nlast")


def test_the_picture_of_the_readme_can_be_recorded(projects: Projects, tmp_path: Path) -> None:
    project = projects.of(ROOT / "docs" / "tutorials" / "your-first-gate.md")
    picture = tmp_path / "pictures" / "report.svg"
    load_script("record_picture").main([str(project / ".slmcheck" / "reports" / "latest"), "--output", str(picture)])
    shown = picture.read_text(encoding="utf-8")
    assert shown.startswith("<svg")
    assert str(project) not in shown
