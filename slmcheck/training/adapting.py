"""What every trainer of a peft adapter does around its own configuration: layer names checked, adapter added and saved.

A leaf module: it imports peft, torch and transformers at its top and is itself imported only while training.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

from peft import PeftConfig, PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from slmcheck.errors import RecipeError
from slmcheck.records import Checkpoint
from slmcheck.training.checkpoints import finish_adapter
from slmcheck.training.protocol import TrainingJob
from slmcheck.training.quiet import quiet_libraries


def adapted_model(base: PreTrainedModel, config: PeftConfig, job: TrainingJob) -> PeftModel:
    """The base model with a fresh adapter; its weights are float32 also over a half-precision base.

    Raises:
        RecipeError: If peft refuses the configuration for this model.
    """
    try:
        with quiet_libraries(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of kernels that are not there, and of what is checked here
            return get_peft_model(base, config, autocast_adapter_dtype=True)
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError, AssertionError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RecipeError(
            f"Recipe '{job.recipe.name}' cannot be trained: peft refuses its options.\n"
            f"It says: {said}\nLinear layers of the base model: {', '.join(linear_names(base))}."
        ) from error


def save_adapter(model: PeftModel, job: TrainingJob) -> Checkpoint:
    """Write `adapter/`: weights as safetensors, configuration, identity of the base model."""
    folder = job.output_dir / "adapter"
    with quiet_libraries():
        model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
    return finish_adapter(folder, job)


def check_targets(base: PreTrainedModel, named: Mapping[str, Sequence[str]], job: TrainingJob) -> None:
    """Refuse layer names that match nothing, and layers that share their weights with another.

    peft is silent about a name without a match as long as another name has one.

    Args:
        base: The base model.
        named: Layer names by the option that holds them.
        job: The job.

    Raises:
        RecipeError: Listing every name that cannot be used.
    """
    modules = dict(base.named_modules())
    problems = []
    for option, names in named.items():
        unmatched = [name for name in names if not _matches(name, modules)]
        if unmatched:
            problems.append(
                f"{option} names {_quoted(unmatched)}, but no layer of {job.recipe.base_model} has that name.\n"
                f"Its linear layers: {', '.join(linear_names(base))}."
            )
        tied = [name for name in names if name in tied_names(base)]
        if tied:
            problems.append(
                f"{option} names {_quoted(tied)}, but this base model ties its head to its embeddings: "
                "adapting one would change the other when the adapter is merged."
            )
    if problems:
        raise RecipeError("\n".join([f"Recipe '{job.recipe.name}' cannot be trained.", *problems]))


def linear_names(model: nn.Module) -> list[str]:
    """The last names of the linear layers, sorted."""
    linear = (nn.Linear, Conv1D)
    return sorted({name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, linear)})


def tied_names(model: PreTrainedModel) -> set[str]:
    """The last names of head and embeddings where they share their weights; empty where they do not."""
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    if head is None or head.weight is not embeddings.weight:
        return set()
    return {name.rpartition(".")[2] for name, module in model.named_modules() if module in (embeddings, head)}


def names_in(targets: str | Sequence[str]) -> tuple[str, ...]:
    """Layer names as a tuple; empty for `all-linear`, which names none."""
    if targets == "all-linear":
        return ()
    return (targets,) if isinstance(targets, str) else tuple(targets)


def _matches(name: str, modules: Mapping[str, nn.Module]) -> bool:
    return any(path == name or path.endswith("." + name) for path in modules)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
