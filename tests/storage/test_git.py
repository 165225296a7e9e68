from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from slmcheck.storage import git


def run(folder: Path, *arguments: str) -> None:
    command = ["git", "-c", "user.name=Ann", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two commits of a file with a name and a subject that need care; the second one is tagged."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GITHUB_ACTOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    run(tmp_path, "init", "-q", "-b", "main")
    for content, subject in (("one\n", "first | part"), ("two\n", 'second "part"')):
        (tmp_path / "größe a.json").write_text(content)
        run(tmp_path, "add", "-A")
        run(tmp_path, "commit", "-q", "-m", subject)
    run(tmp_path, "tag", "v2")
    return tmp_path


def test_the_history_of_a_file_is_oldest_first(repository: Path) -> None:
    first, second = git.history(repository / "größe a.json")
    assert (first.subject, first.tags, first.author) == ("first | part", (), "Ann")
    assert (second.subject, second.label) == ('second "part"', "v2")
    assert first.label == first.id[:8]


def test_contents_are_those_of_each_commit(repository: Path) -> None:
    path = repository / "größe a.json"
    ids = [commit.id for commit in git.history(path)]
    assert git.contents(path, ids) == (b"one\n", b"two\n")
    assert git.contents(repository / "other.json", ids) == (None, None)
    assert git.contents(path, []) == ()


def test_outside_of_a_repository_there_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    path = tmp_path / "a.json"
    path.touch()
    assert git.repository_of(path) is None
    assert git.history(path) == ()
    assert git.contents(path, ["HEAD"]) == (None,)
    assert git.merge_sides(path) is None
    assert git.head(path) == {}
    assert not git.is_shallow(path)


def test_a_machine_without_git_has_no_history(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert git.history(repository / "größe a.json") == ()
    assert git.who(repository) != ""


def test_who_works_here_is_gits_user_else_the_actor_of_ci(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(repository))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GITHUB_ACTOR", "octocat")
    assert git.who(repository) == "octocat"
    run(repository, "config", "user.name", "Ann Ä.")
    assert git.who(repository) == "Ann Ä."


def test_head_and_shallow(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    found = git.head(repository / "größe a.json")
    assert (found["branch"], len(found["commit"])) == ("main", 40)
    clone = tmp_path_factory.mktemp("clone") / "c"
    run(repository, "clone", "-q", "--depth", "1", f"file://{repository}", str(clone))
    assert git.is_shallow(clone / "größe a.json")
    assert len(git.history(clone / "größe a.json")) == 1


def test_the_sides_of_a_merge_are_found_before_and_after_it_is_committed(repository: Path) -> None:
    path = repository / "größe a.json"
    assert git.merge_sides(path) is None
    run(repository, "checkout", "-q", "-b", "other", "HEAD~1")
    path.write_text("three\n")
    run(repository, "commit", "-q", "-am", "third")
    theirs = git.head(path)["commit"]
    run(repository, "checkout", "-q", "main")
    with pytest.raises(subprocess.CalledProcessError):
        run(repository, "merge", "other")
    sides = git.merge_sides(path)
    assert sides is not None
    assert git.contents(path, [sides.ours, sides.theirs]) == (b"two\n", b"three\n")
    run(repository, "commit", "-q", "-am", "the marks were committed")
    after = git.merge_sides(path)
    assert after is not None
    assert after.theirs == theirs
