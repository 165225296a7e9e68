"""Python, recipes, workflows and command lines on the pages are what they claim to be, also where they are not run."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from slmcheck import recipes
from slmcheck.cli.commands import COMMANDS, parser_of
from slmcheck.pytest_plugin.options import add_options
from tests.docs.reading import ROOT, Block, blocks, commands, pages
from tests.docs.test_reference import load_script

CI = ROOT / "docs" / "how-to" / "ci"
WORKFLOWS = [*sorted((ROOT / ".github" / "workflows").glob("*.yml")), *sorted(CI.glob("slm-*.yml"))]
OPTION = re.compile(r"--slm-[a-z-]+")
SPAN = re.compile(r"`(slmcheck [^`]+)`")


def of(*languages: str) -> list[object]:
    found = [block for page in pages() for block in blocks(page) if block.language in languages]
    return [pytest.param(block, id=block.place) for block in found]


def command_lines(block: Block) -> list[str]:
    """Command lines of a shell block, continuation lines joined, comments dropped."""
    if block.language == "console":
        return [item.text for item in commands(block)]
    joined = block.text.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


@pytest.mark.parametrize("block", of("python"))
def test_python_parses_and_imports_what_exists(block: Block) -> None:
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("slmcheck") and node.level == 0:
            module = importlib.import_module(node.module or "")
            missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
            assert missing == [], f"{node.module} has no {missing}"


@pytest.mark.parametrize("block", of("yaml"))
def test_recipes_load(block: Block, tmp_path: Path) -> None:
    document = yaml.safe_load(block.text)
    if "base_model" not in document:
        return
    path = tmp_path / "suite" / "recipe.yaml"
    path.parent.mkdir()
    path.write_text(block.text, encoding="utf-8")
    assert recipes.load(path).task == document["task"]


@pytest.mark.parametrize("block", of("toml"))
def test_toml_parses(block: Block) -> None:
    import tomllib

    assert tomllib.loads(block.text)


@pytest.mark.parametrize("block", of("sh", "console"))
def test_shell_blocks_are_correct_shell_and_use_commands_that_exist(block: Block) -> None:
    lines = command_lines(block)
    subprocess.run(["bash", "-n", "-c", "\n".join(lines)], check=True)
    for line in lines:
        check_command(line)


def check_command(line: str) -> None:
    words = shlex.split(line.partition(" | ")[0].partition(" > ")[0].partition(" >> ")[0], comments=True)
    while words and "=" in words[0]:
        words = words[1:]
    if words[:1] == ["slmcheck"] and len(words) > 1 and not words[1].startswith("-"):
        parser_of(words[1]).parse_args(words[2:])


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_named_commands_and_options_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for span in SPAN.findall(text):
        name = span.split()[1]
        assert name in COMMANDS or not name[0].islower(), f"`{span}`: there is no command {name}"
    assert set(OPTION.findall(text)) <= plugin_options()


def plugin_options() -> set[str]:
    parser = load_script("reference").RecordingParser()
    add_options(parser)
    return {name for name, _ in parser.options}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_is_one(path: Path) -> None:
    # YAML 1.1 reads the key `on` as true.
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow.get("on", workflow.get(True))
    for job in workflow["jobs"].values():
        if "uses" in job:
            assert (CI / Path(job["uses"]).name).is_file()
            continue
        assert job["runs-on"]
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            for line in str(step.get("run", "")).replace("\\\n", " ").splitlines():
                if "${{" not in line:
                    check_command(line)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_needed_jobs_exist(path: Path) -> None:
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    needed = [job["needs"] for job in jobs.values() if "needs" in job]
    assert all(name in jobs for names in needed for name in ([names] if isinstance(names, str) else names))


@pytest.mark.parametrize("name", ["slm-judge.yml", "gitlab-ci.yml", "gate.sh"])
def test_the_file_on_the_page_is_the_file_to_copy(name: str) -> None:
    page = ROOT / "docs" / "how-to" / "gate-a-model-in-ci.md"
    shown = [block.text for block in blocks(page) if block.note == "file" and block.target.endswith(name)]
    assert shown == [(CI / name).read_text(encoding="utf-8")]
