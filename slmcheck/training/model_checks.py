"""Checks of a model before its first update and after its last: faults that train on without an error.

Each check measures one thing that a sound training has and returns a finding where it is missing. The weights are put
back and the random generators are as before, so that a checked training is the same as an unchecked one. A leaf module:
it imports torch at its top and is itself imported only by the loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from slmcheck.errors import CheckpointError
from slmcheck.records import Finding
from slmcheck.training.batches import Batch
from slmcheck.training.label_loss import learned_tokens, learns_virtual_tokens

PROBE_ROWS = 8
PASSES = 30
"""Forward and backward passes over the probe rows that all checks make together, about."""
AFFORDABLE_FLOPS = {"cpu": 1e12, "cuda": 1e15, "mps": 1e13}
"""Work of all checks up to which they are made: about ten seconds."""

LEAST_LOSS = 0.01
LEAST_ADAPTED = 0.3
LEAST_CHANGED = 0.5
LEAST_COSINE = 0.999
LEAST_COSINE_HALF = 0.99
"""The same where weights are half precision."""
LARGEST_DIFFERENCE = 1e-5
LEAST_EFFECT = 1e-4


@dataclass(frozen=True)
class Probe:
    """A model with a few rows, and how its loss is computed while it trains."""

    model: nn.Module
    together: Batch
    """The probe rows in one batch."""
    apart: Sequence[Batch]
    """Each probe row in a batch of its own."""
    loss: Callable[[Sequence[Batch]], Iterator[torch.Tensor]]
    """The loss terms of one update over micro-batches, one a micro-batch, as the training computes them."""
    learning_rate: float
    mixes_rows: bool = False
    """Whether the loss looks at several rows at once: then rows one by one are another loss by its nature."""

    @property
    def trained(self) -> list[tuple[str, nn.Parameter]]:
        """The weights that are trained, by name."""
        return [(name, weight) for name, weight in self.model.named_parameters() if weight.requires_grad]

    @property
    def least_cosine(self) -> float:
        """How alike two gradients of the same rows must be."""
        numbers = (weight for weight in self.model.parameters() if weight.is_floating_point())  # not four-bit codes
        full = all(weight.dtype == torch.float32 for weight in numbers)
        return LEAST_COSINE if full else LEAST_COSINE_HALF


def is_affordable(model: nn.Module, probe_tokens: int, device: str) -> bool:
    """Whether all checks take seconds rather than minutes."""
    weights = float(sum(weight.numel() for weight in model.parameters()))
    return 6.0 * weights * probe_tokens * PASSES <= AFFORDABLE_FLOPS[device]


def check_before(probe: Probe) -> tuple[Finding, ...]:
    """Look for what makes a training go wrong silently; leaves the model and the random generators as they were."""
    with _restored(probe):
        found = (
            _plausible_loss(probe),
            _layers_adapted(probe),
            _same_in_evaluation(probe),
            _evaluation_harmless(probe),
            None if probe.mixes_rows else _accumulation_equal(probe),
            *_gradients_and_updates(probe),
        )
    return tuple(finding for finding in found if finding is not None)


def check_vocabulary(model: nn.Module, tokenizer_size: int) -> Finding | None:
    """Whether every token of the tokenizer has an embedding."""
    rows = int(model.get_input_embeddings().weight.shape[0])
    if tokenizer_size <= rows:
        return None
    return Finding(
        cause="tokens-without-embedding",
        severity="problem",
        summary=f"The tokenizer has {tokenizer_size} tokens, the model has embeddings for {rows}.",
        evidence=("No training row uses the tokens without embedding, or training would have stopped.",),
        remedy="Resize the embeddings of the base model (model.resize_token_embeddings) and save it again.",
    )


def refuse_unknown_tokens(model: nn.Module, largest_id: int, base_model: str) -> None:
    """Refuse rows with a token that the model has no embedding for: reading it would fail somewhere deep inside.

    Raises:
        CheckpointError: If there is one.
    """
    rows = int(model.get_input_embeddings().weight.shape[0])
    if largest_id >= rows:
        raise CheckpointError(
            f"The training rows have a token with number {largest_id}, and '{base_model}' has {rows} embeddings.\n"
            "Its tokenizer does not belong to its weights, or tokens were added without resizing the model.\n"
            "Resize the embeddings (model.resize_token_embeddings) and save the base model again."
        )


def check_after(model: nn.Module, batch: Batch) -> tuple[Finding, ...]:
    """Look at the trained weights: finite, and with an effect where they are an adapter."""
    found = []
    broken = [
        name for name, weight in model.named_parameters() if weight.requires_grad and not bool(weight.isfinite().all())
    ]
    if broken:
        found.append(
            Finding(
                cause="weights-not-finite",
                severity="problem",
                summary=f"{len(broken)} trained tensors hold NaN or infinite values.",
                evidence=tuple(broken[:3]),
                remedy="Lower learning_rate, or use bf16 instead of fp16.",
            )
        )
    if hasattr(model, "disable_adapter"):
        found += _adapter_works(model, batch)
    return tuple(found)


def _adapter_works(model: nn.Module, batch: Batch) -> list[Finding]:
    with torch.no_grad(), _mode(model, training=False):
        trained = learned_tokens(model, batch).logits
        with model.disable_adapter():
            effect = float((learned_tokens(model, batch).logits - trained).abs().max())
    silent = [
        name for name, weight in model.named_parameters() if ".lora_B." in name and not bool(weight.detach().any())
    ]
    if effect > LEAST_EFFECT and not silent:
        return []
    return [
        Finding(
            cause="adapter-without-effect",
            severity="problem",
            summary="The adapter does not change what the base model answers.",
            evidence=(
                f"Largest change of a logit {effect:.2g} (expected above {LEAST_EFFECT:g}).",
                f"{len(silent)} of its second matrices are zero" + (f", such as {silent[0]}." if silent else "."),
            ),
            remedy="Raise learning_rate or the number of updates, and see that target_modules are used by the model.",
        )
    ]


def _plausible_loss(probe: Probe) -> Finding | None:
    vocabulary = int(probe.model.get_input_embeddings().weight.shape[0])
    most = math.log(vocabulary) + 1.0
    with torch.no_grad(), _mode(probe.model, training=False):
        loss = float(torch.cat([_all_tokens(probe.model, batch) for batch in probe.apart]).mean())
    if LEAST_LOSS < loss < most:
        return None
    return Finding(
        cause="base-loss-implausible",
        severity="problem",
        summary=f"The base model gives the training rows {loss:.3g} nats a token before any training.",
        evidence=(f"Guessing among {vocabulary} tokens costs {math.log(vocabulary):.3g}.",),
        remedy="See that tokenizer and weights belong together and that the base model is a pretrained one.",
    )


def _all_tokens(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Nats of every token of a batch but the first of each row."""
    ids, row = batch["input_ids"], batch["row"]
    labels = ids.clone()
    labels[:, 1:][row[:, 1:] != row[:, :-1]] = -100
    mask = batch.get("attention_mask")
    if mask is not None:
        labels[mask == 0] = -100
    return learned_tokens(model, {**batch, "labels": labels}).nll()


