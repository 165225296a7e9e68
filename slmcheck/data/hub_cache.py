"""What the hub's cache on this machine holds, and which commit a revision stands for."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

from slmcheck.errors import InputError, MissingExtraError

HubKind = Literal["models", "datasets"]
_COMMIT = re.compile(r"^[0-9a-f]{40}$")


def cached_commit(kind: HubKind, repository: str, revision: str | None) -> str | None:
    """The commit of a revision from its own text or from the cache; None if only the hub knows. No network."""
    if revision is not None and _COMMIT.match(revision):
        return revision
    reference = _repository_folder(kind, repository) / "refs" / (revision or "main")
    return reference.read_text(encoding="utf-8").strip() if reference.is_file() else None


def asked_commit(kind: HubKind, repository: str, revision: str | None) -> str:
    """The commit of a revision, asked of the hub.

    Raises:
        InputError: If the hub gives no answer; says why in one line.
        MissingExtraError: If huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled
    except ImportError as error:
        raise MissingExtraError(
            f"Finding '{repository}' needs huggingface_hub, which is not installed.\n"
            "Install it: pip install 'slmcheck[train]'"
        ) from error
    ask = HfApi().model_info if kind == "models" else HfApi().dataset_info
    try:
        commit = ask(repository, revision=revision).sha
    except GatedRepoError as error:
        raise GatedError(gated_text(kind, repository)) from error
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError) as error:
        raise InputError(str(error).strip().splitlines()[0].rstrip(".")) from error
    if not isinstance(commit, str):
        raise InputError("the hub names no commit")
    return commit


class GatedError(InputError):
    """A repository that is shown only to those who accepted its licence."""


def gated_text(kind: HubKind, repository: str) -> str:
    """What is said of a repository whose licence was not accepted: where to do it."""
    page = f"https://huggingface.co/{'' if kind == 'models' else 'datasets/'}{repository}"
    return (
        f"'{repository}' is gated, and this machine has no access to it.\n"
        f"Its licence must be accepted once, by the account of the token: {page}\n"
        "Then sign in (hf auth login, or HF_TOKEN in CI) and try again."
    )


def snapshot_folder(kind: HubKind, repository: str, commit: str | None) -> Path | None:
    """Where the files of a commit lie in the cache."""
    folder = _repository_folder(kind, repository) / "snapshots" / (commit or "none")
    return folder if folder.is_dir() else None


def _repository_folder(kind: HubKind, repository: str) -> Path:
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    home = os.environ.get("HF_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "huggingface"
    )
    return Path(named or os.path.join(home, "hub")).expanduser() / f"{kind}--{repository.replace('/', '--')}"
