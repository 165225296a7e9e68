"""Adding, training and saving a LoRA adapter.

A leaf module: it imports peft and torch at its top and is itself imported only by `LoraTrainer.train`.
"""

from __future__ import annotations

from collections.abc import Sequence

from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from slmcheck.errors import RecipeError
from slmcheck.records import Checkpoint
from slmcheck.training import TrainingJob, finish_adapter, supervised_loop
from slmcheck.training.loading import load_base_model
from slmcheck.training.quiet import quiet_libraries
from slmcheck_lora import LoraOptions


def train_adapter(job: TrainingJob, options: LoraOptions) -> Checkpoint:
    """Load the base model, add the adapter, train, save the best weights."""
    base, tokenizer = load_base_model(job, frozen=True)
    check_targets(base, options, job)
    try:
        with quiet_libraries():
            model = add_adapter(base, options)
    except ValueError as error:
        raise RecipeError(
            f"Recipe '{job.recipe.name}' cannot be trained: peft refuses its options.\n"
            f"It says: {str(error).splitlines()[0]}\nLinear layers of the base model: {', '.join(linear_names(base))}."
        ) from error
    supervised_loop(model, tokenizer, job)
    return save_adapter(model, job)


def add_adapter(base: PreTrainedModel, options: LoraOptions) -> PeftModel:
    """The base model with a fresh adapter; its weights are float32 also over a half-precision base."""
    targets = options.target_modules
    return get_peft_model(
        base,
        LoraConfig(
            task_type="CAUSAL_LM",
            r=options.r,
            lora_alpha=options.lora_alpha,
            lora_dropout=options.lora_dropout,
            target_modules=targets if targets == "all-linear" else list(_names(targets)),
            modules_to_save=list(options.modules_to_save) or None,
            use_rslora=options.use_rslora,
            init_lora_weights=options.init_lora_weights,
        ),
        autocast_adapter_dtype=True,
    )


def save_adapter(model: PeftModel, job: TrainingJob) -> Checkpoint:
    """Write `adapter/`: weights as safetensors, configuration, identity of the base model."""
    folder = job.output_dir / "adapter"
    with quiet_libraries():
        model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
    return finish_adapter(folder, job)


def check_targets(base: PreTrainedModel, options: LoraOptions, job: TrainingJob) -> None:
    """Refuse layer names that match nothing, and layers that share their weights with another.

    peft is silent about a name without a match as long as another name has one.

    Raises:
        RecipeError: Listing every name that cannot be used.
    """
    named = () if options.target_modules == "all-linear" else _names(options.target_modules)
    modules = dict(base.named_modules())
    problems = []
    for option, names in (("target_modules", named), ("modules_to_save", options.modules_to_save)):
        unmatched = [name for name in names if not _matches(name, modules)]
        if unmatched:
            problems.append(
                f"options.{option} names {_quoted(unmatched)}, but no layer of {job.recipe.base_model} has that name.\n"
                f"Its linear layers: {', '.join(linear_names(base))}."
            )
        tied = [name for name in names if name in tied_names(base)]
        if tied:
            problems.append(
                f"options.{option} names {_quoted(tied)}, but this base model ties its head to its embeddings: "
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


def _names(targets: str | tuple[str, ...]) -> tuple[str, ...]:
    return (targets,) if isinstance(targets, str) else targets


def _matches(name: str, modules: dict[str, nn.Module]) -> bool:
    return any(path == name or path.endswith("." + name) for path in modules)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