def _layers_adapted(probe: Probe) -> Finding | None:
    if not hasattr(probe.model, "peft_config") or learns_virtual_tokens(probe.model):
        return None
    from peft.tuners.tuners_utils import BaseTunerLayer

    adapted = [name for name, module in probe.model.named_modules() if isinstance(module, BaseTunerLayer)]
    head = probe.model.get_base_model().get_output_embeddings()
    plain = [
        name
        for name, module in probe.model.named_modules()
        if isinstance(module, nn.Linear) and module is not head and not any(name.startswith(at + ".") for at in adapted)
    ]
    share = len(adapted) / max(1, len(adapted) + len(plain))
    if share >= LEAST_ADAPTED:
        return None
    return Finding(
        cause="few-layers-adapted",
        severity="warning",
        summary=f"The adapter sits on {len(adapted)} of {len(adapted) + len(plain)} linear layers.",
        evidence=tuple(adapted[:3]),
        remedy="Use target_modules: all-linear unless fewer layers are meant.",
        recipe_patch={"options.target_modules": "all-linear"},
    )


def _same_in_evaluation(probe: Probe) -> Finding | None:
    with torch.no_grad(), _mode(probe.model, training=False):
        first, second = (learned_tokens(probe.model, probe.together).logits for _ in range(2))
    difference = float((first - second).abs().max())
    if difference <= LARGEST_DIFFERENCE:
        return None
    return Finding(
        cause="evaluation-not-deterministic",
        severity="problem",
        summary="The model answers the same rows differently twice in evaluation mode.",
        evidence=(f"Largest difference of a logit {difference:.2g}.",),
        remedy="Some dropout ignores evaluation mode: set its probability to 0 in the model's configuration.",
    )


