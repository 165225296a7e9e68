"""Adapters beside LoRA: small networks in the layers (bottleneck), and the methods of peft by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from slmcheck.records import Checkpoint, Recipe
from slmcheck.training import TrainingJob, loop_problems, read_options, recipe_error
from slmcheck_adapters.methods import METHODS, method_problems
from slmcheck_adapters.peft_fields import block_problems

__all__ = ["AdaptersOptions", "AdaptersTrainer", "BottleneckOptions"]


@dataclass(frozen=True, kw_only=True)
class BottleneckOptions:
    """The small networks of `method: bottleneck`."""

    placement: Literal["houlsby", "pfeiffer"] = "houlsby"
    """`houlsby`: at the attention and at the MLP of each layer; `pfeiffer`: at the MLP only."""
    modules: tuple[str, ...] = ()
    """Names of the modules that get one, in place of `placement`, where attention and MLP are called otherwise."""
    form: Literal["serial", "parallel"] = "serial"
    """`serial` reads what the module gives, `parallel` what the module is given."""
    size: int | None = None
    """Values between the way down and the way up; by default a sixteenth of the width of the model, 8 at least."""
    activation: Literal["gelu", "relu", "silu"] = "gelu"
    """What stands between the way down and the way up."""
    dropout: float = 0.0
    """Probability of dropping one of the values in between while training."""


@dataclass(frozen=True, kw_only=True)
class AdaptersOptions:
    """Options of `trainer: adapters`."""

    method: str = "bottleneck"
    """`bottleneck`, or a method of peft: boft, dora, ia3, loha, lokr, miss, oft, olora, pissa, prefix, prompt, rslora,
    vera."""
    bottleneck: BottleneckOptions = field(default_factory=BottleneckOptions)
    """For `method: bottleneck`."""
    peft: Mapping[str, object] = field(default_factory=dict)
    """For the other methods: fields of the configuration class of peft, `{r: 8, target_modules: [q_proj]}`."""


class AdaptersTrainer:
    """Trains an adapter on the frozen base model, on the shared loop."""

    cache_version: ClassVar[int] = 1
    options: ClassVar[type] = AdaptersOptions
    trains: ClassVar[bool] = True

    def check(self, recipe: Recipe) -> None:
        """Look for problems of the recipe; raises RecipeError listing all of them.

        Raises:
            MissingExtraError: If the method is one of peft and peft is not installed.
        """
        options = read_options(AdaptersOptions, recipe)
        problems = [*_option_problems(options), *_loop_problems(recipe, options), *loop_problems(recipe)]
        if problems:
            raise recipe_error(recipe, problems)

    def train(self, job: TrainingJob) -> Checkpoint:
        """Train the adapter; it is written to `adapter/` with its configuration and the identity of its base model."""
        options = read_options(AdaptersOptions, job.recipe)
        if options.method == "bottleneck":
            from slmcheck_adapters.networks import train_networks

            return train_networks(job, options.bottleneck)
        from slmcheck_adapters.peft_adapter import train_peft_adapter

        return train_peft_adapter(job, options)


def _option_problems(options: AdaptersOptions) -> list[str]:
    if options.method != "bottleneck":
        unknown = method_problems(options.method)
        if unknown:
            return unknown
        misplaced = options.bottleneck != BottleneckOptions()
        other = [f"options.bottleneck is for method bottleneck, and options.method is '{options.method}'"]
        return [*(other if misplaced else []), *block_problems(METHODS[options.method], options.peft)]
    problems, small = [], options.bottleneck
    if options.peft:
        problems.append("options.peft is for the methods of peft, and options.method is 'bottleneck'")
    if small.size is not None and small.size < 1:
        problems.append(f"options.bottleneck.size is {small.size}; expected at least 1")
    if not 0.0 <= small.dropout < 1.0:
        problems.append(f"options.bottleneck.dropout is {small.dropout:g}; expected at least 0 and below 1")
    return problems


def _loop_problems(recipe: Recipe, options: AdaptersOptions) -> list[str]:
    method = METHODS.get(options.method)
    if method is None or not method.is_prompt:
        return []
    problems = []
    if recipe.gradient_checkpointing and options.method == "prefix":
        problems.append("gradient_checkpointing is true, which does not go with options.method 'prefix'; leave it out")
    if recipe.task == "language_modeling":
        problems.append(
            f"task is 'language_modeling', where windows of a text have no beginning that virtual tokens could stand "
            f"before; options.method is '{options.method}': use bottleneck or dora"
        )
    return problems
