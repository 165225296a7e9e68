"""Finished training: checkpoints, histories, resources, environments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from slmcheck.records.recipe import Recipe

CheckpointKind = Literal["model", "adapter", "onnx", "predictions"]
DeviceClass = Literal["cpu", "cuda", "mps"]


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where work was done; recorded beside a result, never part of what was asked for."""

    device: DeviceClass = "cpu"
    """Device class, without the model of the device."""
    dtype: str = "float32"
    """Type of the weights during the forward pass."""
    threads: int = 1
    """Threads of one process."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Full versions of the libraries that decide numbers: torch, transformers, peft, tokenizers, slmcheck."""

    def __str__(self) -> str:
        torch = self.versions.get("torch")
        return f"{self.device}, torch {torch}" if torch else self.device


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Weights on disk and what is needed to load them."""

    kind: CheckpointKind
    path: Path
    """Folder of the model, adapter or graph; a file for saved predictions."""
    key: str
    """Hash of the weights, and for an adapter of its base model too."""
    base_model: str | None = None
    """Folder or hub id of the base model, for an adapter."""
    precision: str = "fp32"
    trust_remote_code: bool = False


@dataclass(frozen=True, kw_only=True)
class HistoryPoint:
    """One moment of a training; losses in nats per supervised token."""

    step: int
    """Updates done; 0 is before the first."""
    epoch: float = 0.0
    """Passes over the training rows."""
    train_loss: float | None = None
    """Running loss of the updates since the last point: dropout on, weights moving."""
    validation_loss: float | None = None
    """Loss of the validation rows, dropout off."""
    train_subset_loss: float | None = None
    """Loss of a fixed part of the training rows, on the same footing as `validation_loss`."""
    learning_rate: float | None = None
    """Of the last update."""
    gradient_norm: float | None = None
    """Length of the last gradient before it was clipped."""
    seconds: float | None = None
    """Since the training began."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a training took."""

    seconds: float | None = None
    """Wall time of the training process."""
    cpu_seconds: float | None = None
    """Processor time of the training process, all its threads together."""
    waited_seconds: float | None = None
    """Wall time in which updates waited for their rows."""
    tokens: int | None = None
    """Real tokens seen by the updates, padding excluded."""
    tokens_per_second: float | None = None
    """`tokens` over the wall time."""
    peak_memory_bytes: int | None = None
    """Peak resident size of the training process."""
    peak_gpu_memory_bytes: int | None = None
    """Peak of the memory that was allocated on the GPU; None without one."""
    trained_parameters: int | None = None
    """Parameters that the trainer changed."""
    total_parameters: int | None = None
    """Parameters of the model, the trained ones included."""


@dataclass(frozen=True, kw_only=True)
class UsagePoint:
    """What a training took since the point before, seen every few seconds."""

    step: int
    """Updates so far."""
    seconds: float
    """Since the training began, over all its attempts."""
    tokens_per_second: float | None = None
    """Real tokens that updates saw, padding excluded."""
    cpu_cores: float | None = None
    """Processor time over wall time: how many cores were busy."""
    resident_bytes: int | None = None
    """Resident size of the training process."""
    gpu_utilisation: float | None = None
    """Share of the time in which the GPU was busy, from 0 to 1; None without one or without nvidia-ml-py."""
    gpu_bytes: int | None = None
    """Memory allocated on the GPU."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One finished execution of a recipe."""

    name: str
    key: str
    recipe: Recipe
    checkpoint: Checkpoint
    environment: Environment
    directory: Path
    """Its entry in the store."""
    history: tuple[HistoryPoint, ...] = ()
    best_step: int | None = None
    """The step whose weights are the checkpoint."""
    last_step: int | None = None
    stopped_early: bool = False
    resources: Resources = field(default_factory=Resources)
    usage: tuple[UsagePoint, ...] = ()
    """Processor, memory and speed over time."""
    engine: str = ""
    """How batches were made and attention computed, in words."""
    notes: tuple[str, ...] = ()
    created: str = ""
    """UTC, ISO 8601."""
    made_elsewhere: bool = False
    """Found in the store under another environment than this machine's."""
