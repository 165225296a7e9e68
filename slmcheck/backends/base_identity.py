"""Which base model an adapter belongs to, by the content of its weights.

`adapter_config.json` names the base model's path only, and an adapter on other weights answers
wrongly without an error.
"""

from __future__ import annotations

import json
from pathlib import Path

from slmcheck.backends.checkpoint_files import weight_files
from slmcheck.errors import CheckpointError
from slmcheck.storage import digest
from slmcheck.storage.files import sha256_of_file

FILE = "base_model.json"
"""Beside `adapter_config.json`."""


def weights_digest(folder: Path) -> str:
    """SHA-256 of the weights of a model folder, whatever its path.

    Raises:
        CheckpointError: If weights are missing.
    """
    return digest("weights", {file.name: sha256_of_file(file) for file in weight_files(folder, "model")})


def record_base(adapter: Path, base: Path, *, name: str) -> None:
    """Write down which base model an adapter was trained on.

    Args:
        adapter: The adapter's folder.
        base: The folder of the base model's weights (of a hub model, its snapshot in the cache).
        name: What the recipe calls it.
    """
    content = {"base_model": name, "weights": weights_digest(base)}
    (adapter / FILE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def check_base(adapter: Path, base: Path, *, name: str) -> None:
    """Raise if an adapter records another base model than `base`; one that records none is accepted.

    Raises:
        CheckpointError: If the weights differ, or the record cannot be read.
    """
    file = adapter / FILE
    if not file.is_file():
        return
    try:
        recorded = json.loads(file.read_text(encoding="utf-8"))
        expected, trained_on = str(recorded["weights"]), str(recorded["base_model"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{file} cannot be read: {error!r}.\nCopy the adapter again, or train again.") from error
    found = weights_digest(base)
    if found != expected:
        raise CheckpointError(
            f"The adapter {adapter} was trained on other weights than those of base model '{name}'.\n"
            f"It records '{trained_on}', weights {expected[:12]}; found {found[:12]} in {base}.\n"
            "Give the base model that it was trained on, or train again."
        )
