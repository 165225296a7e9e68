"""Whether a folder holds whole weights in safetensors, seen from file sizes and headers alone."""

from __future__ import annotations

import json
from pathlib import Path

from slmcheck.errors import CheckpointError

PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def weight_files(folder: Path, stem: str) -> list[Path]:
    """The weight files of a folder.

    Args:
        folder: A model or adapter folder.
        stem: `model` or `adapter_model`.

    Raises:
        CheckpointError: If there are none, or the list of shards cannot be read.
    """
    if not folder.is_dir():
        raise CheckpointError(f"The folder {folder} does not exist.\nA checkpoint is a folder with weights in it.")
    index = folder / f"{stem}.safetensors.index.json"
    files = [folder / name for name in _shards(index)] if index.is_file() else [folder / f"{stem}.safetensors"]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise CheckpointError(_missing_message(folder, missing))
    return files


def check_weights(folder: Path, stem: str) -> None:
    """Raise unless a folder holds complete weight files; arguments as of `weight_files`.

    Raises:
        CheckpointError: If weights are missing, pickled only, or not as long as their header says.
    """
    for file in weight_files(folder, stem):
        check_file(file)


def check_file(file: Path) -> None:
    """Raise unless a safetensors file is as long as its header says.

    Raises:
        CheckpointError: If it is empty, no safetensors file, or truncated.
    """
    size = file.stat().st_size
    expected = _expected_bytes(file, size)
    if expected is None:
        raise CheckpointError(
            f"{file.name} is no safetensors file ({size} bytes).\nIn {file.parent}.\nCopy it again, or train again."
        )
    if size != expected:
        raise CheckpointError(
            f"{file.name} is damaged: {size} bytes, its header says {expected}.\nIn {file.parent}.\n"
            "Copy it again, or train again."
        )


def _expected_bytes(file: Path, size: int) -> int | None:
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > size - 8:
            return None if length > 1 << 30 or size < 8 else 8 + length
        try:
            header = json.loads(stream.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
    return 8 + length + max(ends, default=0)


def _shards(index: Path) -> list[str]:
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{index.name} cannot be read: {error}.\nIn {index.parent}.\nCopy it again.") from error


def _missing_message(folder: Path, missing: list[str]) -> str:
    pickled = sorted(path.name for pattern in PICKLED for path in folder.glob(pattern))
    if pickled:
        return (
            f"{folder} holds pickled weights only: {', '.join(pickled[:3])}.\n"
            "Pickles can run code when they are read, so slmcheck reads safetensors only.\n"
            f"Expected {missing[0]}.\n"
            "Convert them where you trust the file: model.save_pretrained(folder) of transformers writes safetensors."
        )
    present = sorted(path.name for path in folder.iterdir())
    return (
        f"Weights are missing: {', '.join(missing[:3])}.\n"
        f"In {folder}, which holds: {', '.join(present[:8]) or 'nothing'}.\n"
        "Give a folder that transformers or peft saved, or a hub id."
    )
