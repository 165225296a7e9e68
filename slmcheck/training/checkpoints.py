"""Folders of weights as checkpoints, keyed by their content."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from slmcheck.backends.base_identity import record_base
from slmcheck.backends.checkpoint_files import check_weights
from slmcheck.recipes.base_models import TOKENIZER_FILES, folder_identity, sha256_of
from slmcheck.records import Checkpoint, Json
from slmcheck.storage import digest
from slmcheck.training.protocol import TrainingJob

ADAPTER_CONFIG = "adapter_config.json"
QUANTIZATION = "quantization.json"
"""How the base model of an adapter was quantised; written by `slmcheck.backends.quantized`."""
UNDECISIVE = frozenset({"peft_version", "base_model_name_or_path", "revision", "tokenizer_name_or_path"})
"""Entries of adapter_config.json that change no answer: who wrote it and where the base model lay."""


def model_checkpoint(folder: Path, *, trust_remote_code: bool = False) -> Checkpoint:
    """A model folder as a checkpoint; the key is that of the folder as a base model.

    Raises:
        CheckpointError: If weights are missing, damaged or pickled.
    """
    check_weights(folder, "model")
    key = digest("checkpoint", {"base_model": folder_identity(folder, sha256_of)})
    return Checkpoint(kind="model", path=folder, key=key, trust_remote_code=trust_remote_code)


def adapter_checkpoint(folder: Path, *, base_model: str, trust_remote_code: bool = False) -> Checkpoint:
    """An adapter folder as a checkpoint on its base model.

    Args:
        folder: The adapter.
        base_model: Folder of the base model, or hub id with `@commit`.
        trust_remote_code: Whether code of the base model may run.

    Raises:
        CheckpointError: If weights are missing, damaged or pickled.
    """
    check_weights(folder, "adapter_model")
    config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    content: dict[str, Json] = {
        "adapter": folder_identity(folder, sha256_of),
        "configuration": {name: value for name, value in config.items() if name not in UNDECISIVE},
        "base_model": _identity(base_model),
    }
    quantized = folder / QUANTIZATION
    if quantized.is_file():
        content["quantization"] = json.loads(quantized.read_text(encoding="utf-8"))
    return Checkpoint(
        kind="adapter",
        path=folder,
        key=digest("checkpoint", content),
        base_model=base_model,
        trust_remote_code=trust_remote_code,
    )


def finish_adapter(folder: Path, job: TrainingJob) -> Checkpoint:
    """A freshly saved adapter as the checkpoint of a job.

    Its configuration is written again, the same for the same run and without a path of this machine, and beside it
    which base model it belongs to.
    """
    from slmcheck.backends.pytorch_loading import folder_of

    (folder / "README.md").unlink(missing_ok=True)  # peft's template of a model card, with nothing filled in
    config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = job.recipe.base_model
    if config.get("tokenizer_name_or_path") is not None:
        config["tokenizer_name_or_path"] = job.recipe.base_model  # it read the text that a prompt started from
    if isinstance(config.get("target_modules"), list):
        config["target_modules"].sort()  # a set in peft, in another order each time
    (folder / ADAPTER_CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    record_base(folder, folder_of(job.base_model), name=job.recipe.base_model)
    return adapter_checkpoint(folder, base_model=job.base_model, trust_remote_code=job.recipe.trust_remote_code)


def finish_model(folder: Path, job: TrainingJob) -> Checkpoint:
    """A freshly saved model as the checkpoint of a job; the base model's tokenizer and code are copied beside it."""
    from slmcheck.backends.pytorch_loading import folder_of

    base_folder = folder_of(job.base_model)
    for name in (*TOKENIZER_FILES, *(path.name for path in base_folder.glob("*.py"))):
        if (base_folder / name).is_file():
            shutil.copyfile(base_folder / name, folder / name)
    return model_checkpoint(folder, trust_remote_code=job.recipe.trust_remote_code)


def _identity(base_model: str) -> Json:
    if Path(base_model).is_dir():
        return folder_identity(Path(base_model), sha256_of)
    repository, _, commit = base_model.partition("@")
    return {"repository": repository, "commit": commit}
