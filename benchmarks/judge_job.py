"""How long the pull-request job takes after its installation: three suites of 1,000 examples, on a fresh environment.

    python benchmarks/judge_job.py [--wheel FILE]

Builds the wheel unless it is given, installs it alone into a new environment (no torch), and judges three suites whose
store came as an archive: import, pytest with every rendering, annotations. Prints the seconds of each step and which
heavy libraries the environment has.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROWS = 1_000
TONES = ("angry", "glad", "sad", "calm")
RECIPE = """\
base_model: slmcheck/tiny
trainer: pretrained
task: classification
data: {test: test.jsonl, text_template: "Phrase: {phrase}\\nTone: {tone}", answer: tone, id: id}
options: {predictions: answers.jsonl}
"""
TESTS = """\
import pytest


@pytest.mark.slm_primary
def test_accuracy(run):
    assert run.accuracy >= 0.80


def test_f1(run):
    assert run.f1 >= 0.80


def test_does_not_regress(run, baseline):
    assert run.accuracy >= baseline.accuracy - 0.01


def test_mcc(run, baseline):
    assert run.mcc >= baseline.mcc - 0.02
"""


def write_suite(folder: Path) -> None:
    """A suite of saved predictions: one answer in ten is wrong."""
    folder.mkdir(parents=True)
    tones = [TONES[index % 4] for index in range(ROWS)]
    rows = [{"id": f"r{i}", "phrase": f"phrase {i} of {folder.name}", "tone": tone} for i, tone in enumerate(tones)]
    answers = [
        {"id": f"r{i}", "prediction": TONES[(i + 1) % 4] if i % 10 == 0 else tone, "reference": tone}
        for i, tone in enumerate(tones)
    ]
    for name, values in (("test.jsonl", rows), ("answers.jsonl", answers)):
        (folder / name).write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    (folder / "saved.yaml").write_text(RECIPE)
    (folder / f"test_{folder.name}.py").write_text(TESTS)


def seconds(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Wall and CPU time of a command that must end well."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - started, cpu


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path)
    given = parser.parse_args().wheel
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "SLMCHECK_", "VIRTUAL"))
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given is None:
            build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(folder / "wheel"), str(ROOT)]
            subprocess.run(build, check=True)
        wheel = given or next((folder / "wheel").glob("*.whl"))
        venv.create(folder / "env", with_pip=True)
        programs = folder / "env" / "bin"
        environment = {**kept, "PATH": f"{programs}{os.pathsep}{kept.get('PATH', '')}"}
        steps = {"install": seconds([str(programs / "pip"), "install", "-q", str(wheel)], folder, environment)}
        project = folder / "project"
        for suite in ("intents", "tone", "topics"):
            write_suite(project / "suites" / suite)
        (project / "pytest.ini").write_text("[pytest]\n")
        program = str(programs / "slmcheck")
        pytest = [str(programs / "pytest"), "suites", "-q"]
        seconds([*pytest, "--slm-accept-baseline"], project, environment)
        seconds([program, "cache", "export", "--keys-for", "suites", "-o", "store.tar"], project, environment)
        subprocess.run(["rm", "-rf", ".slmcheck"], cwd=project, check=True)  # noqa: S607  as a fresh checkout has it
        steps["import"] = seconds([program, "cache", "import", "store.tar"], project, environment)
        judge = [*pytest, "--slm-offline", "--slm-report=slm-report", "--junitxml=slm-report/junit.xml"]
        steps["judge"] = seconds(judge, project, environment)
        annotate = [program, "report", "slm-report", "--format", "annotations"]
        steps["annotate"] = seconds(annotate, project, environment)
        verdicts = len(json.loads((project / "slm-report" / "report.json").read_text())["verdicts"])
        listed = subprocess.run(
            [str(programs / "pip"), "list"], env=environment, capture_output=True, text=True, check=True
        )
    print(f"{'step':<10} {'wall':>8} {'CPU':>8}")
    for step, (wall, cpu) in steps.items():
        print(f"{step:<10} {wall:6.1f} s {cpu:6.1f} s")
    heavy = [word for word in ("torch", "transformers", "onnxruntime") if f"\n{word} " in listed.stdout] or "none"
    wall, cpu = (sum(taken[index] for step, taken in steps.items() if step != "install") for index in (0, 1))
    print(f"3 suites of {ROWS:,} examples, {verdicts} verdicts: {wall:.1f} s after install ({cpu:.1f} s of CPU)")
    print(f"heavy libraries: {heavy}")


if __name__ == "__main__":
    main()
