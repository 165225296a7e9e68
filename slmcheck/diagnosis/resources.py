"""Findings about what a training took: memory, waiting, utilisation."""

from __future__ import annotations

from collections.abc import Iterator

from slmcheck.diagnosis import thresholds
from slmcheck.diagnosis.observed import Observed
from slmcheck.records import EvidenceNumber, Finding, Json

LEAST_SECONDS = 20.0
"""Shorter trainings mostly start and stop."""


def resource_findings(seen: Observed) -> Iterator[Finding]:
    """What the training took and wasted."""
    yield from _near_limit(seen)
    yield from _waiting(seen)
    yield from _idle(seen)


def _near_limit(seen: Observed) -> Iterator[Finding]:
    peak, whole = seen.resources.peak_memory_bytes, seen.machine_bytes
    if not peak or not whole or peak <= thresholds.MEMORY_SHARE * whole:
        return
    patch: dict[str, Json] = {} if seen.recipe.gradient_checkpointing else {"gradient_checkpointing": True}
    batch = seen.recipe.per_device_train_batch_size
    if not patch and batch > 1:
        patch = {
            "per_device_train_batch_size": max(1, batch // 2),
            "gradient_accumulation_steps": 2 * seen.recipe.gradient_accumulation_steps,
        }
    yield Finding(
        cause="memory-near-limit",
        severity="warning",
        summary=f"The training took {peak / 2**30:.1f} of {whole / 2**30:.1f} GiB.",
        numbers=(EvidenceNumber(name="share of the memory", value=peak / whole, unit="share"),),
        remedy="Checkpoint gradients, or halve the batch and accumulate twice as often.",
        recipe_patch=patch,
        next_experiment=f"slmcheck plan {seen.recipe.name}",
    )


def _waiting(seen: Observed) -> Iterator[Finding]:
    waited, seconds = seen.resources.waited_seconds, seen.resources.seconds
    if waited is None or not seconds or seconds < LEAST_SECONDS or waited <= thresholds.WAITED * seconds:
        return
    yield Finding(
        cause="slow-data-loading",
        severity="warning",
        summary=f"Updates waited {waited / seconds:.0%} of the time for their rows.",
        evidence=(f"{waited:.1f} of {seconds:.1f} seconds.",),
        numbers=(
            EvidenceNumber(name="share of the time spent waiting for rows", value=waited / seconds, unit="share"),
        ),
        remedy="Larger batches make fewer of them; keep the store on a local disk.",
        next_experiment=f"slmcheck plan {seen.recipe.name}",
    )


def _idle(seen: Observed) -> Iterator[Finding]:
    took = seen.resources
    if took.cpu_seconds is None or not took.seconds or took.seconds < LEAST_SECONDS or took.peak_gpu_memory_bytes:
        return
    share = took.cpu_seconds / (took.seconds * max(1, seen.threads))
    if share >= thresholds.UTILISATION:
        return
    yield Finding(
        cause="low-utilisation",
        severity="warning",
        summary=f"The training computed {share:.0%} of its time on {seen.threads} "
        f"thread{'s' if seen.threads != 1 else ''}.",
        evidence=(f"{took.cpu_seconds:.1f} processor seconds in {took.seconds:.1f} seconds.",),
        numbers=(EvidenceNumber(name="utilisation", value=share, unit="share"),),
        remedy="Something else ran beside it, or the model is too small for so many threads: lower threads.",
        recipe_patch={"threads": 1} if seen.threads > 1 else {},
        next_experiment=f"slmcheck train {seen.recipe.name} --retrain",
    )
