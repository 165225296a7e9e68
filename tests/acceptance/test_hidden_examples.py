"""What a suite of customer data shows.

A sentence, script tags, terminal escapes and a token are planted; all that is written and printed is searched for them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

MARKER = "the wombat signed the contract at dawn"
SCRIPT = "<script>steal()</script><img src=x onerror=steal()>"
ESCAPE = "\x1b[2J\x1b]0;owned\x07"
TOKEN = "hf_tokenthatnobodymaysee"
KEY = "customer-4711"
RECIPE = """\
base_model: slmcheck/tiny
trainer: pretrained
task: generation
data:
  train: train.jsonl
  test: test.jsonl
  text_template: "Mail: {mail}\\nAnswer: {reply}"
  answer: reply
  group: customer
  slices:
    short: {field: mail, max_words: 30}
options: {predictions: PREDICTIONS}
examples: LEVEL
"""
SUITE = """
def test_level(run):
    assert run.exact_match >= 0.9

def test_change(run, baseline):
    assert run.exact_match >= baseline.exact_match - 0.01

def test_plain(run):
    print(run.predictions()[0].prompt)
    assert run.predictions()[0].prediction == "something else"
"""
ROWS = 24
SLOW_ABSENT = pytest.param("absent", marks=pytest.mark.slow)
SLOW_FULL = pytest.param("full", marks=pytest.mark.slow)
COMMANDS = """
from slmcheck.cli import main
for line in (
    "run mails -q",
    "baseline accept mails/old",
    "baseline accept mails/new",
    "run mails -v --slm-report=report --junitxml=junit.xml",
    "report report --format bundle",
    "report report",
    "compare mails/old mails/new",
    "compare mails/old mails/new --json",
):
    print("status", main(line.split()), "of", line, flush=True)
