"""Hub data sets without a network: from a fake cache, and what is said when there is no answer."""

import pytest

from slmcheck.data import inspect, load_splits
from slmcheck.data.hub_cache import cached_commit, snapshot_folder
from slmcheck.errors import DataError

COMMIT = "a" * 40


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def cached(hub, monkeypatch):
    """`org/set` in the cache with 20 rows, given by a stand-in for the datasets library."""
    (hub / "datasets--org--set" / "refs").mkdir(parents=True)
    (hub / "datasets--org--set" / "refs" / "main").write_text(COMMIT)
    asked = []

    def load_dataset(repository, config, *, split, revision):
        asked.append((repository, config, split, revision))
        return [{"phrase": f"phrase {n}", "tone": ("glad", "sad")[n % 2]} for n in range(20)]

    import datasets

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


def test_a_revision_is_a_commit_by_its_text_or_by_the_cache(hub):
    assert cached_commit("models", "org/name", COMMIT) == COMMIT
    assert cached_commit("models", "org/name", None) is None
    (hub / "models--org--name" / "refs").mkdir(parents=True)
    (hub / "models--org--name" / "refs" / "v1").write_text(COMMIT + "\n")
    assert cached_commit("models", "org/name", "v1") == COMMIT


def test_a_snapshot_lies_in_the_cache_or_nowhere(hub):
    assert snapshot_folder("models", "org/name", COMMIT) is None
    (hub / "models--org--name" / "snapshots" / COMMIT).mkdir(parents=True)
    assert snapshot_folder("models", "org/name", COMMIT) == hub / "models--org--name" / "snapshots" / COMMIT


def test_the_cache_lies_where_the_hub_library_looks(monkeypatch, tmp_path):
    from huggingface_hub import constants

    from slmcheck.data.hub_cache import _repository_folder

    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert _repository_folder("models", "a/b") == tmp_path / "huggingface" / "hub" / "models--a--b"
    assert constants.HF_HUB_CACHE.endswith("hub")


def test_hub_rows_count_as_repository_commit_and_split_expression(make_recipe, cached):
    splits = load_splits(make_recipe(train=("org/set#plain:train[:20]",)))
    assert cached == [("org/set", "plain", "train[:20]", COMMIT)]
    assert splits.identities["train"] == [
        {"repository": "org/set", "commit": COMMIT, "config": "plain", "split": "train[:20]"}
    ]
    assert splits.train[0].source.startswith("org/set#plain:train[:20]:")


def test_a_data_set_that_is_nowhere_says_how_to_pin_it(make_recipe, hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    problems = inspect(make_recipe(train=("org/set:train",))).problems
    assert "org/set:train is not on this machine and the hub gave no answer" in problems[0].text
    assert "pin it to a commit" in problems[0].text


def test_a_data_set_that_cannot_be_loaded_is_a_data_error(make_recipe, cached, monkeypatch):
    import datasets

    def fail(*args, **kwargs):
        raise ValueError("Unknown split 'trian'")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(DataError, match="Unknown split 'trian'"):
        load_splits(make_recipe(train=("org/set:trian",)))
