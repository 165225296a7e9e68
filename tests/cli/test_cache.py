"""`slmcheck cache`: why, gc, verify, export, import, push, pull, key."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slmcheck.cli.cache import size_of
from slmcheck.errors import InputError

SUITE = Path("suites/tone")


@pytest.fixture
def stored(slmcheck: Callable[..., Any], project: Path) -> Callable[..., Any]:
    """tone/old and tone/new are in the store."""
    for name in ("old", "new"):
        slmcheck("evaluate", name, "--metric", "accuracy")
    return slmcheck


def keys(ran: Any) -> dict[str, list[str]]:
    """Run keys by recipe."""
    found: dict[str, list[str]] = ran.document["runs"]
    return found


def test_why_names_the_field_in_which_two_recipes_differ(stored: Callable[..., Any]) -> None:
    path = SUITE / "new.yaml"
    path.write_text((SUITE / "old.yaml").read_text() + "learning_rate: 1.0e-3\n")
    ran = stored("cache", "why", "old", "new")
    assert (ran.status, ran.out) == (0, "recipe.learning_rate: 0.0002 -> 0.001\n")


def test_why_compares_stored_runs_by_their_keys(stored: Callable[..., Any]) -> None:
    found = keys(stored("cache", "key", "--suites", "suites", "--json"))
    ran = stored("cache", "why", found["tone/old"][0][:10], found["tone/new"][0][:10])
    assert ran.out.startswith("options.predictions")


def test_why_of_one_recipe_names_the_row_that_changed_since_it_was_trained(stored: Callable[..., Any]) -> None:
    path = SUITE / "data" / "train.jsonl"
    path.write_text(path.read_text().replace("phrase train 3", "phrase train three"))
    ran = stored("cache", "why", "tone/old")
    assert "train[" in ran.out


def test_why_says_when_nothing_differs(stored: Callable[..., Any]) -> None:
    assert stored("cache", "why", "tone/old").out == "Nothing differs: both have the same key.\n"


def test_why_of_a_run_that_was_never_trained(slmcheck: Callable[..., Any], project: Path) -> None:
    ran = slmcheck("cache", "why", "tone/old")
    assert (ran.status, ran.err.splitlines()[0]) == (2, "The store has no run of 'tone/old' to compare with.")


def test_a_run_is_found_by_the_beginning_of_its_key(stored: Callable[..., Any]) -> None:
    key = keys(stored("cache", "key", "--json"))["tone/new"][0]
    ran = stored("evaluate", key[:8], "--metric", "accuracy", "--json")
    assert ran.document["scores"][0]["value"] == 0.7


def test_gc_keeps_what_baselines_name(stored: Callable[..., Any], project: Path) -> None:
    stored("baseline", "accept", "old")
    long_ago = time.time() - 90 * 86_400
    for manifest in (project / ".slmcheck").rglob("manifest.json"):
        os.utime(manifest, (long_ago, long_ago))
    assert "would be deleted" in stored("cache", "gc", "--dry-run").out
    ran = stored("cache", "gc", "--json")
    assert ran.document["protected"] > 0
    assert stored("evaluate", "old", "--metric", "accuracy", "--offline").status == 0
    assert not any("new" in record for record in keys_in_store(project))


def keys_in_store(project: Path) -> list[str]:
    """The records of the stored runs."""
    return [
        path.read_text()
        for path in (project / ".slmcheck").rglob("run.json")
        if '"name": "tone/new"' in path.read_text()
    ]


def test_a_merge_conflict_in_a_baseline_keeps_both_runs(stored: Callable[..., Any], project: Path) -> None:
    stored("baseline", "accept", "old")
    path = SUITE / "baselines" / "old.json"
    path.write_text("<<<<<<< ours\n" + path.read_text())
    assert stored("cache", "gc", "--json").document["protected"] > 0


def test_verify_finds_damage_and_says_so_by_its_status(stored: Callable[..., Any], project: Path) -> None:
    assert stored("cache", "verify").status == 0
    next((project / ".slmcheck").rglob("predictions.jsonl")).write_text("damaged")
    ran = stored("cache", "verify")
    assert ran.status == 1
    assert len(ran.out.splitlines()) == 2


def test_runs_travel_in_a_tar_file(
    stored: Callable[..., Any], project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = stored("cache", "export", "--keys-for", "suites", "-o", "cache.tar", "--json").document
    monkeypatch.setenv("SLMCHECK_STORE", str(tmp_path / "elsewhere"))
    assert stored("evaluate", "old", "--metric", "accuracy", "--offline").status == 2
    imported = stored("cache", "import", "cache.tar", "--json").document
    assert sorted(imported["entries"]) == sorted(exported["entries"])
    assert imported["already_there"] == 0
    assert stored("evaluate", "old", "--metric", "accuracy", "--offline").status == 0


def test_exporting_what_was_not_trained_is_an_error(slmcheck: Callable[..., Any], project: Path) -> None:
    ran = slmcheck("cache", "export", "--keys-for", "suites", "-o", "cache.tar")
    assert ran.status == 2
    assert "2 of 2 runs are not in the store" in ran.err


def test_importing_a_missing_file_is_an_error(slmcheck: Callable[..., Any], project: Path) -> None:
    assert slmcheck("cache", "import", "none.tar").status == 2


def test_the_key_of_suites_changes_with_a_row_and_not_with_a_slice(slmcheck: Callable[..., Any], project: Path) -> None:
    before = slmcheck("cache", "key", "--suites", "suites").out
    recipe = SUITE / "old.yaml"
    recipe.write_text(recipe.read_text().replace("max_words: 3", "max_words: 4"))
    assert slmcheck("cache", "key", "--suites", "suites").out == before
    rows = SUITE / "data" / "train.jsonl"
    rows.write_text(rows.read_text() + '{"id": "new", "phrase": "a new row", "tone": "sad"}\n')
    assert slmcheck("cache", "key", "--suites", "suites").out != before


def test_a_folder_without_recipes_has_no_key(slmcheck: Callable[..., Any], project: Path) -> None:
    Path("empty").mkdir()
    assert slmcheck("cache", "key", "--suites", "empty").err.startswith("There is no recipe in 'empty'.")


@pytest.mark.parametrize(("text", "size"), [("20G", 20 * 10**9), ("500M", 5 * 10**8), ("1.5kB", 1500), ("12", 12)])
def test_sizes(text: str, size: int) -> None:
    assert size_of(text) == size


def test_what_is_no_size_is_refused() -> None:
    with pytest.raises(InputError, match="'much' is no size"):
        size_of("much")


def test_entries_are_pushed_and_pulled_by_the_recipes_that_ask_for_them(
    stored: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "remote").mkdir()
    monkeypatch.setenv("SLMCHECK_REMOTE", str(tmp_path / "remote"))
    pushed = stored("cache", "push", "--keys-for", str(SUITE / "old.yaml"))
    assert (pushed.status, pushed.err) == (0, "")
    assert "entries pushed to" in pushed.out
    monkeypatch.setenv("SLMCHECK_STORE", str(tmp_path / "other"))
    pulled = stored("cache", "pull", "--json").document
    assert pulled["moved"]
    assert len(pulled["missing"]) == 1
    assert "Not on the remote: tone/new" in stored("cache", "pull").out
    assert stored("evaluate", "old", "--metric", "accuracy", "--offline").status == 0
