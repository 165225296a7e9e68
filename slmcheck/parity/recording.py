"""What every module of a PyTorch model reads and gives in one call. A leaf module: it imports torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from slmcheck.parity.feeds import Feed, call

Array = NDArray[np.float32]


@dataclass(eq=False)
class Recording:
    """Activations by module path."""

    inputs: dict[str, Array] = field(default_factory=dict)
    """The first tensor that a module without children reads in its first call."""
    outputs: dict[str, list[Array]] = field(default_factory=dict)
    """Every float tensor that a module gives, over all its calls, in order."""
    logits: Array | None = None


def record(model: PreTrainedModel, feed: Feed) -> Recording:
    """Call the model and keep what its modules read and gave."""
    found = Recording()
    with _hooks(model, found):
        found.logits, _ = call(model, feed)
    return found


@contextmanager
def _hooks(model: PreTrainedModel, found: Recording) -> Iterator[None]:
    with ExitStack() as hooks:
        for path, module in model.named_modules():
            if not path:
                continue
            leaf = not list(module.children())
            # a hook that gives something would replace the output, hence the functions without a result
            handle = module.register_forward_hook(_keeper(path, found, leaf=leaf), with_kwargs=True)
            hooks.callback(handle.remove)
        yield


def _keeper(path: str, found: Recording, *, leaf: bool):  # type: ignore[no-untyped-def]  # torch's hook is not typed
    def keep(
        module: torch.nn.Module, arguments: tuple[object, ...], keywords: dict[str, object], output: object
    ) -> None:
        read = [*_floats(arguments), *_floats(tuple(keywords.values()))]
        if leaf and read:
            found.inputs.setdefault(path, _array(read[0]))
        found.outputs.setdefault(path, []).extend(_array(tensor) for tensor in _floats(output))

    return keep


def _floats(value: object) -> list[torch.Tensor]:
    """Float tensors of a tensor or of a plain tuple; what a module gives as an object is not looked into."""
    if isinstance(value, torch.Tensor):
        return [value] if value.is_floating_point() and value.dim() > 1 else []
    if type(value) in (tuple, list):
        return [tensor for one in value if isinstance(one, torch.Tensor) for tensor in _floats(one)]  # type: ignore[attr-defined]
    return []


def _array(tensor: torch.Tensor) -> Array:
    values: Array = tensor.detach().float().cpu().numpy().copy()
    return values
