"""Adapters of one base model loaded together: what each answers among the others, and whether they keep apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from slmcheck import inference
from slmcheck.backends.environment import expected_environment, worker_threads
from slmcheck.data import row_digest
from slmcheck.data.encoding import encode_prompt
from slmcheck.data.rendering import CLASSIFICATIONS
from slmcheck.errors import OfflineMissError
from slmcheck.pipeline.predicting import join, load_model, release_models
from slmcheck.records import (
    Checkpoint,
    DeviceClass,
    Example,
    Json,
    PredictedRow,
    Prediction,
    PredictionKind,
    Recipe,
    from_json,
    to_json,
)
from slmcheck.storage import digest
from slmcheck.workspace import Workspace

if TYPE_CHECKING:
    from slmcheck.backends import LanguageModel
    from slmcheck.backends.side_by_side import SideBySide

VERSION = 1
"""Changes when the same adapters would give other measurements."""
SAMPLE = 8
"""Rows of each run whose logits are compared."""


Logits = list[NDArray[np.float32]]
"""One array (tokens, vocabulary) a row."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One run of a family."""

    checkpoint: Checkpoint
    recipe: Recipe
    examples: tuple[Example, ...]
    """Its evaluation split."""

    @property
    def kind(self) -> PredictionKind:
        """What it is asked."""
        if self.recipe.task in CLASSIFICATIONS:
            return "options"
        return "nll" if self.recipe.task == "language_modeling" else "generate"


@dataclass(frozen=True, kw_only=True)
class Interference:
    """How an adapter among others differs from the same adapter alone, on a sample of rows.

    Differences are the largest of a logit, in standard deviations of the logits of the adapter alone.
    """

    batch: float
    """The adapter switched on for a whole batch."""
    row: float | None
    """Batches whose rows have different adapters; None where this kind of adapter is switched by batches only."""
    effect: float
    """How far the adapter is from the base model: 0 would mean that it is not active."""
    nearest: float
    """Share of rows whose logits among the others are nearer to their own adapter alone than to any other of the
    family and to the base model."""


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A family as it was measured."""

    rows: Mapping[str, tuple[PredictedRow, ...]]
    """What each adapter answered among the others."""
    interference: Mapping[str, Interference]
    base: float
    """Largest difference of a logit between the base model with all adapters switched off and without them."""


def beside(members: Mapping[str, Member], workspace: Workspace) -> Beside:
    """Load the adapters of a family onto one base model and measure them; kept in the store.

    Raises:
        InputError: If they cannot stand beside each other.
        OfflineMissError: If it would have to be measured and the session is offline.
    """
    key = digest("beside", _inputs(members))
    stored = workspace.store.read_findings(key)
    if stored is not None:
        return from_json(Beside, stored)
    if workspace.offline:
        raise OfflineMissError(
            f"The store has no measurement of {', '.join(members)} side by side, and this session is offline.\n"
            "Measure them where models may be loaded (without --slm-offline)."
        )
    from slmcheck.backends import load_side_by_side

    checkpoints = {name: member.checkpoint for name, member in members.items()}
    device = expected_environment(next(iter(checkpoints.values())), device=workspace.device).device
    with workspace.store.slot(device, worker_threads()):
        family = load_side_by_side(checkpoints, device=device, threads=worker_threads())
        found = _measured(members, family, device)
    workspace.store.write_findings(key, to_json(found))
    release_models()
    return found


def joined(member: Member, rows: Sequence[PredictedRow]) -> tuple[Prediction, ...]:
    """Predicted rows with the references of a member's examples."""
    found = {row.row: row for row in rows}
    digests = [row_digest(example, member.kind, member.recipe) for example in member.examples]
    return tuple(join(example, found[one]) for example, one in zip(member.examples, digests, strict=True))


