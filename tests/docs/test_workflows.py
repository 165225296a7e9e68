"""The action and the files for CI: they follow the published schemas, pin what they use, and do their work."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from slmcheck import __version__
from tests.cli.conftest import project, slmcheck
from tests.docs.reading import ROOT

__all__ = ["project", "slmcheck"]

CI = ROOT / "docs" / "how-to" / "ci"
ACTION = ROOT / "action.yml"
WORKFLOWS = [*sorted(CI.glob("slm-*.yml")), *sorted((ROOT / ".github" / "workflows").glob("*.yml"))]
PINNED = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40}")
OWN = f"slmcheck/slmcheck@v{__version__}"


def loaded(path: Path) -> dict[str, Any]:
    value = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(value, dict)
    return value


def steps_of(path: Path) -> list[dict[str, Any]]:
    value = loaded(path)
    if "runs" in value:
        return list(value["runs"]["steps"])
    return [step for job in value["jobs"].values() for step in job.get("steps", ())]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schema", "paths"),
    [
        ("vendor.github-workflows", WORKFLOWS),
        ("vendor.github-actions", [ACTION]),
        ("vendor.gitlab-ci", [CI / "gitlab-ci.yml"]),
    ],
    ids=["workflows", "action", "gitlab"],
)
def test_files_follow_the_published_schema(schema: str, paths: list[Path]) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema]
    command += ["--data-transform", "gitlab-ci"] if "gitlab" in schema else []
    done = subprocess.run([*command, *map(str, paths)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", [*sorted(CI.glob("slm-*.yml")), ACTION], ids=lambda path: path.name)
def test_every_action_is_pinned_by_commit(path: Path) -> None:
    used = [step["uses"] for step in steps_of(path) if "uses" in step]
    assert [name for name in used if not PINNED.fullmatch(name) and name != OWN] == []


@pytest.mark.parametrize("path", [*sorted(CI.glob("slm-*.yml")), ACTION], ids=lambda path: path.name)
def test_no_script_contains_an_expression(path: Path) -> None:
    # What an expression gives is pasted into the script before the shell reads it; the environment is not.
    scripts = [str(step.get("run", "")) for step in steps_of(path)]
    assert [
        line for script in scripts for line in script.splitlines() if "${{" in line and "steps.key" not in line
    ] == []


def test_only_the_comment_can_write_and_it_checks_out_nothing() -> None:
    for path in sorted(CI.glob("slm-*.yml")):
        value = loaded(path)
        granted = [value["permissions"], *(job.get("permissions", {}) for job in value["jobs"].values())]
        can_write = any("write" in permissions.values() for permissions in granted)
        assert can_write == (path.name == "slm-comment.yml"), path.name
    used = [step.get("uses", "") for step in steps_of(CI / "slm-comment.yml")]
    assert not any("checkout" in name or name.startswith("./") for name in used)
    assert loaded(CI / "slm-comment.yml")[True]["workflow_run"]["workflows"] == [loaded(CI / "slm-judge.yml")["name"]]


def test_the_judge_installs_this_version_without_extras() -> None:
    [own] = [step for step in steps_of(CI / "slm-judge.yml") if step.get("uses") == OWN]
    assert own["with"]["package"] == f"slmcheck=={__version__}"
    assert set(own["with"]) <= set(loaded(ACTION)["inputs"])


def carry_out(folder: Path, inputs: Mapping[str, str]) -> list[subprocess.CompletedProcess[str]]:
    """Run the scripts of the action as GitHub's runner does, one after the other, until one fails."""
    done: list[subprocess.CompletedProcess[str]] = []
    output, summary = folder / "output.txt", folder / "summary.md"
    for file in (output, summary):
        file.touch()
    for step in steps_of(ACTION):
        if "run" not in step or not _is_wanted(str(step.get("if", "")), inputs):
            continue
        outputs = dict(line.split("=", 1) for line in output.read_text().splitlines())
        given = {name: _value(str(text), inputs, outputs) for name, text in step.get("env", {}).items()}
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "SLMCHECK_"))},
            **given,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(summary),
            "PYTHONDONTWRITEBYTECODE": "",
        }
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        done.append(ran)
        if ran.returncode:
            break
    return done


def _is_wanted(condition: str, inputs: Mapping[str, str]) -> bool:
    named = re.findall(r"inputs\.(\w+) != ''", condition)
    return all(inputs[name] for name in named)


def _value(text: str, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> str:
    text = re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda found: inputs[found[1]], text)
    return re.sub(r"\$\{\{ steps\.judge\.outputs\.(\w+) \}\}", lambda found: outputs[found[1]], text)


@pytest.fixture
def inputs() -> dict[str, str]:
    """The defaults of the action, without installing anything."""
    found = {name: str(item["default"]) for name, item in loaded(ACTION)["inputs"].items()}
    return {**found, "package": ""}


def train(slmcheck: Callable[..., Any], project: Path) -> None:
    """Do what the other job does, and leave its archive alone."""
    for run in ("old", "new"):
        assert slmcheck("evaluate", run, "--metric", "accuracy").status == 0
    assert slmcheck("cache", "export", "--keys-for", "suites", "-o", "store.tar").status == 0
    shutil.rmtree(project / ".slmcheck")


def test_a_red_gate_is_told_by_summary_annotation_and_status(
    slmcheck: Callable[..., Any], project: Path, inputs: dict[str, str]
) -> None:
    suite = project / "suites" / "tone" / "test_tone.py"
    suite.write_text("def test_level(run):\n    floor = 0.85\n    assert run.accuracy >= floor\n")
    train(slmcheck, project)
    _, judged, told, ended = carry_out(project, {**inputs, "arguments": "-q", "store": "store.tar"})
    assert (judged.returncode, told.returncode, ended.returncode) == (0, 0, 1)
    first, last = judged.stdout.splitlines()[0], judged.stdout.splitlines()[-1]
    assert first.startswith("::stop-commands::")
    assert last == f"::{first.rpartition('::')[2]}::"
    assert told.stdout.startswith(
        "::error file=suites/tone/test_tone.py,line=3,title=slmcheck%3A test_level[run=new]::"
    )
    assert "✗ 2 gates: 1 pass, 1 fail" in (project / "summary.md").read_text()
    assert (project / "slm-report" / "junit.xml").is_file()
    assert json.loads((project / "slm-report" / "report.json").read_text())["tests"] == {"failed": 1, "passed": 1}


@pytest.mark.slow
def test_a_green_gate_ends_with_0(slmcheck: Callable[..., Any], project: Path, inputs: dict[str, str]) -> None:
    (project / "suites/tone/test_tone.py").write_text("def test_level(run):\n    assert run.accuracy >= 0.1\n")
    train(slmcheck, project)
    _, judged, told, ended = carry_out(project, {**inputs, "suites": "suites/tone", "store": "store.tar"})
    assert (judged.returncode, told.stdout, ended.returncode) == (0, "", 0)


def test_a_session_without_a_report_is_an_error(project: Path, inputs: dict[str, str]) -> None:
    *_, told, ended = carry_out(project, {**inputs, "suites": "nowhere"})
    assert told.stdout.startswith("::error title=slmcheck::The session ended with status 4")
    assert ended.returncode == 4
