"""The base model that a recipe names: an embedded folder, a folder, or a model of a hub; and what identifies it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from slmcheck.data.hub_cache import GatedError, asked_commit, cached_commit, snapshot_folder
from slmcheck.errors import InputError, MissingExtraError, RecipeError
from slmcheck.records import Checkpoint, Json, Recipe
from slmcheck.storage import digest

EMBEDDED = "slmcheck/"
"""Prefix of the models that come with the package."""
WEIGHT_SUFFIXES = (".safetensors", ".safetensors.index.json")
PICKLED_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "chat_template.jinja",
)
CONFIG_FILES = ("config.json", "generation_config.json")
_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?$")

FileDigest = Callable[[Path], str]


@dataclass(frozen=True, kw_only=True)
class BaseModel:
    """A base model that was found."""

    name: str
    """As the recipe has it."""
    location: str
    """Folder, or hub id with `@commit`: what a trainer loads."""
    folder: Path | None
    """Where its files lie on this machine; None for a model of a hub that was not downloaded."""
    revision: str | None
    """Commit of a hub model; None for a folder."""
    identity: Json
    """What stands for it in a key: its files, or repository and commit."""
    trust_remote_code: bool = False

    @property
    def is_local(self) -> bool:
        """Whether it is a folder rather than a model of a hub."""
        return self.revision is None

    def checkpoint(self) -> Checkpoint:
        """The base model as a checkpoint, so that it is predicted like a run."""
        return Checkpoint(
            kind="model",
            path=self.folder or Path(self.location),
            key=digest("checkpoint", {"base_model": self.identity}),
            trust_remote_code=self.trust_remote_code,
        )


def base_model_of(recipe: Recipe, *, file_digest: FileDigest | None = None) -> BaseModel:
    """The base model of a recipe.

    Args:
        recipe: Names it; `slmcheck/...` is embedded, `./`, `../`, `/` a folder relative to the recipe, else a hub id.
        file_digest: Gives the SHA-256 of a file; a store remembers them.

    Raises:
        RecipeError: If it cannot be found, or has no usable weights.
    """
    problem = base_model_problem(recipe)
    if problem is not None:
        raise RecipeError(f"{recipe.name}: {problem}.")
    folder = folder_of(recipe)
    if folder is not None:
        identity = folder_identity(folder, file_digest or sha256_of)
        return BaseModel(
            name=recipe.base_model,
            location=str(folder),
            folder=folder,
            revision=None,
            identity=identity,
            trust_remote_code=recipe.trust_remote_code,
        )
    repository, _, revision = recipe.base_model.partition("@")
    commit = cached_commit("models", repository, revision or None)
    if commit is None:
        commit = _asked(recipe, repository, revision or None)
    return BaseModel(
        name=recipe.base_model,
        location=f"{repository}@{commit}",
        folder=snapshot_folder("models", repository, commit),
        revision=commit,
        identity={"repository": repository, "commit": commit},
        trust_remote_code=recipe.trust_remote_code,
    )


def folder_of(recipe: Recipe) -> Path | None:
    """The folder that `base_model` names; None for a hub id."""
    name = recipe.base_model
    if name.startswith(EMBEDDED):
        return Path(str(files("slmcheck") / "models" / name.removeprefix(EMBEDDED)))
    if name.startswith(("./", "../", "/")) or name in (".", ".."):
        return Path(os.path.normpath(recipe.directory.absolute() / name))
    return None


def base_model_problem(recipe: Recipe) -> str | None:
    """Why the base model of a recipe cannot be used, as a clause; None if nothing is seen without loading it."""
    name, folder = recipe.base_model, folder_of(recipe)
    if folder is None:
        repository, at, revision = name.partition("@")
        if not _HUB_ID.match(repository) or (at and not revision):
            return f"base_model is '{name}', which is neither a hub id (org/name@revision) nor a folder (./folder)"
        if (recipe.directory / name).is_dir():
            return f"base_model is '{name}', which would be a hub id; for the folder beside the recipe write './{name}'"
        snapshot = snapshot_folder("models", repository, cached_commit("models", repository, revision or None))
        return None if snapshot is None else _folder_problem(name, snapshot, partly=True)
    if not folder.is_dir():
        if name.startswith(EMBEDDED):
            known = sorted(item.name for item in folder.parent.iterdir() if (item / "config.json").is_file())
            return f"base_model is '{name}', which does not come with slmcheck (embedded: {', '.join(known)})"
        return f"base_model is '{name}', and there is no folder {folder}"
    return _folder_problem(name, folder, partly=False)


def _folder_problem(name: str, folder: Path, *, partly: bool) -> str | None:
    names = sorted(item.name for item in folder.iterdir())
    if "adapter_config.json" in names and "config.json" not in names:
        return (
            f"base_model '{name}' is an adapter; name its base model, or use trainer: pretrained with options.adapter"
        )
    weights = [item for item in names if item.endswith(".safetensors")]
    if not weights and not partly:
        pickled = [item for item in names if item.endswith(PICKLED_SUFFIXES)]
        if pickled:
            return (
                f"base_model '{name}' has pickled weights only ({', '.join(pickled[:3])} in {folder}), which can run "
                "code when they are loaded; save the model as safetensors where it is trusted"
            )
        return f"base_model '{name}' has no weights: there is no .safetensors file in {folder}"
    missing = [] if partly else _missing_shards(folder, names)
    if missing:
        return f"base_model '{name}' lacks a part of its weights: {missing[0]} is not in {folder}"
    if "config.json" not in names and not partly:
        return f"base_model '{name}' has no config.json in {folder}"
    if not partly and not any(item in names for item in ("tokenizer.json", "tokenizer.model")):
        return f"base_model '{name}' has no tokenizer: there is no tokenizer.json in {folder}"
    return None


def _missing_shards(folder: Path, names: list[str]) -> list[str]:
    shards: set[str] = set()
    for index in (item for item in names if item.endswith(".safetensors.index.json")):
        try:
            shards |= set(json.loads((folder / index).read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, AttributeError):
            return [f"a readable {index}"]
    return sorted(shards - set(names))


def context_tokens_of(recipe: Recipe) -> int | None:
    """The longest sequence that the base model reads, from its config.json; None if it states none or is not here."""
    folder = folder_of(recipe)
    if folder is None:
        repository, _, revision = recipe.base_model.partition("@")
        folder = snapshot_folder("models", repository, cached_commit("models", repository, revision or None))
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8")) if folder is not None else {}
    except (OSError, ValueError):
        return None
    for place in (config, config.get("text_config") or {}):
        for name in ("max_position_embeddings", "n_positions", "n_ctx", "seq_length"):
            if isinstance(place.get(name), int):
                return int(place[name])
    return None


def folder_identity(folder: Path, file_digest: FileDigest) -> Json:
    """Name, size and hash of every file that decides what the model computes, sorted by name."""
    wanted = [
        item
        for item in sorted(folder.iterdir())
        if item.is_file() and (item.name.endswith(WEIGHT_SUFFIXES) or item.name in (*TOKENIZER_FILES, *CONFIG_FILES))
    ]
    return {"files": [[item.name, item.stat().st_size, file_digest(item)] for item in wanted]}


def content_identity(text: str, directory: Path, file_digest: FileDigest) -> Json:
    """What stands for a text in a key: itself, unless it names a file or folder of the recipe's folder.

    A folder starts with `.` or `/`, as in `base_model`; a file may also be named plainly. A hub id `org/name` stands
    for its commit where that is known on this machine.
    """
    path = directory / text
    if text.startswith((".", "/")) and path.is_dir():
        wanted = [item for item in sorted(path.iterdir()) if item.name.endswith((".safetensors", ".json", ".onnx"))]
        return {"files": [[item.name, item.stat().st_size, file_digest(item)] for item in wanted]}
    if path.is_file():
        return {"file": file_digest(path)}
    repository, _, revision = text.partition("@")
    commit = cached_commit("models", repository, revision or None) if _HUB_ID.match(repository) else None
    return text if commit is None else {"repository": repository, "commit": commit}


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, remembered within the process by size, time and inode."""
    state = path.stat()
    return _sha256(path, state.st_size, state.st_mtime_ns, state.st_ino)


@lru_cache(maxsize=256)
def _sha256(path: Path, size: int, changed: int, inode: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _asked(recipe: Recipe, repository: str, revision: str | None) -> str:
    try:
        return asked_commit("models", repository, revision)
    except MissingExtraError:
        raise
    except GatedError as error:
        raise RecipeError(f"{recipe.name}: base model {error}") from error
    except InputError as error:
        raise RecipeError(_not_cached(recipe, str(error))) from error


def _not_cached(recipe: Recipe, reason: str) -> str:
    return (
        f"{recipe.name}: base model '{recipe.base_model}' is not on this machine and the hub gave no answer.\n"
        f"{reason}.\n"
        "Pin it to a commit (org/name@<40 hex digits>), or use a folder (./folder).\n"
        f"Download it where there is a network: hf download {recipe.base_model.partition('@')[0]}"
    )
