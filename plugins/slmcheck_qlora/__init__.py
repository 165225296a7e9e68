"""LoRA on a base model in four bits (QLoRA): the frozen weights take an eighth of their size in float32."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal

from slmcheck.errors import MissingExtraError
from slmcheck.records import Checkpoint, DeviceClass, Json, Recipe
from slmcheck.training import TrainingJob, loop_problems, read_options, recipe_error
from slmcheck.training.options import OPTIMIZERS

__all__ = ["QloraOptions", "QloraTrainer"]

GPU_OPTIMIZERS = ("adamw_8bit", "paged_adamw_32bit", "paged_adamw_8bit")
"""Optimizers of bitsandbytes: moments in 8 bits, or moved to the memory of the processor when that of the GPU is full.
Elsewhere they bring nothing, and adamw_torch_fused takes their place."""


@dataclass(frozen=True, kw_only=True)
class QloraOptions:
    """Options of `trainer: qlora`, named as in peft's LoraConfig and transformers' BitsAndBytesConfig."""

    r: int = 16
    """Rank of the added matrices."""
    lora_alpha: float = 32.0
    """The added matrices are scaled by lora_alpha / r, or lora_alpha / sqrt(r) with `use_rslora`."""
    lora_dropout: float = 0.0
    """Probability of dropping an input of the added matrices while training."""
    target_modules: str | tuple[str, ...] = "all-linear"
    """Names of the layers that get an adapter; `all-linear` is every linear layer but the head."""
    use_rslora: bool = False
    """Rank-stabilised scaling."""
    bnb_4bit_quant_type: Literal["nf4", "fp4"] = "nf4"
    """The 16 values that a weight of the base model may have."""
    bnb_4bit_use_double_quant: bool = True
    """Whether the scales of the blocks of 64 weights are quantised too."""


class QloraTrainer:
    """Trains an adapter with peft on a base model that bitsandbytes quantised, on the shared loop."""

    cache_version: ClassVar[int] = 1
    options: ClassVar[type] = QloraOptions
    trains: ClassVar[bool] = True

    def check(self, recipe: Recipe) -> None:
        """Look for problems of the recipe; raises RecipeError listing all of them.

        Raises:
            MissingExtraError: If bitsandbytes is not installed.
        """
        options = read_options(QloraOptions, recipe)
        problems = [*_value_problems(options), *loop_problems(recipe, optimizers=(*OPTIMIZERS, *GPU_OPTIMIZERS))]
        if problems:
            raise recipe_error(recipe, problems)
        if find_spec("bitsandbytes") is None:
            raise MissingExtraError(
                f"Recipe '{recipe.name}' has trainer 'qlora', which needs bitsandbytes, and that is not installed.\n"
                "Install it: pip install 'slmcheck[qlora]'"
            )

    def preparation(self, recipe: Recipe, device: DeviceClass) -> Json:
        """What decides the quantised base model, beside the base model itself."""
        return {
            "quantization": quantization_of(read_options(QloraOptions, recipe)),
            "device": device,
            "bitsandbytes": version("bitsandbytes"),
        }

    def prepare_base(self, recipe: Recipe, base_model: str, device: DeviceClass, folder: Path) -> None:
        """Quantise the base model into a folder, so that trainings start from that and never hold it in full."""
        from slmcheck_qlora.adapter import quantise

        quantise(recipe, read_options(QloraOptions, recipe), base_model, device, folder)

    def train(self, job: TrainingJob) -> Checkpoint:
        """Train the adapter; it is written to `adapter/` with how its base model was quantised."""
        from slmcheck_qlora.adapter import train_adapter

        return train_adapter(job, read_options(QloraOptions, job.recipe))


def quantization_of(options: QloraOptions) -> dict[str, Json]:
    """The options that say how the base model is quantised."""
    return {name: value for name, value in asdict(options).items() if name.startswith("bnb_4bit_")}


def _value_problems(options: QloraOptions) -> list[str]:
    problems = []
    if options.r < 1:
        problems.append(f"options.r is {options.r}; expected at least 1")
    if options.lora_alpha <= 0:
        problems.append(f"options.lora_alpha is {options.lora_alpha:g}; expected above 0")
    if not 0.0 <= options.lora_dropout < 1.0:
        problems.append(f"options.lora_dropout is {options.lora_dropout:g}; expected at least 0 and below 1")
    if not options.target_modules:
        problems.append("options.target_modules is empty; name layers, or use all-linear")
    return problems
