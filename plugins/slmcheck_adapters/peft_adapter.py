"""Adding, training and saving an adapter of a method of peft.

A leaf module: it imports peft (through the loop) and is itself imported only by `AdaptersTrainer.train`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module

from peft import PeftConfig
from transformers import PreTrainedModel

from slmcheck.backends.pytorch_loading import folder_of
from slmcheck.errors import RecipeError
from slmcheck.records import Checkpoint
from slmcheck.training import TrainingJob, supervised_loop
from slmcheck.training.adapting import adapted_model, check_targets, names_in, save_adapter
from slmcheck.training.loading import load_base_model
from slmcheck_adapters import AdaptersOptions
from slmcheck_adapters.methods import METHODS, Method

NAMING = ("target_modules", "feedforward_modules", "modules_to_save")


def train_peft_adapter(job: TrainingJob, options: AdaptersOptions) -> Checkpoint:
    """Load the base model, add the adapter, train, save the best weights."""
    base, tokenizer = load_base_model(job, frozen=True)
    model = adapted_model(base, checked_config(base, options, job), job)
    notes = []
    if METHODS[options.method].is_prompt:
        notes.append("Virtual tokens stand before each text: training does not start at the base model.")
    supervised_loop(model, tokenizer, job, notes=notes)
    return save_adapter(model, job)


def checked_config(base: PreTrainedModel, options: AdaptersOptions, job: TrainingJob) -> PeftConfig:
    """The configuration of peft, its layer names checked.

    Raises:
        RecipeError: If a name matches no layer, or peft refuses the values.
    """
    named = {name: names for name in NAMING if (names := _names(options.peft.get(name)))}
    check_targets(base, {f"options.peft.{name}": names for name, names in named.items()}, job)
    try:
        return peft_config(METHODS[options.method], options.peft, str(folder_of(job.base_model)))
    except (ValueError, TypeError) as error:
        raise RecipeError(
            f"Recipe '{job.recipe.name}' cannot be trained: peft refuses options.peft.\n"
            f"It says: {str(error).strip().splitlines()[0]}"
        ) from error


def peft_config(method: Method, block: Mapping[str, object], tokenizer: str) -> PeftConfig:
    """The configuration of a method; `tokenizer` is the folder of the one that reads the text of a prompt."""
    values = {**method.defaults, **block, **method.fixed}
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    if values.get("prompt_tuning_init") == "TEXT":
        values["tokenizer_name_or_path"] = tokenizer
    if method.name == "oft" and "r" in block and "oft_block_size" not in block:
        values["oft_block_size"] = 0  # peft takes one of the two
    config: PeftConfig = getattr(import_module(f"peft.{method.module}"), method.config)(task_type="CAUSAL_LM", **values)
    return config


def _names(value: object) -> Sequence[str]:
    """Layer names of a list; a text is a pattern, which peft itself refuses where it matches nothing."""
    return names_in([str(one) for one in value]) if isinstance(value, list | tuple) else ()
