"""Bottleneck adapters: small networks behind or beside the attention and the MLP of each layer.

Down to a few values, an activation, up again, added to what the layer gives. The way up starts at zero, so that the
model starts as its base model, bit for bit. A leaf module: it imports torch and transformers.

Source: Houlsby et al. 2019 (behind attention and MLP), Pfeiffer et al. 2021 (behind the MLP), He et al. 2022 (beside
instead of behind).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from slmcheck.errors import CheckpointError

KIND = "bottleneck"
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
ACTIVATIONS: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "gelu": torch.nn.functional.gelu,
    "relu": torch.nn.functional.relu,
    "silu": torch.nn.functional.silu,
}
Form = Literal["serial", "parallel"]
Active = str | Sequence[str | None] | None


@dataclass(frozen=True, kw_only=True)
class BottleneckConfig:
    """What an adapter is, beside its weights."""

    modules: tuple[str, ...]
    """Paths of the modules whose output is changed."""
    size: int
    """Values between the way down and the way up."""
    form: Form = "serial"
    """`serial` reads the output of the module, `parallel` its input."""
    activation: str = "gelu"
    dropout: float = 0.0
    """Probability of dropping one of the values in between while training."""


class Bottleneck(torch.nn.Module):  # type: ignore[misc]  # torch is not typed here
    """One small network; zero at first."""

    def __init__(self, width: int, config: BottleneckConfig) -> None:
        super().__init__()
        self.down = torch.nn.Linear(width, config.size)
        self.up = torch.nn.Linear(config.size, width)
        torch.nn.init.zeros_(self.up.weight)
        torch.nn.init.zeros_(self.up.bias)
        self.dropout = torch.nn.Dropout(config.dropout)
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """What is added; shape (..., width), in the type of `states`."""
        found: torch.Tensor = self.up(self.dropout(self.activation(self.down(states.to(self.down.weight.dtype)))))
        return found.to(states.dtype)


class Bottlenecked(torch.nn.Module):  # type: ignore[misc]
    """A base model with adapters by name, one of them, none, or one a row active.

    Everything else is the base model's: what is not found here is looked for there.
    """

    def __init__(self, base: PreTrainedModel) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.sets = torch.nn.ModuleDict()
        self.configs: dict[str, BottleneckConfig] = {}
        self.active: Active = None
        """Name of the active adapter; a list names one for each row of a batch, None for the base model."""

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("base"), name)

    def forward(self, *arguments: object, **keywords: object) -> object:
        """As of the base model."""
        return self.base(*arguments, **keywords)

    def get_base_model(self) -> PreTrainedModel:
        """The base model; the networks stay in it as hooks."""
        return self.base

    def add(self, name: str, config: BottleneckConfig) -> None:
        """Add a fresh adapter and make it the active one.

        Raises:
            CheckpointError: If a module is not there.
        """
        modules, networks = dict(self.base.named_modules()), {}
        missing = [path for path in config.modules if path not in modules]
        if missing:
            raise CheckpointError(
                f"{len(missing)} of {len(config.modules)} modules of the adapter are not in the model: {missing[0]}.\n"
                "Give the base model that it was trained on."
            )
        width = int(self.base.config.get_text_config().hidden_size)
        for path in config.modules:
            network = Bottleneck(width, config).to(self.base.device)
            networks[path.replace(".", "-")] = network
            modules[path].add_module(f"bottleneck_{name}", network)  # moved, counted and exported with the model
            modules[path].register_forward_hook(self._hook(name, config.form, network), with_kwargs=True)
        self.sets[name] = torch.nn.ModuleDict(networks)
        self.configs[name] = config
        self.active = name

    @contextmanager
    def disable_adapter(self) -> Iterator[None]:
        """The base model as it was, for a while."""
        active, self.active = self.active, None
        try:
            yield
        finally:
            self.active = active

    def tensors(self, name: str) -> dict[str, torch.Tensor]:
        """The weights of an adapter by module path: `model.layers.0.mlp.down.weight`."""
        return {key.replace("-", "."): value for key, value in self.sets[name].state_dict().items()}

    def load_tensors(self, name: str, tensors: Mapping[str, torch.Tensor]) -> tuple[list[str], list[str]]:
        """Put weights into an adapter; the names that are missing, and those without a place."""
        own = {key.replace("-", "."): key for key in self.sets[name].state_dict()}
        fitting = {own[key]: value for key, value in tensors.items() if key in own}
        self.sets[name].load_state_dict(fitting, strict=False)
        return sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())

    def _hook(self, name: str, form: Form, network: Bottleneck) -> Callable[..., object]:
        def add(module: torch.nn.Module, arguments: tuple[object, ...], keywords: dict[str, object], output: object):  # type: ignore[no-untyped-def]
            if self.active is None or (isinstance(self.active, str) and self.active != name):
                return None
            first = output[0] if isinstance(output, tuple) else output
            states = first if form == "serial" else arguments[0] if arguments else keywords["hidden_states"]
            changed = (
                first + network(states) if isinstance(self.active, str) else self._of_rows(name, first, network(states))
            )
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        return add

    def _of_rows(self, name: str, states: torch.Tensor, added: torch.Tensor) -> torch.Tensor:
        """Rows of this adapter with what is added, the others as they are."""
        assert self.active is not None
        own = torch.tensor([row == name for row in self.active], device=states.device)
        return torch.where(own[:, None, None], states + added, states)


def save_bottlenecks(model: Bottlenecked, folder: Path, name: str = "default") -> None:
    """Write an adapter: its weights and its configuration, nothing of the base model."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.detach().cpu().contiguous() for key, value in model.tensors(name).items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    config = {"adapter_type": KIND, **asdict(model.configs[name])}
    (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_bottlenecks(adapter: Path, model: Bottlenecked, name: str = "default") -> None:
    """Add the adapter of a folder to a model.

    Raises:
        CheckpointError: If its weights do not fit.
    """
    document = json.loads((adapter / CONFIG).read_text(encoding="utf-8"))
    known = BottleneckConfig.__dataclass_fields__
    values = {key: tuple(value) if key == "modules" else value for key, value in document.items() if key in known}
    try:
        model.add(name, BottleneckConfig(**values))  # type: ignore[arg-type]
        missing, surplus = model.load_tensors(name, load_file(adapter / WEIGHTS))
    except (KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(
            f"The adapter {adapter} does not fit its base model: {str(error).strip().splitlines()[-1].strip()}\n"
            "Give the base model that it was trained on."
        ) from error
    if missing or surplus:
        raise CheckpointError(
            f"The weights of adapter {adapter} do not fit its configuration.\n"
            f"Missing: {', '.join(missing[:3]) or 'none'}. Without a place: {', '.join(surplus[:3]) or 'none'}."
        )
    for key, value in model.tensors(name).items():
        if not bool(value.isfinite().all()):
            raise CheckpointError(
                f"The adapter {adapter} has weights that are not finite: {key}.\n"
                "Its training diverged: lower the learning rate and train again."
            )


def is_bottleneck(adapter: Path) -> bool:
    """Whether a folder holds a bottleneck adapter."""
    try:
        document = json.loads((adapter / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and document.get("adapter_type") == KIND
