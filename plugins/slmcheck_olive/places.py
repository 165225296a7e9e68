"""Where the files of an Olive recipe are: found from the current folder or its own, named from that of the recipe."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from slmcheck.records import Json
from slmcheck_olive.draft import Draft

_FILES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")


def place(draft: Draft, folders: Sequence[Path], directory: Path) -> None:
    """Write paths as the recipe names them.

    Args:
        draft: Its model and sources are changed.
        folders: Where relative paths are looked for, in this order.
        directory: The folder of the recipe.
    """
    base = draft.fields.get("base_model")
    if isinstance(base, str) and not base.startswith("slmcheck/"):
        draft.put("base_model", _model(draft, base, folders, directory))
    for name in ("data.train", "data.validation", "data.test"):
        value = draft.fields.get(name)
        if isinstance(value, str):
            draft.put(name, _source(value, folders, directory))
        elif isinstance(value, list):
            draft.put(name, [_source(str(item), folders, directory) for item in value])


def _model(draft: Draft, base: str, folders: Sequence[Path], directory: Path) -> str:
    found = _found(base, folders, is_folder=True)
    if found is None:
        return base
    folder = found
    if not (folder / "config.json").is_file() and (folder / "model" / "config.json").is_file():
        folder = folder / "model"
        draft.note("model_name_or_path", f"an output folder of Olive: the model in it is {folder.name}")
    if "data.max_length" not in draft.fields and (context := _context(folder)) is not None and context < 1024:
        draft.put("data.max_length", context)
        draft.note("max_seq_len", f"Olive's default is 1024; the base model reads {context} tokens")
    relative = os.path.relpath(folder.absolute(), directory.absolute())
    return relative if relative.startswith("..") else f"./{relative}"


def _context(folder: Path) -> int | None:
    file = folder / "config.json"
    if not file.is_file():
        return None
    found: Json = json.loads(file.read_text(encoding="utf-8")).get("max_position_embeddings")
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _source(source: str, folders: Sequence[Path], directory: Path) -> str:
    body, bracket, part = source.partition("[")
    if not body.lower().endswith(_FILES):
        return source
    found = _found(body, folders, is_folder=False)
    path = found if found is not None else folders[0] / body
    return os.path.relpath(path.absolute(), directory.absolute()) + bracket + part


def _found(text: str, folders: Sequence[Path], *, is_folder: bool) -> Path | None:
    for folder in folders:
        path = folder / Path(text).expanduser()
        if path.is_dir() if is_folder else path.is_file():
            return path
    return None
