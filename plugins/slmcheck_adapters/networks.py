"""Small networks in the layers of a base model, trained and saved.

A leaf module: it imports torch (through the backend) and is itself imported only by `AdaptersTrainer.train`.
"""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

from slmcheck.backends.bottleneck import BottleneckConfig, Bottlenecked, save_bottlenecks
from slmcheck.errors import RecipeError
from slmcheck.records import Checkpoint
from slmcheck.training import TrainingJob, finish_adapter, supervised_loop
from slmcheck.training.loading import load_base_model
from slmcheck_adapters import BottleneckOptions

ATTENTION = ("self_attn", "attn", "attention", "self_attention")
MLP = ("mlp", "feed_forward", "ffn", "block_sparse_moe")
"""What architectures call the two modules of a layer."""


def train_networks(job: TrainingJob, options: BottleneckOptions) -> Checkpoint:
    """Load the base model, add the networks, train, save the best weights."""
    base, tokenizer = load_base_model(job, frozen=True)
    config = configured(base, options, job)
    model = Bottlenecked(base)
    model.add("default", config)
    supervised_loop(model, tokenizer, job)
    folder = job.output_dir / "adapter"
    save_bottlenecks(model, folder)
    return finish_adapter(folder, job)


def configured(base: PreTrainedModel, options: BottleneckOptions, job: TrainingJob) -> BottleneckConfig:
    """What the options mean for a base model.

    Raises:
        RecipeError: If a name matches no module of a layer, or attention and MLP are called otherwise.
    """
    layers = _layers(base)
    width = int(base.config.get_text_config().hidden_size)
    return BottleneckConfig(
        modules=_by_name(layers, options, job) if options.modules else _by_placement(layers, options, job),
        size=options.size or max(8, width // 16),
        form=options.form,
        activation=options.activation,
        dropout=options.dropout,
    )


def _layers(base: PreTrainedModel) -> dict[str, nn.Module]:
    """The layers by path: the longest list of modules, which every causal model keeps its layers in."""
    lists = {name: module for name, module in base.named_modules() if isinstance(module, nn.ModuleList)}
    path = max(lists, key=lambda name: len(lists[name]), default=None)
    return {} if path is None else {f"{path}.{index}": layer for index, layer in enumerate(lists[path])}


def _by_placement(layers: dict[str, nn.Module], options: BottleneckOptions, job: TrainingJob) -> tuple[str, ...]:
    kinds = {"houlsby": (ATTENTION, MLP), "pfeiffer": (MLP,)}[options.placement]
    found = []
    for path, layer in layers.items():
        own = dict(layer.named_children())
        for kind in kinds:
            name = next((name for name in kind if name in own), None)
            if name is None:
                raise _error(
                    job, f"no module of layer {path} of {job.recipe.base_model} is called {', '.join(kind)}", layers
                )
            found.append(f"{path}.{name}")
    return tuple(found)


def _by_name(layers: dict[str, nn.Module], options: BottleneckOptions, job: TrainingJob) -> tuple[str, ...]:
    own = {path: {name for name, _ in layer.named_modules() if name} for path, layer in layers.items()}
    unmatched = [name for name in options.modules if not any(name in names for names in own.values())]
    if unmatched:
        quoted = ", ".join(f"'{name}'" for name in unmatched)
        raise _error(job, f"options.bottleneck.modules names {quoted}, which no layer has", layers)
    return tuple(f"{path}.{name}" for path, names in own.items() for name in options.modules if name in names)


def _error(job: TrainingJob, problem: str, layers: dict[str, nn.Module]) -> RecipeError:
    names = sorted({name for layer in layers.values() for name, _ in layer.named_children()})
    return RecipeError(
        f"Recipe '{job.recipe.name}' cannot be trained: {problem}.\n"
        f"Modules of its layers: {', '.join(names) or 'none'}.\n"
        "Name those that get a network: options: {method: bottleneck, bottleneck: {modules: [NAME]}}"
    )
