"""Several adapters on one base model in memory, switched from batch to batch or from row to row.

A leaf module: it imports torch, transformers and peft.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel
from transformers import PreTrainedModel

from slmcheck.backends.adapters import add_adapter, load_adapter
from slmcheck.backends.base_identity import weights_digest
from slmcheck.backends.bottleneck import Bottlenecked, is_bottleneck, load_bottlenecks
from slmcheck.backends.protocol import Decoder, LanguageModel, PaddedBatch, TokenTree
from slmcheck.backends.pytorch_loading import (
    base_of,
    engine_of,
    folder_of,
    is_prompt,
    load_base_of,
    quiet,
    ready,
)
from slmcheck.backends.quantized import read_quantization
from slmcheck.errors import InputError
from slmcheck.records import Checkpoint, DeviceClass

Switch = str | None
"""Name of an adapter; None is the base model."""


class SideBySide:
    """A base model with adapters by name."""

    def __init__(self, checkpoints: Mapping[str, Checkpoint], *, device: DeviceClass = "cpu", threads: int = 1) -> None:
        """Load the base model once and every adapter onto it.

        Args:
            checkpoints: Adapters by name.
            device: Where they run.
            threads: Threads of this process that may ask at once.

        Raises:
            InputError: If they are no adapters of one base model, or of kinds that cannot stand beside each other.
            CheckpointError: If weights are unusable.
        """
        check_family(checkpoints)
        self._labels = {name: f"adapter_{index}" for index, name in enumerate(checkpoints)}  # peft takes no dots
        with quiet():
            self._adapted = _loaded(checkpoints, self._labels, device)
        model = ready(self._adapted.get_base_model())
        if not isinstance(self._adapted, Bottlenecked):
            self._adapted.eval()
        self._adapted.to(device)
        self._model, self._plain_attention = model, model.config._attn_implementation
        self.names = tuple(checkpoints)
        first = next(iter(checkpoints.values()))
        with self.switched(self.names[0]):
            self._engine = engine_of(first, model, device=device, threads=threads)
        self._attention = model.config._attn_implementation

    @property
    def tokenizer(self) -> object:
        """The tokenizer of the base model."""
        return self._engine.tokenizer

    def model(self, name: Switch) -> LanguageModel:
        """The model with one adapter active, or none, whatever was active before each call."""
        return _Switched(self, name, self._engine)  # type: ignore[return-value]  # the rest is the engine's

    @contextmanager
    def switched(self, name: Switch) -> Iterator[None]:
        """One adapter active for a while, or none."""
        adapted = self._adapted
        if name is None:
            with adapted.disable_adapter():
                yield
        elif isinstance(adapted, Bottlenecked):
            adapted.active = self._labels[name]
            yield
        else:
            adapted.set_adapter(self._labels[name])
            adapted.requires_grad_(False)
            yield

    @property
    def switches_rows(self) -> bool:
        """Whether the rows of one batch may have different adapters."""
        if isinstance(self._adapted, Bottlenecked):
            return True
        configs = self._adapted.peft_config.values()
        return all(one.peft_type.value == "LORA" and not one.use_dora and not one.modules_to_save for one in configs)

    def logits_of_rows(self, rows: Sequence[tuple[Switch, Sequence[int]]]) -> list[NDArray[np.float32]]:
        """Logits of a batch whose rows have adapters of their own; one array (tokens, vocabulary) a row.

        Args:
            rows: For each row the name of its adapter, and its tokens.
        """
        batch = PaddedBatch.of([list(tokens) for _, tokens in rows], pad_id=0, pad_left=False)
        ids, mask = (torch.from_numpy(one).to(self._model.device) for one in (batch.ids, batch.mask))
        with torch.inference_mode(), self._plain():
            logits = self._mixed([name for name, _ in rows], {"input_ids": ids, "attention_mask": mask})
        return [found[: len(tokens)] for found, (_, tokens) in zip(logits.float().cpu().numpy(), rows, strict=True)]

    def _mixed(self, names: Sequence[Switch], inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        labels = [None if name is None else self._labels[name] for name in names]
        if isinstance(self._adapted, Bottlenecked):
            self._adapted.active = labels
            return self._adapted(**inputs, use_cache=False).logits
        asked = ["__base__" if label is None else label for label in labels]
        return self._adapted(**inputs, use_cache=False, adapter_names=asked).logits

    @contextmanager
    def _plain(self) -> Iterator[None]:
        """The model's own attention, which reads padded rows."""
        self._model.set_attn_implementation(self._plain_attention)
        try:
            yield
        finally:
            self._model.set_attn_implementation(self._attention)


