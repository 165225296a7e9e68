"""What git knows of a project: its history of a file, both sides of a merge, who works here.

Reads only, through the `git` command; where there is no git or no repository, the answers are empty.
"""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slmcheck.errors import StoreError

TIMEOUT_SECONDS = 60
_MERGE_HEADS = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REBASE_HEAD", "REVERT_HEAD")
_FIELDS = ("%H", "%an", "%aI", "%D", "%s")


@dataclass(frozen=True, kw_only=True)
class Commit:
    """One commit that changed a file."""

    id: str
    author: str
    date: str
    """ISO 8601."""
    tags: tuple[str, ...]
    subject: str

    @property
    def label(self) -> str:
        """Its tag, else the first digits of its id: what people call the release."""
        return self.tags[0] if self.tags else self.id[:8]


@dataclass(frozen=True, kw_only=True)
class Sides:
    """The two commits whose merge conflicts."""

    ours: str
    theirs: str


def repository_of(path: Path) -> Path | None:
    """The top folder of the repository that a path lies in; None without git or outside of one."""
    folder = path if path.is_dir() else path.parent
    if shutil.which("git") is None or not folder.is_dir():
        return None
    found = _git(folder, "rev-parse", "--show-toplevel")
    return Path(found.strip()) if found is not None and found.strip() else None


def history(path: Path) -> tuple[Commit, ...]:
    """The commits that changed a file, oldest first; none outside of a repository.

    Raises:
        StoreError: If git does not answer in time.
    """
    root = repository_of(path)
    if root is None:
        return ()
    form = "%x1f".join(_FIELDS) + "%x1e"
    # git leaves out merges that took a side as it was, and keeps those that changed the file, as resolving does.
    shown = _git(root, "log", "--reverse", "--topo-order", f"--format={form}", "--", str(path))
    found = []
    for entry in (shown or "").split("\x1e"):
        parts = entry.strip("\n").split("\x1f")
        if len(parts) == len(_FIELDS):
            names = [name.strip() for name in parts[3].split(",")]
            tags = tuple(name.removeprefix("tag: ") for name in names if name.startswith("tag: "))
            found.append(Commit(id=parts[0], author=parts[1], date=parts[2], tags=tags, subject=parts[4]))
    return tuple(found)


def contents(path: Path, commits: Sequence[str]) -> tuple[bytes | None, ...]:
    """A file as each commit has it; None where a commit does not.

    Raises:
        StoreError: If git does not answer in time.
    """
    root = repository_of(path)
    if root is None or not commits:
        return (None,) * len(commits)
    inside = path.resolve().relative_to(root.resolve()).as_posix()
    asked = "".join(f"{commit}:{inside}\n" for commit in commits)
    answer = _git_bytes(root, "cat-file", "--batch", given=asked.encode())
    return _batch(answer or b"", len(commits))


def is_shallow(path: Path) -> bool:
    """Whether the repository has only the last part of its history, as CI checks it out."""
    root = repository_of(path)
    return root is not None and (_git(root, "rev-parse", "--is-shallow-repository") or "").strip() == "true"


def merge_sides(path: Path) -> Sides | None:
    """The commits that a merge under way brings together.

    Those of the last commit if it is a merge and none is under way; None if it is none.
    """
    root = repository_of(path)
    if root is None:
        return None
    for name in _MERGE_HEADS:
        theirs = _git(root, "rev-parse", "--verify", "--quiet", name)
        if theirs:
            return Sides(ours="HEAD", theirs=theirs.strip())
    parents = (_git(root, "rev-list", "--parents", "-n", "1", "HEAD") or "").split()
    return Sides(ours=parents[1], theirs=parents[2]) if len(parents) == 3 else None


def head(path: Path) -> dict[str, str]:
    """Commit and branch of the project; empty outside of a repository or before the first commit."""
    root = repository_of(path)
    if root is None:
        return {}
    commit = (_git(root, "rev-parse", "--verify", "--quiet", "HEAD") or "").strip()
    branch = (_git(root, "symbolic-ref", "--short", "--quiet", "HEAD") or "").strip()
    return {name: value for name, value in (("commit", commit), ("branch", branch)) if value}


def who(path: Path) -> str:
    """Who works here: git's `user.name`, on CI its actor, else the name of the account."""
    folder = path if path.is_dir() else path.parent
    name = (_git(folder, "config", "user.name") or "").strip() if shutil.which("git") and folder.is_dir() else ""
    if name:
        return name
    actor = os.environ.get("GITHUB_ACTOR") or os.environ.get("GITLAB_USER_LOGIN") or ""
    if actor:
        return actor
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"  # an account without a name, as in some containers


def _batch(answer: bytes, count: int) -> tuple[bytes | None, ...]:
    """The answers of `git cat-file --batch`: a line with the size, the content and a newline; or a line `missing`."""
    found: list[bytes | None] = []
    place = 0
    for _ in range(count):
        end = answer.index(b"\n", place)
        words = answer[place:end].split()
        place = end + 1
        if len(words) < 3 or words[-1] == b"missing":
            found.append(None)
            continue
        size = int(words[-1])
        found.append(answer[place : place + size])
        place += size + 1
    return tuple(found)


def _git(folder: Path, *arguments: str) -> str | None:
    answer = _git_bytes(folder, *arguments)
    return None if answer is None else answer.decode("utf-8", errors="replace")


def _git_bytes(folder: Path, *arguments: str, given: bytes = b"") -> bytes | None:
    """What a command of git prints; None where it says no."""
    command = ["git", "-c", "core.quotePath=false", "-c", "log.showSignature=false", *arguments]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            input=given,
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired as error:
        raise StoreError(
            f"git {arguments[0]} did not answer within {TIMEOUT_SECONDS} s in {folder}.\n"
            "Check the repository: git status"
        ) from error
    return done.stdout if done.returncode == 0 else None