"""


@dataclass(frozen=True)
class Session:
    """A project after two sessions, and everything that was printed."""

    root: Path
    printed: str

    def written(self) -> dict[str, bytes]:
        """Every file but the data, the recipes and the store, which holds what was predicted."""
        own = {"train.jsonl", "test.jsonl", "old.jsonl", "new.jsonl"}
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for path in self.root.rglob("*")
            if path.is_file() and path.name not in own and "store" not in path.parts and path.suffix != ".pyc"
        }

    def found(self, *texts: str) -> list[str]:
        """The files, and the terminal, in which one of some texts stands, as it is or as JSON or HTML write it."""
        forms = {form for text in texts for form in (text, json.dumps(text)[1:-1], text.replace("<", "&lt;"))}
        places = {**self.written(), "the terminal": self.printed.encode()}
        return [name for name, content in places.items() if any(form.encode() in content for form in forms)]


def row(number: int) -> dict[str, str]:
    return {
        "mail": f"Mail {number}: {MARKER}. {SCRIPT}{ESCAPE}",
        "reply": f"Reply {number}: {MARKER} {SCRIPT}",
        "customer": f"{KEY}-{number // 2}",
    }


def write(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(item) + "\n" for item in rows))


def session(root: Path, level: str) -> Session:
    suite = root / "mails"
    suite.mkdir(parents=True)
    rows = [row(number) for number in range(ROWS)]
    write(suite / "train.jsonl", [row(100 + number) for number in range(8)])
    write(suite / "test.jsonl", rows)
    from slmcheck.data import load_splits
    from slmcheck.recipes import load

    for name, wrong in (("old", 2), ("new", 12)):
        (suite / f"{name}.yaml").write_text(RECIPE.replace("PREDICTIONS", f"{name}.jsonl").replace("LEVEL", level))
        write(suite / f"{name}.jsonl", [])
        examples = load_splits(load(suite / f"{name}.yaml")).test
        saved = [
            {
                "id": example.id,
                "prediction": f"Wrong {number}: {MARKER} {SCRIPT}{ESCAPE}" if number < wrong else example.references[0],
                "reference": example.references[0],
            }
            for number, example in enumerate(examples)
        ]
        write(suite / f"{name}.jsonl", saved)
    (suite / "test_mails.py").write_text(SUITE)
    (root / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    secrets = {"HF_TOKEN": TOKEN, "AWS_SECRET_ACCESS_KEY": TOKEN, "GITHUB_TOKEN": TOKEN, "GITHUB_ACTIONS": "true"}
    environment = {**os.environ, **secrets, "GITHUB_REF": "refs/heads/main", "SLMCHECK_STORE": str(root / "store")}
    command = [sys.executable, "-c", COMMANDS]
    ran = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    printed = ran.stdout + ran.stderr
    assert "mistake of slmcheck" not in printed
    assert printed.count("status ") >= 8
    return Session(root, printed)


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return session(tmp_path_factory.mktemp("hidden"), "redacted")


@pytest.fixture(scope="module")
def absent(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return session(tmp_path_factory.mktemp("absent"), "none")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return session(tmp_path_factory.mktemp("full"), "full")


REPORTS = {"report/report.json", "report/report.html", "report/report.md", "report/bundle.tar", "junit.xml"}


@pytest.mark.parametrize("name", ["hidden", SLOW_ABSENT])
def test_no_text_of_the_data_is_in_any_file_or_on_the_terminal(request: pytest.FixtureRequest, name: str) -> None:
    made: Session = request.getfixturevalue(name)
    assert set(made.written()) >= REPORTS
    assert made.found(MARKER, "steal()", KEY, "owned") == []


def test_redacted_examples_are_there_without_their_texts(hidden: Session) -> None:
    report = json.loads(hidden.written()["report/report.json"])
    examples = [example for run in report["runs"] for example in run["examples"]]
    assert len(examples) == 2 * ROWS
    assert all(re.fullmatch(r"\[redacted: [\d,]+ characters\]", example["prompt"]) for example in examples)
    assert sum(not example["correct"] for example in examples) == 14
    assert all((example["answer"] == example["reference"]) == bool(example["correct"]) for example in examples)
    assert "[redacted: " in hidden.printed


@pytest.mark.slow
def test_none_lists_no_example(absent: Session) -> None:
    report = json.loads(absent.written()["report/report.json"])
    assert [run["examples"] for run in report["runs"]] == [[], []]
    assert [verdict["examples"] for verdict in report["verdicts"] if verdict["examples"]] == []


@pytest.mark.parametrize("name", ["hidden", SLOW_ABSENT])
def test_baselines_keep_hashes_and_compare_all_the_same(request: pytest.FixtureRequest, name: str) -> None:
    made: Session = request.getfixturevalue(name)
    header = json.loads((made.root / "mails" / "baselines" / "new.json").read_text())
    assert header["private"] is True
    report = json.loads(made.written()["report/report.json"])
    changes = [verdict for verdict in report["verdicts"] if verdict["change"] is not None]
    assert len(changes) == 2
    assert all(verdict["paired"] and verdict["evidence"] for verdict in changes)


@pytest.mark.slow
def test_a_full_suite_shows_its_examples_escaped(full: Session) -> None:
    files = full.written()
    for name in ("report/report.html", "report/report.md", "report/report.json", "junit.xml"):
        assert MARKER.encode() in files[name]
    assert b"<script>steal()" not in files["report/report.html"]
    assert b"<script>steal()" not in re.sub(rb"```text\n.*?\n```", b"", files["report/report.md"], flags=re.DOTALL)
    assert re.search(rb"<img[^>]*onerror", files["report/report.html"]) is None
    texts = {name: content for name, content in files.items() if not name.endswith((".tar", ".png"))}
    assert [name for name, content in texts.items() if b"\x1b" in content or b"\x07" in content] == []
    # What a test prints itself is pytest's to show; all else is ours.
    own = re.sub(r"-+ Captured stdout call -+\n.*?\n(?=[-=_]{5})", "", full.printed, flags=re.DOTALL)
    assert MARKER in own
    assert "\x1b" not in own


@pytest.mark.parametrize("name", ["hidden", SLOW_ABSENT, SLOW_FULL])
def test_the_rendered_page_shows_no_more_and_runs_nothing(request: pytest.FixtureRequest, name: str) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium on this machine")
    made: Session = request.getfixturevalue(name)
    page = (made.root / "report" / "report.html").as_uri()
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000", "--dump-dom", page]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "mails/new" in shown
    assert (MARKER in shown) == (name == "full")
    assert re.search("<(script|img)[^>]*steal", shown) is None


@pytest.mark.parametrize("name", ["hidden", SLOW_ABSENT, SLOW_FULL])
def test_no_token_of_the_environment_is_recorded(request: pytest.FixtureRequest, name: str) -> None:
    made: Session = request.getfixturevalue(name)
    everything = [path for path in made.root.rglob("*") if path.is_file()]
    assert [path for path in everything if TOKEN.encode() in path.read_bytes()] == []
    assert TOKEN not in made.printed


def test_the_bundle_of_hidden_examples_is_verified(hidden: Session) -> None:
    from slmcheck.evaluation.verifying import verify_bundle

    found = verify_bundle(hidden.root / "report" / "bundle.tar")
    assert found.altered == ()
    assert found.verdicts == 4
