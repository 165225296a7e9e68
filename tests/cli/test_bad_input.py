"""What bad input gets: one clear message, the same in pytest and on the command line, and nothing lost."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from slmcheck.cli import main
from tests.acceptance.project import Project, Ran, verified
from tests.mood import Trained, write_suite

TESTS = """
def test_level(run):
    assert run.accuracy >= 0.0


def test_history(run):
    assert run.history
"""
TINY = Path(__file__).parents[2] / "slmcheck" / "models" / "tiny"


def edit(path: Path, old: str, new: str) -> None:
    """Replace the first of a text that is there."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def missing_file(suite: Path) -> None:
    (suite / "test.jsonl").unlink()


def broken_line(suite: Path) -> None:
    edit(suite / "train.jsonl", '"mood": "sad"}', '"mood": "sad"')


def empty_split(suite: Path) -> None:
    (suite / "test.jsonl").write_text("")


def unknown_label(suite: Path) -> None:
    edit(suite / "test.jsonl", '"mood": "sad"', '"mood": "furious"')


def missing_field(suite: Path) -> None:
    edit(suite / "train.jsonl", '"text": "i am so happy', '"txt": "i am so happy')


def unknown_field(suite: Path) -> None:
    edit(suite / "lora.yaml", "{text}", "{texts}")


def answer_cut(suite: Path) -> None:
    for _ in range(2):  # a class of one row would be another mistake
        edit(suite / "train.jsonl", '"mood": "glad"', f'"mood": "{"very " * 80}glad"')


def one_of_a_class(suite: Path) -> None:
    edit(suite / "lora.yaml", "  validation: validation.jsonl\n", "")
    edit(suite / "train.jsonl", '"mood": "glad"', '"mood": "calm"')


def unknown_trainer(suite: Path) -> None:
    edit(suite / "lora.yaml", "trainer: lora", "trainer: lroa")


def no_weights(suite: Path) -> None:
    shutil.copytree(TINY, suite / "base", ignore=shutil.ignore_patterns("*.safetensors"))
    edit(suite / "lora.yaml", "slmcheck/tiny", "./base")


def pickled_weights(suite: Path) -> None:
    no_weights(suite)
    (suite / "base" / "pytorch_model.bin").write_bytes(b"\x80\x04N.")


def no_module(suite: Path) -> None:
    edit(suite / "lora.yaml", "{r: 4}", "{r: 4, target_modules: [query, value]}")


def not_a_number(suite: Path) -> None:
    edit(suite / "lora.yaml", "learning_rate: 3.0e-3", "learning_rate: 10.0")


@dataclass(frozen=True)
class Case:
    """A mistake, and what the message about it must say."""

    spoil: Callable[[Path], None]
    says: tuple[str, ...]
    status: int = 2


CASES = [
    Case(missing_file, ("test.jsonl: file not found in ", "did you mean 'train.jsonl'?")),
    Case(broken_line, ("1 of 100 rows cannot be used.", "train.jsonl:6: broken JSON: expecting ',' delimiter")),
    Case(empty_split, ("test.jsonl: the split is empty: it has no row.",)),
    Case(unknown_label, ("test.jsonl:6: label 'furious' is not among the labels of the training rows (glad, sad).",)),
    Case(missing_field, ("train.jsonl:2: field 'text' is missing (fields: txt, mood).",)),
    Case(unknown_field, ("100 of 100 rows cannot be used.", "field 'texts' is missing", "97 more.")),
    Case(answer_cut, ("train.jsonl:1: ", "max_length")),
    Case(one_of_a_class, ("train.jsonl:1: class 'calm' has one training row; add another, or drop the class.",)),
    Case(unknown_trainer, ("lora.yaml:2: Unknown trainer 'lroa'.", "Did you mean 'lora'?")),
    Case(no_weights, ("base_model './base' has no weights: there is no .safetensors file in ",)),
    Case(pickled_weights, ("base_model './base' has pickled weights only (pytorch_model.bin in ", "as safetensors")),
    Case(no_module, ("options.target_modules names 'query', 'value'", "Its linear layers: down_proj, ")),
    Case(not_a_number, (" became nan at update ", "try learning_rate: 2"), status=3),
]
EACH = pytest.mark.parametrize("case", CASES, ids=lambda case: case.spoil.__name__)


@dataclass(frozen=True)
class Judged:
    """One session over a sound suite and a suite for every mistake."""

    project: Project
    ran: Ran
    told: dict[str, list[str]]
    """By suite: the messages of its failures and errors."""
    outcomes: dict[str, list[str]]
    """By suite: how its tests ended."""


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory, trained: Trained) -> Judged:
    """The session, by `slmcheck run`."""
    project = Project.at(tmp_path_factory.mktemp("bad") / "project")
    shutil.copytree(trained.store, project.store_path)
    for name, spoil in [("sound", None), *((case.spoil.__name__, case.spoil) for case in CASES)]:
        suite = project.root / name
        write_suite(suite)
        (suite / "test_it.py").write_text(TESTS)
        if spoil is not None:
            spoil(suite)
    ran = project.slmcheck("run", "--continue-on-collection-errors", "--junitxml=junit.xml", ".")
    told: dict[str, list[str]] = {}
    outcomes: dict[str, list[str]] = {}
    for test in ElementTree.parse(project.root / "junit.xml").getroot().iter("testcase"):
        suite_name = (test.get("classname") or test.get("name") or "").split(".")[0]
        found = [child for child in test if child.tag in ("error", "failure", "skipped")]
        outcomes.setdefault(suite_name, []).append(found[0].tag if found else "passed")
        told.setdefault(suite_name, []).extend(child.text or "" for child in found if child.tag != "skipped")
    return Judged(project, ran, told, outcomes)


@EACH
def test_a_session_says_it_once_and_clearly(case: Case, judged: Judged) -> None:
    (message,) = judged.told[case.spoil.__name__]
    assert [said for said in case.says if said not in message] == []
    assert "Traceback" not in message
    assert len(message.strip().splitlines()) <= 8
    assert judged.outcomes[case.spoil.__name__] in (["error"], ["error", "skipped"])


@EACH
def test_the_command_line_says_the_same(
    case: Case, judged: Judged, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(judged.project.root)
    status = main(["train", f"{case.spoil.__name__}/lora.yaml"])
    printed = capsys.readouterr()
    assert (status, printed.out) == (case.status, "")
    assert [said for said in case.says if said not in printed.err] == []
    assert len(printed.err.strip().splitlines()) <= 4


def test_the_session_fails_and_loses_nothing(judged: Judged) -> None:
    assert judged.ran.status == 1
    assert judged.outcomes["sound"] == ["passed", "passed"]
    assert len(judged.project.runs()) == 1
    assert verified(judged.project)
    assert (judged.project.root / ".slmcheck" / "reports" / "latest" / "report.html").is_file()


def test_no_part_of_the_session_shows_a_traceback(judged: Judged) -> None:
    assert "Traceback" not in judged.ran.text
    assert "INTERNALERROR" not in judged.ran.text