def _measured(members: Mapping[str, Member], family: SideBySide, device: DeviceClass) -> Beside:
    from slmcheck.backends import load_base_alone

    answers = {}
    for name, member in members.items():
        rows: list[PredictedRow] = []
        inference.predict(
            family.model(name), member.examples, kind=member.kind, recipe=member.recipe, on_rows=rows.extend
        )
        answers[name] = tuple(rows)
    prompts = {name: _prompts(member, family.tokenizer) for name, member in members.items()}
    alone = {name: _alone(members, name, prompts, device) for name in members}
    first = next(iter(members.values()))
    plain = load_base_alone(first.checkpoint, device=device, threads=worker_threads())
    base = {name: _asked(plain, tokens) for name, tokens in prompts.items()}
    switched_off = {name: _asked(family.model(None), tokens) for name, tokens in prompts.items()}
    mixed = _mixed(family, prompts) if family.switches_rows else None
    interference = {}
    for name, tokens in prompts.items():
        own = alone[name][name]
        batch = _asked(family.model(name), tokens)
        rivals = [base[name], *(alone[other][name] for other in members if other != name)]
        found = batch if mixed is None else mixed[name]
        interference[name] = Interference(
            batch=_difference(batch, own),
            row=None if mixed is None else _difference(mixed[name], own),
            effect=_difference(base[name], own),
            nearest=_share_nearest(found, own, rivals),
        )
    largest = max(_difference(switched_off[name], base[name]) for name in members)
    return Beside(rows=answers, interference=interference, base=largest)


def _alone(
    members: Mapping[str, Member], name: str, prompts: Mapping[str, Sequence[Sequence[int]]], device: DeviceClass
) -> Mapping[str, Logits]:
    """Logits of an adapter that is loaded by itself, on the prompts of every run."""
    model = load_model(members[name].checkpoint, device, worker_threads())
    return {other: _asked(model, tokens) for other, tokens in prompts.items()}


def _asked(model: LanguageModel, prompts: Sequence[Sequence[int]]) -> Logits:
    from slmcheck.backends import PaddedBatch

    found: Logits = model.logits(PaddedBatch.of(prompts, pad_id=0, pad_left=False))
    return found


def _mixed(family: SideBySide, prompts: Mapping[str, Sequence[Sequence[int]]]) -> Mapping[str, Logits]:
    """Every prompt in one batch, in turn of one adapter and of another, the base model between them."""
    longest = max(len(rows) for rows in prompts.values())
    places: list[tuple[str, int]] = []
    batch: list[tuple[str | None, Sequence[int]]] = []
    for index in range(longest):
        for name, rows in prompts.items():
            if index < len(rows):
                places.append((name, index))
                batch.append((name, rows[index]))
        batch.append((None, batch[-1][1]))
        places.append(("", index))
    found: dict[str, Logits] = {name: [] for name in [*prompts, ""]}
    for (name, _), logits in zip(places, family.logits_of_rows(batch), strict=True):
        found[name].append(logits)
    return found


def _difference(found: Logits, expected: Logits) -> float:
    spread = float(np.std(np.concatenate(expected)))
    largest = max(float(np.abs(one - other).max()) for one, other in zip(found, expected, strict=True))
    return largest / max(spread, 1e-12)


def _share_nearest(found: Logits, own: Logits, rivals: Sequence[Logits]) -> float:
    near = 0
    for index, logits in enumerate(found):
        distance = float(np.abs(logits - own[index]).mean())
        near += all(distance < float(np.abs(logits - rival[index]).mean()) for rival in rivals)
    return near / len(found)


def _prompts(member: Member, tokenizer: object) -> list[tuple[int, ...]]:
    step = max(1, len(member.examples) // SAMPLE)
    chosen = member.examples[::step][:SAMPLE]
    if member.recipe.task == "language_modeling":
        from slmcheck.data.encoding import encode

        return [
            tuple(encode(one, tokenizer, recipe=member.recipe).ids)[: member.recipe.data.max_length] for one in chosen
        ]
    return [encode_prompt(one, tokenizer, recipe=member.recipe) for one in chosen]


def _inputs(members: Mapping[str, Member]) -> Json:
    return {
        "version": VERSION,
        "inference": inference.CACHE_VERSION,
        "members": [
            {
                "name": name,
                "checkpoint": member.checkpoint.key,
                "kind": member.kind,
                "rows": [row_digest(example, member.kind, member.recipe) for example in member.examples],
                "evaluation": to_json(member.recipe.evaluation),
            }
            for name, member in members.items()
        ],
    }
