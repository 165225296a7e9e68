"""The base model and its tokenizer, in memory and ready to be trained.

A leaf module: it imports torch and transformers at its top and is itself imported only while training.
"""

from __future__ import annotations

import torch
from transformers import PreTrainedModel, set_seed

from slmcheck.backends.pytorch_loading import folder_of, load_base
from slmcheck.data.tokenizers import TextTokenizer, read_tokenizer
from slmcheck.errors import TrainingError
from slmcheck.training.precision import training_dtype
from slmcheck.training.protocol import TrainingJob
from slmcheck.training.quiet import quiet_libraries


def torch_device(job: TrainingJob) -> torch.device:
    """The device of the job.

    Raises:
        TrainingError: If this machine does not have it.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available[job.device]:
        present = [name for name, found in available.items() if found]
        raise TrainingError(
            f"{job.recipe.name}: asked to train on '{job.device}', which torch {torch.__version__} does not find.\n"
            f"Devices found: {', '.join(present)}.\n"
            f"Name one of them (--slm-device={present[-1]}), or install the torch build for '{job.device}'."
        )
    return torch.device(job.device)


def prepare_process(job: TrainingJob) -> torch.device:
    """Set threads and seed every generator, as adapters draw their weights; gives the device.

    Raises:
        TrainingError: If the device is not there.
    """
    device = torch_device(job)
    torch.set_num_threads(job.recipe.threads)
    set_seed(job.recipe.seed)
    if job.device == "cuda":
        torch.use_deterministic_algorithms(True, warn_only=True)
    return device


def load_base_model(job: TrainingJob, *, frozen: bool) -> tuple[PreTrainedModel, TextTokenizer]:
    """The base model on its device and its tokenizer; seeds every generator first, as adapters draw their weights.

    Args:
        job: The job.
        frozen: Whether the base model's weights stay as they are: they may then be half precision on a GPU. Weights
            that are trained are float32 everywhere.

    Raises:
        CheckpointError: If the weights are missing, damaged or pickled.
        TrainingError: If the device is not there.
    """
    device = prepare_process(job)
    half = frozen and training_dtype(job.recipe, job.device) == "bfloat16"
    with quiet_libraries():
        model = load_base(job.base_model, torch.bfloat16 if half else torch.float32, job.recipe.trust_remote_code)
        tokenizer = read_tokenizer(folder_of(job.base_model))
    model.config.use_cache = False
    return model.to(device), tokenizer
