"""Baselines in a team: accepts that conflict in one line, resolving them, merging those of several recipes, the log."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import RECIPE, answers, write_rows

SUITE = Path("suites/tone")
HEADER, EXAMPLES = SUITE / "baselines/old.json", SUITE / "baselines/old.examples.jsonl"
TESTS = """\
import pytest


@pytest.mark.slm_primary
def test_accuracy(run):
    assert run.accuracy >= 0.5


def test_f1(run):
    assert run.f1 >= 0.1
"""


def git(*arguments: str, check: bool = True) -> str:
    """Run git in the current folder."""
    done = subprocess.run(
        ["git", "-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "commit.gpgsign=false", *arguments],
        capture_output=True,
        text=True,
        check=check,
    )
    return done.stdout


def commit(message: str) -> None:
    git("add", "-A")
    git("commit", "-q", "-m", message)


@pytest.fixture
def repository(project: Path, slmcheck: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The project as a repository with an accepted baseline of tone/old, tagged v1."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    (SUITE / "test_tone.py").write_text(TESTS)
    (project / ".gitignore").write_text(".slmcheck\n__pycache__\n")
    git("init", "-q", "-b", "main")
    git("config", "user.name", "Ann")
    measure(slmcheck, range(6))
    assert slmcheck("baseline", "accept", "old", "--reason", "first release").status == 0
    commit("release 1")
    git("tag", "v1")
    return slmcheck


def measure(slmcheck: Callable[..., Any], wrong: range, name: str = "old") -> None:
    """Let a run answer wrongly at some places, and measure it."""
    write_rows(SUITE / f"{name}.jsonl", answers(wrong))
    for metric in ("accuracy", "f1"):
        assert slmcheck("evaluate", name, "--metric", metric).status == 0


def accept_on(branch: str, slmcheck: Callable[..., Any], wrong: range, *, by: str, reason: str) -> str:
    """Accept a run on a branch from main, as somebody; gives the run key."""
    git("checkout", "-q", "-b", branch, "main")
    git("config", "user.name", by)
    measure(slmcheck, wrong)
    assert slmcheck("baseline", "accept", "old", "--reason", reason).status == 0
    commit(f"accept on {branch}")
    return str(json.loads(HEADER.read_text())["accepted"]["run_key"])


@pytest.fixture
def conflict(repository: Callable[..., Any]) -> tuple[Callable[..., Any], str, str]:
    """A merge under way of two accepts of tone/old; the merged recipe asks for the run of theirs."""
    ours = accept_on("ann", repository, range(5), by="Ann", reason="more rows")
    theirs = accept_on("bob", repository, range(2), by="Bob", reason="better prompt")
    git("checkout", "-q", "ann")
    git("merge", "bob", check=False)
    git("checkout", "--theirs", "--", str(SUITE / "old.jsonl"))
    return repository, ours, theirs


def test_two_accepts_of_one_recipe_conflict_in_one_line_that_names_both_runs(
    conflict: tuple[Callable[..., Any], str, str],
) -> None:
    _, ours, theirs = conflict
    lines = HEADER.read_text().splitlines()
    start, middle, end = (
        next(i for i, line in enumerate(lines) if line.startswith(mark)) for mark in ("<<<", "===", ">>>")
    )
    assert (middle - start, end - middle) == (2, 2)
    assert sum(line.startswith("<<<<") for line in lines) == 1
    assert (ours in lines[start + 1], theirs in lines[middle + 1]) == (True, True)
    assert '"by": "Ann"' in lines[start + 1]
    assert '"by": "Bob"' in lines[middle + 1]
    unmerged = git("diff", "--name-only", "--diff-filter=U").split()
    assert "suites/tone/baselines/old.examples.jsonl" not in unmerged


def test_a_conflict_left_in_a_baseline_is_one_message_that_names_the_command(
    conflict: tuple[Callable[..., Any], str, str],
) -> None:
    slmcheck, _, _ = conflict
    for command in (("baseline", "show"), ("baseline", "diff"), ("compare", "baseline")):
        ran = slmcheck(*command, "old")
        assert ran.status == 2
        assert "unresolved merge conflict (<<<<<<<)" in ran.err
        assert "slmcheck baseline resolve tone/old" in ran.err


def test_taking_one_header_with_merged_examples_is_noticed(conflict: tuple[Callable[..., Any], str, str]) -> None:
    slmcheck, _, _ = conflict
    git("checkout", "--ours", "--", str(HEADER))
    ran = slmcheck("baseline", "show", "old")
    assert ran.status == 2
    assert "slmcheck baseline resolve" in ran.err


def test_resolve_judges_both_and_writes_the_run_of_the_merged_recipe(
    conflict: tuple[Callable[..., Any], str, str],
) -> None:
    slmcheck, ours, theirs = conflict
    measure(slmcheck, range(2))
    ran = slmcheck("baseline", "resolve", "old")
    assert ran.status == 0, ran.err
    assert f"Accepted run {theirs[:12]} (theirs) of ours {ours[:12]}, theirs {theirs[:12]}" in ran.out
    assert "accuracy" in ran.out
    header = json.loads(HEADER.read_text())["accepted"]
    assert (header["run_key"], ours[:12] in header["reason"]) == (theirs, True)
    assert slmcheck("baseline", "show", "old").status == 0
    git("add", "-A")
    assert "<<<<" not in git("diff", "--cached", "HEAD")


def test_resolve_refuses_a_run_that_is_worse_than_one_side(conflict: tuple[Callable[..., Any], str, str]) -> None:
    slmcheck, _, _ = conflict
    measure(slmcheck, range(40))
    before = HEADER.read_bytes()
    ran = slmcheck("baseline", "resolve", "old")
    assert ran.status == 1
    assert "--accept-regression REASON" in ran.err
    assert HEADER.read_bytes() == before
    assert slmcheck("baseline", "resolve", "old", "--accept-regression", "smaller model").status == 0


def test_resolve_without_a_measured_run_says_what_to_run(conflict: tuple[Callable[..., Any], str, str]) -> None:
    slmcheck, ours, theirs = conflict
    write_rows(SUITE / "old.jsonl", answers(range(1)))
    shutil.rmtree(".slmcheck")
    ran = slmcheck("baseline", "resolve", "old")
    assert ran.status == 2
    assert ours[:12] in ran.err
    assert theirs[:12] in ran.err
    assert "--take ours | theirs" in ran.err


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_a_side_can_be_taken_as_it_is(side: str, conflict: tuple[Callable[..., Any], str, str]) -> None:
    slmcheck, ours, theirs = conflict
    assert slmcheck("baseline", "resolve", "old", "--take", side, "--accept-regression", "agreed").status == 0
    assert json.loads(HEADER.read_text())["accepted"]["run_key"] == {"ours": ours, "theirs": theirs}[side]


def test_resolve_without_a_conflict_is_wrong_usage(repository: Callable[..., Any]) -> None:
    ran = repository("baseline", "resolve", "old")
    assert (ran.status, "There is no conflict" in ran.err) == (2, True)


def test_resolve_of_a_damaged_file_without_a_merge_is_wrong_usage(repository: Callable[..., Any]) -> None:
    HEADER.write_text("<<<<<<< HEAD\n")
    ran = repository("baseline", "resolve", "old")
    assert (ran.status, "git knows of no merge" in ran.err) == (2, True)


def test_accepts_of_different_recipes_on_three_branches_merge_without_conflict(repository: Callable[..., Any]) -> None:
    names = ("one", "two", "three")
    for name in names:
        (SUITE / f"{name}.yaml").write_text(RECIPE.replace("PREDICTIONS", f"{name}.jsonl"))
        write_rows(SUITE / f"{name}.jsonl", answers(range(4)))
    commit("three recipes")
    for name in names:
        git("checkout", "-q", "-b", name, "main")
        measure(repository, range(3), name)
        assert repository("baseline", "accept", name).status == 0
        commit(f"accept {name}")
    git("checkout", "-q", "main")
    for name in names:
        git("merge", "-q", "--no-edit", name)
    for name in names:
        assert repository("baseline", "show", name).status == 0


def test_the_log_has_every_release_with_its_primary_scores(repository: Callable[..., Any]) -> None:
    git("config", "user.name", "Bob")
    measure(repository, range(4))
    assert repository("baseline", "accept", "old", "--reason", "cleaner rows").status == 0
    commit("release 2")
    measure(repository, range(8))
    assert repository("baseline", "accept", "old", "--accept-regression", "half the size").status in (0, 1)
    ran = repository("baseline", "log", "old", "--json")
    releases: Any = ran.document["releases"]
    assert ran.document["metrics"] == ["accuracy"]
    assert releases[0]["release"] == "v1"
    assert [item["by"] for item in releases][:2] == ["Ann", "Bob"]
    assert [item["reason"] for item in releases][:2] == ["first release", "cleaner rows"]
    assert [round(item["scores"][0]["value"], 4) for item in releases][:2] == [0.9, 0.9333]
    assert releases[0]["scores"][0]["low"] < 0.9 < releases[0]["scores"][0]["high"]
    assert releases[-1]["release"] == "not committed"
    text = repository("baseline", "log", "old").out
    assert "since the first" in text
    assert "+3.3 points" in text


def test_the_log_can_show_other_scores_and_refuses_unknown_ones(repository: Callable[..., Any]) -> None:
    assert "f1 (95 % interval)" in repository("baseline", "log", "old", "--metric", "f1").out
    ran = repository("baseline", "log", "old", "--metric", "bleu")
    assert (ran.status, "Accepted: accuracy, f1." in ran.err) == (2, True)


def test_a_commit_with_a_damaged_baseline_is_said_and_the_others_are_shown(repository: Callable[..., Any]) -> None:
    good = HEADER.read_bytes()
    HEADER.write_text("<<<<<<< HEAD\n")
    commit("a conflict was committed")
    HEADER.write_bytes(good)
    commit("mended")
    ran = repository("baseline", "log", "old")
    assert ran.status == 0
    assert "cannot be read" in ran.out
    assert "first release" in ran.out


def test_the_log_of_nothing_is_wrong_usage(repository: Callable[..., Any]) -> None:
    ran = repository("baseline", "log", "new")
    assert (ran.status, "There is no baseline of 'tone/new'" in ran.err) == (2, True)


def test_the_log_outside_of_a_repository_has_what_lies_there(
    repository: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(tmp_path / ".git")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    releases: Any = repository("baseline", "log", "old", "--json").document["releases"]
    assert [item["release"] for item in releases] == ["not committed"]


def test_the_report_draws_the_trend_of_releases(repository: Callable[..., Any]) -> None:
    measure(repository, range(4))
    assert repository("baseline", "accept", "old").status == 0
    commit("release 2")
    ran = repository("run", "suites", "-q", "-k", "old")
    assert ran.status == 0
    assert "accuracy 0.900 (v1), 0.933" in " ".join(ran.out.split())
    page = next(Path(".slmcheck/reports").glob("latest/report.html")).read_text()
    assert "Releases: accuracy" in page
    assert "accuracy 0.900 (v1), 0.933" in repository("report", "--format", "markdown").out


def test_slow_drift_is_refused_against_the_pinned_first_release(repository: Callable[..., Any]) -> None:
    measure(repository, range(2))
    assert repository("baseline", "accept", "old", "--anchor").status == 0
    header = json.loads(HEADER.read_text())
    header["accepted"]["scores"]["accuracy"][0] = 0.5
    measure(repository, range(20))
    accepted = repository("baseline", "accept", "old", "--accept-regression", "step down")
    assert accepted.status == 0
    measure(repository, range(21))
    ran = repository("baseline", "accept", "old")
    assert ran.status == 1
    assert "baseline.anchor" in ran.err
    assert "against" in HEADER.read_text()


def test_a_waived_run_becomes_no_baseline_without_a_word(repository: Callable[..., Any]) -> None:
    (SUITE / "test_tone.py").write_text(TESTS.replace("0.5", "0.95"))
    assert repository("run", "suites", "-q", "-k", "old").status == 1
    assert repository("waive", "test_accuracy", "--reason", "a demo", "--expires", "2099-01-01").status == 2
    day = __import__("datetime").date.today().isoformat()
    ran = repository("waive", "test_accuracy", "--reason", "a demo", "--expires", day, "--by", "Ann")
    assert ran.status == 0, ran.err
    refused = repository("baseline", "accept", "old")
    assert (refused.status, "a waiver moves no baseline" in refused.err) == (1, True)
    assert repository("baseline", "accept", "old", "--accept-regression", "the new normal").status == 0
