from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from slmcheck.errors import StoreError
from slmcheck.records import Environment, RunRecord
from slmcheck.storage import Store

PublishRun = Callable[..., RunRecord]


def test_the_store_lies_in_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLMCHECK_STORE", raising=False)
    assert Store.locate(tmp_path).root == tmp_path / ".slmcheck" / "store" / "v1"


def test_the_store_lies_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLMCHECK_STORE", str(tmp_path / "shared"))
    assert Store.locate(tmp_path / "project").root == tmp_path / "shared"


def test_opening_a_store_makes_nothing(store: Store) -> None:
    store.find_export("ab" * 32)
    assert list(store.runs()) == []
    assert not store.root.exists()


def test_git_does_not_see_the_store(store: Store, publish_run: PublishRun) -> None:
    publish_run()
    home = next(parent for parent in store.root.parents if parent.name == ".slmcheck")
    assert (home / ".gitignore").read_text().endswith("\n*\n")
    subprocess.run(["git", "init", "-q", str(home.parent)], check=True)
    status = subprocess.run(
        ["git", "-C", str(home.parent), "status", "--porcelain"], check=True, capture_output=True, text=True
    )
    assert status.stdout == ""


def test_a_store_elsewhere_hides_itself(tmp_path: Path) -> None:
    store = Store(tmp_path / "shared")
    store.write_findings("key", [])
    assert (tmp_path / "shared" / ".gitignore").exists()


def test_unfinished_work_is_found_by_the_next_owner(store: Store, cpu: Environment) -> None:
    def interrupted() -> None:
        with store.work("key", cpu) as work:
            (work / "checkpoint-10").mkdir()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with store.work("key", cpu) as work:
        assert (work / "checkpoint-10").is_dir()


def test_work_of_another_environment_is_apart(store: Store, cpu: Environment, cuda: Environment) -> None:
    with store.work("key", cpu) as first, store.work("key", cuda) as second:
        assert first != second


def test_work_is_gone_when_its_run_is_published(store: Store, publish_run: PublishRun) -> None:
    publish_run()
    assert list((store.root / "work").iterdir()) == []


def test_a_scratch_folder_lives_as_long_as_its_block(store: Store) -> None:
    with store.scratch("export") as folder:
        (folder / "model.onnx").write_bytes(b"graph")
        assert folder.is_relative_to(store.root)
    assert not folder.exists()


def test_an_export_is_published_from_a_scratch_folder(store: Store) -> None:
    key = "ee" + "3" * 62
    assert store.find_export(key) is None
    with store.scratch(key) as folder:
        (folder / "model.onnx").write_bytes(b"graph")
        published = store.publish_export(key, folder, {"precision": "int8"})
    assert store.find_export(key) == published
    assert (published / "model.onnx").read_bytes() == b"graph"


def test_bases_are_kept_like_exports(store: Store, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "f").write_text("x")
    published = store.publish_base("base-key", tmp_path / "base")
    assert store.find_base("base-key") == published
    assert store.find_export("base-key") is None


def test_findings_read_back(store: Store) -> None:
    value = [{"cause": "too-few-steps", "evidence": ["a", "ü"], "severity": "warning"}]
    assert store.read_findings("key") is None
    store.write_findings("key", value, {"run": "k"})
    assert store.read_findings("key") == value


def test_findings_that_are_damaged_are_made_again(store: Store) -> None:
    store.write_findings("key", [1, 2, 3])
    path = next(store.root.rglob("document.json"))
    path.write_bytes(b"\0" * path.stat().st_size)
    assert store.read_findings("key") is None
    assert len(store.notes) == 1


@pytest.mark.parametrize("key", ["../escape", "a/b"])
def test_keys_of_predictions_never_lead_out_of_the_store(store: Store, key: str) -> None:
    with pytest.raises(StoreError, match="is no key of the store"):
        store.predictions(key)


def test_importing_the_store_loads_no_model_library() -> None:
    code = (
        "import sys, slmcheck.storage; "
        "print([name for name in ('torch', 'transformers', 'scipy', 'sklearn', 'sacrebleu') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout == "[]\n"


def test_why_names_the_field_in_which_two_runs_differ(store: Store, publish_run: PublishRun) -> None:
    old, new = publish_run(seed=0).key, publish_run(seed=1).key
    assert [str(difference) for difference in store.why(old, new)] == ["recipe.seed: 0 -> 1"]