class _Switched:
    """A language model that makes its adapter the active one before every call."""

    def __init__(self, family: SideBySide, name: Switch, engine: LanguageModel) -> None:
        self._family, self._name, self._engine = family, name, engine
        self.workers = 1  # switching is for all threads of the model

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def log_probabilities(self, trees: Sequence[TokenTree]) -> list[NDArray[np.float64]]:
        """See `LanguageModel`."""
        with self._family.switched(self._name):
            return self._engine.log_probabilities(trees)

    def logits(self, batch: PaddedBatch) -> list[NDArray[np.float32]]:
        """See `LanguageModel`."""
        with self._family.switched(self._name):
            return self._engine.logits(batch)

    def decoder(self, *, rows: int, length: int) -> Decoder:
        """See `LanguageModel`."""
        return _SwitchedDecoder(self._family, self._name, self._engine.decoder(rows=rows, length=length))


class _SwitchedDecoder:
    def __init__(self, family: SideBySide, name: Switch, decoder: Decoder) -> None:
        self._family, self._name, self._decoder = family, name, decoder

    @property
    def room(self) -> int:
        """See `Decoder`."""
        return self._decoder.room

    def add(self, prompts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """See `Decoder`."""
        with self._family.switched(self._name):
            return self._decoder.add(prompts)

    def step(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """See `Decoder`."""
        with self._family.switched(self._name):
            return self._decoder.step(tokens)

    def drop(self, row: int) -> None:
        """See `Decoder`."""
        self._decoder.drop(row)


def check_family(checkpoints: Mapping[str, Checkpoint]) -> None:
    """Raise unless checkpoints are adapters that one base model can carry.

    Raises:
        InputError: If one is no adapter, or they differ in base model, quantisation or kind.
    """
    plain = [name for name, one in checkpoints.items() if one.kind != "adapter"]
    if plain:
        raise InputError(
            f"'{plain[0]}' has no adapter: its weights are a whole model.\n"
            "Side by side stand adapters of one base model: train with lora, qlora or adapters."
        )
    facts = {
        "base models": {name: weights_digest(folder_of(base_of(one)))[:12] for name, one in checkpoints.items()},
        "quantisations": {name: str(read_quantization(one.path)) for name, one in checkpoints.items()},
        "kinds of adapter": {
            name: "bottleneck" if is_bottleneck(one.path) else "peft" for name, one in checkpoints.items()
        },
    }
    for what, found in facts.items():
        if len(set(found.values())) > 1:
            listed = "; ".join(f"{name}: {value}" for name, value in found.items())
            raise InputError(
                f"The adapters have different {what}: {listed}.\nOne base model in memory carries one kind."
            )


def _loaded(
    checkpoints: Mapping[str, Checkpoint], labels: Mapping[str, str], device: DeviceClass
) -> PeftModel | Bottlenecked:
    first, *others = checkpoints
    name, checkpoint = base_of(checkpoints[first]), checkpoints[first]
    base: PreTrainedModel = load_base_of(checkpoint, torch.float32, device=device)
    folder = folder_of(name)
    model = load_adapter(checkpoint.path, base, base_folder=folder, base_name=name, label=labels[first])
    if is_prompt(model):
        raise InputError(
            f"The adapter of '{first}' is a number of virtual tokens.\n"
            "Side by side stand adapters that change layers: lora, qlora, bottleneck, ia3 and the like."
        )
    for other in others:
        if isinstance(model, Bottlenecked):
            load_bottlenecks(checkpoints[other].path, model, labels[other])
        else:
            add_adapter(checkpoints[other].path, model, base_folder=folder, base_name=name, label=labels[other])
    return model.eval()
