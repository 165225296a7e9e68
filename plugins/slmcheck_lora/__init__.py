"""Low-rank adapters (LoRA): small matrices beside the frozen weights of the base model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from slmcheck.records import Checkpoint, Recipe
from slmcheck.training import TrainingJob, loop_problems, read_options, recipe_error

__all__ = ["LoraOptions", "LoraTrainer"]

Initialisation = Literal["gaussian", "pissa", "olora", "orthogonal"]


@dataclass(frozen=True, kw_only=True)
class LoraOptions:
    """Options of `trainer: lora`, named as in peft's LoraConfig."""

    r: int = 16
    """Rank of the added matrices."""
    lora_alpha: float = 32.0
    """The added matrices are scaled by lora_alpha / r, or lora_alpha / sqrt(r) with `use_rslora`."""
    lora_dropout: float = 0.0
    """Probability of dropping an input of the added matrices while training."""
    target_modules: str | tuple[str, ...] = "all-linear"
    """Names of the layers that get an adapter; `all-linear` is every linear layer but the head."""
    modules_to_save: tuple[str, ...] = ()
    """Layers that are trained in full and saved with the adapter."""
    use_rslora: bool = False
    """Rank-stabilised scaling."""
    init_lora_weights: bool | Initialisation = True
    """First weights: true and `gaussian` start exactly at the base model, the others within 1e-5 of it."""


class LoraTrainer:
    """Trains an adapter with peft on the shared loop."""

    cache_version: ClassVar[int] = 1
    options: ClassVar[type] = LoraOptions
    trains: ClassVar[bool] = True

    def check(self, recipe: Recipe) -> None:
        """Look for problems of the recipe; raises RecipeError listing all of them."""
        problems = [*_value_problems(read_options(LoraOptions, recipe)), *loop_problems(recipe)]
        if problems:
            raise recipe_error(recipe, problems)

    def train(self, job: TrainingJob) -> Checkpoint:
        """Train the adapter; it is written to `adapter/` with its configuration and the identity of its base model."""
        from slmcheck_lora.adapter import train_adapter

        return train_adapter(job, read_options(LoraOptions, job.recipe))


def _value_problems(options: LoraOptions) -> list[str]:
    problems = []
    if options.r < 1:
        problems.append(f"options.r is {options.r}; expected at least 1")
    if options.lora_alpha <= 0:
        problems.append(f"options.lora_alpha is {options.lora_alpha:g}; expected above 0")
    if not 0.0 <= options.lora_dropout < 1.0:
        problems.append(f"options.lora_dropout is {options.lora_dropout:g}; expected at least 0 and below 1")
    if not options.target_modules:
        problems.append("options.target_modules is empty; name layers, or use all-linear")
    if options.init_lora_weights is False:
        problems.append(
            "options.init_lora_weights is false, so training would not start at the base model; "
            "expected true, gaussian, pissa, olora or orthogonal"
        )
    return problems
