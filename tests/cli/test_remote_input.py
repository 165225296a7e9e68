"""Remotes, bundles and stores that are not as they should be: one message each, status not 0, nothing lost."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from slmcheck.cli import main
from slmcheck.storage.travel import HOME
from tests.cli.conftest import Ran, write_project
from tests.storage.test_remote import Failing, Hanging

REMOTE = Path("../remote")
MANIFEST = f"{HOME}/runs/"


@dataclass(frozen=True)
class Case:
    """What is wrong, the command, and what its message must say."""

    name: str
    line: str
    says: str
    prepare: Callable[[pytest.MonkeyPatch], None] = lambda patch: None
    status: int = 3


def pushed(name: str) -> Path:
    """A file of the remote."""
    return next(path for path in sorted((REMOTE / HOME).rglob("*")) if path.is_file() and name in path.as_posix())


def change(name: str, spoil: Callable[[Path], None]) -> Callable[[pytest.MonkeyPatch], None]:
    """Spoil a file of the remote, and pull into an empty store."""

    def prepare(patch: pytest.MonkeyPatch) -> None:
        spoil(pushed(name))
        patch.setenv("SLMCHECK_STORE", "empty")

    return prepare


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(bytes(content))


def failing(error: Exception) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(Failing, "error", error)


def setting(**variables: str) -> Callable[[pytest.MonkeyPatch], None]:
    def prepare(patch: pytest.MonkeyPatch) -> None:
        for name, value in variables.items():
            patch.setenv(name, value)

    return prepare


def full(patch: pytest.MonkeyPatch) -> None:
    def write(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    patch.setattr("slmcheck.storage.remote._write_all", write)


def slow(patch: pytest.MonkeyPatch) -> None:
    patch.setenv("SLMCHECK_REMOTE_TIMEOUT", "0.05")
    patch.setattr(Hanging, "answers", __import__("threading").Event())


def in_the_past(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(time, "time", lambda: 1_000_000_000.0)


def no_recipe(patch: pytest.MonkeyPatch) -> None:
    Path("nothing").mkdir()


def a_file(name: str, content: bytes) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: Path(name).write_bytes(content) and None


def bad_level(patch: pytest.MonkeyPatch) -> None:
    recipe = Path("suites/tone/old.yaml")
    recipe.write_text(recipe.read_text() + "examples: some\n")


def read_only_name(patch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(REMOTE)
    REMOTE.write_text("a file where a folder should be")


CASES = [
    Case("no remote", "cache push", "No remote is named", setting(SLMCHECK_REMOTE=""), 2),
    Case("a share that is not mounted", "cache push --remote missing", "There is no remote 'missing'"),
    Case("pull from there", "cache pull --remote missing", "There is no remote 'missing'"),
    Case("a file as remote", "cache push", "There is no remote", read_only_name),
    Case("unknown protocol", "cache push --remote nosuch://x", "is no address of a remote", status=2),
    Case("limit in words", "cache push", "SLMCHECK_REMOTE_TIMEOUT", setting(SLMCHECK_REMOTE_TIMEOUT="soon"), 2),
    Case("negative limit", "cache pull", "SLMCHECK_REMOTE_TIMEOUT", setting(SLMCHECK_REMOTE_TIMEOUT="-1"), 2),
    Case("full", "cache push --replace", "is full: No space left on device", full),
    Case("slow", "cache pull --remote hanging://x", "did not answer within 0.05 seconds", slow),
    Case("down", "cache pull --remote failing://x", "cannot be reached", failing(ConnectionError("refused"))),
    Case("quota", "cache push --remote failing://x", "is full", failing(RuntimeError("QuotaExceeded"))),
    Case("forbidden", "cache push --remote failing://x", "refused: 403", failing(RuntimeError("403 Forbidden"))),
    Case("skewed", "cache pull --remote failing://x", "time of this machine", failing(OSError("RequestTimeTooSkewed"))),
    Case("cut file", "cache pull", "bytes instead of", change("/files/", cut)),
    Case("flipped file", "cache pull", "has other content", change("/files/", flip)),
    Case("missing file", "cache pull", "is missing", change("/files/", Path.unlink)),
    Case("cut manifest", "cache pull", "its manifest is no manifest", change(MANIFEST, cut)),
    Case("flipped manifest", "cache pull", "manifest", change(MANIFEST, flip)),
    Case("missing manifest", "cache pull", "its manifest is missing", change(MANIFEST, Path.unlink)),
    Case("all and some", "cache push --all --keys-for suites", "not allowed with", status=2),
    Case("no recipe", "cache pull --keys-for nothing", "There is no recipe", no_recipe, 2),
    Case("clock of 2001", "cache gc", "the clock of this machine says 2001-09-09", in_the_past),
    Case("tar that is none", "cache import x.tar", "cannot be read as a tar file", a_file("x.tar", b"no"), 2),
    Case("no such tar", "cache import x.tar", "There is no file 'x.tar'", status=2),
    Case("no such bundle", "verify x.tar", "There is no bundle", status=2),
    Case("empty bundle", "verify x.tar", "cannot be read as a bundle", a_file("x.tar", b""), 2),
    Case("bundle of zeros", "verify x.tar", "is no bundle of slmcheck", a_file("x.tar", b"\0" * 20480), 2),
    Case("folder as bundle", "verify suites", "There is no bundle", status=2),
    Case("bundle of no report", "report nowhere --format bundle", "There is no report", status=2),
    Case("level of examples", "evaluate old --metric accuracy", "examples", bad_level, 2),
]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose run tone/old is in the store and on the remote."""
    root = tmp_path_factory.mktemp("filled") / "project"
    write_project(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("SLMCHECK_STORE", raising=False)
        REMOTE.mkdir()
        assert main(["evaluate", "old", "--metric", "accuracy"]) == 0
        assert main(["cache", "push", "--all", "--remote", str(REMOTE)]) == 0
    return root.parent


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_message_and_a_status(
    case: Case, filled: Path, tmp_path: Path, slmcheck: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(filled, tmp_path / "copy")
    project = tmp_path / "copy" / "project"
    monkeypatch.chdir(project)
    monkeypatch.delenv("SLMCHECK_STORE", raising=False)
    monkeypatch.setenv("SLMCHECK_REMOTE", str(REMOTE))
    whole = slmcheck("cache", "verify").out
    case.prepare(monkeypatch)
    ran = slmcheck(*case.line.split())
    assert case.says in ran.err
    assert ran.status == case.status
    assert len(ran.err.strip().splitlines()) <= 4
    assert "Traceback" not in ran.err
    Hanging.answers.set()
    monkeypatch.undo()
    monkeypatch.chdir(project)
    monkeypatch.delenv("SLMCHECK_STORE", raising=False)
    assert slmcheck("cache", "verify").out == whole


@pytest.mark.slow
def test_a_release_refuses_what_a_pull_request_made(
    project: Path, slmcheck: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = project / "suites" / "tone"
    (suite / "test_tone.py").write_text(
        "import pytest\n@pytest.mark.slm_primary\ndef test_it(run):\n    assert run.accuracy >= 0.1\n"
    )
    (suite / "new.yaml").unlink()
    for name, value in {
        "GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request", "GITHUB_REF": "refs/pull/7/merge",
        "GITHUB_WORKFLOW": "gate", "GITHUB_SHA": "a" * 40, "GITHUB_REPOSITORY": "org/models",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    assert slmcheck("run", "suites", "-q").status == 0
    # The pull request itself releases nothing, so it may judge itself as a release would.
    assert slmcheck("run", "suites", "-q", "--slm-gate=release").status == 0
    monkeypatch.setenv("GITHUB_EVENT_NAME", "push")
    monkeypatch.setenv("GITHUB_REF", "refs/heads/main")
    refused = slmcheck("run", "suites", "-q", "--slm-gate=release")
    assert refused.status == 1
    assert "A release takes nothing that a pull request made" in refused.out
    assert "refs/pull/7/merge, workflow gate, commit aaaaaaaaaaaa" in refused.out
    assert slmcheck("cache", "gc", "--pull-requests").status == 0
    assert slmcheck("run", "suites", "-q", "--slm-gate=release").status == 0