def _evaluation_harmless(probe: Probe) -> Finding | None:
    before = _gradient(probe, [probe.together])
    with torch.no_grad(), _mode(probe.model, training=False):
        learned_tokens(probe.model, probe.together)
    return _gradients_differ(
        probe,
        before,
        _gradient(probe, [probe.together]),
        cause="evaluation-changes-training",
        summary="After an evaluation the gradients of the same rows are others.",
        compared="the gradients before and after",
        remedy="A library changes the weights while evaluating (packing of quantised layers, say): turn that off.",
    )


def _accumulation_equal(probe: Probe) -> Finding | None:
    return _gradients_differ(
        probe,
        _gradient(probe, [probe.together]),
        _gradient(probe, probe.apart),
        cause="accumulation-changes-gradient",
        summary=f"{len(probe.apart)} rows give another gradient one by one than together.",
        compared="the two gradients",
        remedy="The loss is averaged twice: divide by the tokens of the whole accumulated batch.",
    )


def _gradients_differ(
    probe: Probe,
    first: torch.Tensor,
    second: torch.Tensor,
    *,
    cause: str,
    summary: str,
    compared: str,
    remedy: str,
) -> Finding | None:
    cosine = _cosine(first, second)
    if cosine > probe.least_cosine:
        return None
    return Finding(
        cause=cause,
        severity="problem",
        summary=summary,
        evidence=(f"Cosine of {compared} {cosine:.3f} (expected above {probe.least_cosine}).",),
        remedy=remedy,
    )


def _gradients_and_updates(probe: Probe) -> list[Finding]:
    """Two updates by the sign of the gradient: which tensors get one, and which weights move."""
    reached, moved, total = set[str](), 0, 0
    with _mode(probe.model, training=True):
        for _ in range(2):
            _backward(probe, [probe.together])
            for name, weight in probe.trained:
                if weight.grad is None or not bool(weight.grad.any()):
                    continue
                reached.add(name)
                old = weight.detach().clone()
                weight.data -= (probe.learning_rate * weight.grad.sign()).to(weight.dtype)
                asked = weight.grad != 0
                moved += int((weight.detach() != old)[asked].sum())
                total += int(asked.sum())
    found = []
    cut = [name for name, _ in probe.trained if name not in reached]
    if cut:
        found.append(
            Finding(
                cause="graph-cut",
                severity="problem",
                summary=f"{len(cut)} of {len(probe.trained)} trained tensors get no gradient.",
                evidence=tuple(cut[:3]),
                remedy="The graph is cut before them: with gradient_checkpointing use the non-reentrant form.",
            )
        )
    share = moved / max(1, total)
    if share <= LEAST_CHANGED:
        found.append(
            Finding(
                cause="updates-vanish",
                severity="problem",
                summary=f"Only {share:.0%} of the weights move in an update of size {probe.learning_rate:g}.",
                evidence=("The weights are stored too coarsely for updates of this size.",),
                remedy="Keep trained weights in float32 (bf16 for activations only), or raise learning_rate.",
            )
        )
    return found


def _gradient(probe: Probe, batches: Sequence[Batch]) -> torch.Tensor:
    """The gradient of an update over micro-batches, without dropout, as one vector."""
    with _mode(probe.model, training=False):
        _backward(probe, batches)
    return torch.cat([weight.grad.flatten().double() for _, weight in probe.trained if weight.grad is not None])


def _backward(probe: Probe, batches: Sequence[Batch]) -> None:
    probe.model.zero_grad()
    for loss in probe.loss(batches):
        loss.backward()


def _cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(torch.dot(one, other) / (one.norm() * other.norm()).clamp_min(1e-30))


@contextmanager
def _restored(probe: Probe) -> Iterator[None]:
    """Afterwards trained weights, gradients, mode and random generators are as before."""
    copies = [(weight, weight.detach().clone()) for _, weight in probe.trained]
    was_training = probe.model.training
    devices = [weight.device for weight, _ in copies[:1] if weight.device.type == "cuda"]
    with torch.random.fork_rng(devices=devices):
        yield
    for weight, copy in copies:
        weight.data.copy_(copy)
    probe.model.zero_grad()
    probe.model.train(was_training)


@contextmanager
def _mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    was_training = model.training
    model.train(training)
    yield
    model.train(was_training)
