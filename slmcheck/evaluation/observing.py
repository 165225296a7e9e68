"""A run -> everything that diagnosis reads of it: answers, history, rows, what the machine had."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from slmcheck import pipeline
from slmcheck.data import with_shots
from slmcheck.diagnosis import CHANGES, Answers, Continued, Observed, changed, read_rows
from slmcheck.diagnosis.row_history import FILE_NAME, Floats
from slmcheck.errors import OfflineMissError, SlmcheckError
from slmcheck.evaluation.run import Run
from slmcheck.evaluation.trivial import trivial_predictions
from slmcheck.evaluation.views import Part, View, default_kind
from slmcheck.metrics import METRICS, resolve
from slmcheck.pipeline import findings_of
from slmcheck.records import Example, Prediction, Recipe, Task

METRIC: dict[Task, str] = {
    "classification": "accuracy",
    "sequence_classification": "accuracy",
    "generation": "f1",
    "extraction": "exact_match",
    "language_modeling": "loss",
}
"""What an answer's goodness is, by task."""
Depth = Literal["held", "beside", "whole"]
"""What is asked that the store lacks: nothing; what stands beside a score; everything."""
CHANGED_ROWS = 100
RELOADED_ROWS = 32
CONTINUED_ROWS = 32
CONTINUED_TOKENS = 24
LEAST_WORDS = 5
"""A shorter continuation is no recital."""


@dataclass
class Observer:
    """Asks a run for what diagnosis reads; what cannot be asked is noted and left out."""

    run: Run
    notes: list[str] = field(default_factory=list)
    works: bool = False
    """Whether the model of the run is asked."""

    def observe(self, depth: Depth) -> Observed:
        """Everything about the run.

        Args:
            depth: What models are asked of what the store lacks.
        """
        self.works = depth == "whole"
        run = self.run if self.works else _held(self.run)
        recipe, record = run.recipe, run.record
        evaluation = self._answers(run, "evaluation", "the evaluation split")
        trained = run.checkpoint.kind in ("adapter", "model") and bool(record.history)
        rows = read_rows(record.directory / FILE_NAME) if trained else None
        return Observed(
            recipe=recipe,
            splits=run.splits,
            metric=METRIC[recipe.task],
            unit="nats" if recipe.task == "language_modeling" else "share",
            history=record.history,
            best_step=record.best_step,
            last_step=record.last_step,
            rows=rows,
            evaluation=evaluation,
            train=self._answers(run, "train", "training rows") if run.splits.train else None,
            base=self._base(run if depth == "held" or evaluation is None else self._asking_base()),
            trivial=self._trivial(run) if evaluation is not None else {},
            reloaded=self._reloaded(run) if rows is not None else None,
            changed_prompts=self._changed_prompts(run) if evaluation is not None else {},
            continued=self._continued(run) if trained else None,
            unparsable=self._unparsable(recipe, evaluation),
            early=findings_of(run.key, run.workspace),
            resources=record.resources,
            threads=record.environment.threads,
            machine_bytes=None if record.made_elsewhere else machine_bytes(),
        )

    def _ask(self, what: str, ask: Callable[[], Answers | Continued | None]) -> Answers | Continued | None:
        """What was asked; None with a note where this session may not ask, or the model cannot answer."""
        try:
            return ask()
        except OfflineMissError:
            self.notes.append(f"Not looked at: {what} (the store has no answers, and this session asks no model).")
        except SlmcheckError as error:
            self.notes.append(f"Not looked at: {what}: {str(error).splitlines()[0]}")
        return None

    def _answers(self, view: View, part: Part, what: str) -> Answers | None:
        found = self._ask(what, lambda: answers_of(view.recipe, view.predictions(part)))
        return found if isinstance(found, Answers) else None

    def _asking_base(self) -> Run:
        """The run whose base model may be asked: always for a choice or a likelihood, which cost what the run's did."""
        return _held(self.run) if not self.works and default_kind(self.run.recipe) == "generate" else self.run

    def _base(self, run: Run) -> Answers | None:
        if run.checkpoint.kind == "predictions" or run.recipe.task == "sequence_classification":
            return None
        if run.recipe.trainer == "pretrained":
            return None
        found = self._ask("the base model", lambda: answers_of(run.recipe, run.base.predictions()))
        return found if isinstance(found, Answers) else None

    def _trivial(self, run: Run) -> dict[str, Answers]:
        made = trivial_predictions(run, work=True)
        return {name: answers_of(run.recipe, found) for name, found in made.items()}

    def _reloaded(self, run: Run) -> Answers | None:
        recipe = run.recipe
        if recipe.task in ("sequence_classification", "language_modeling") or not run.splits.validation:
            return None
        rows = sorted(run.splits.validation, key=lambda item: item.id)[:RELOADED_ROWS]

        def ask() -> Answers:
            found = pipeline.predict(run.checkpoint, rows, "nll", recipe, run.workspace)
            return Answers(predictions=found, values=np.zeros(len(found)))

        found = self._ask("whether the stored weights are the trained ones", ask)
        return found if isinstance(found, Answers) else None

    def _changed_prompts(self, run: Run) -> dict[str, Answers]:
        recipe = run.recipe
        if recipe.task == "language_modeling" or run.checkpoint.kind == "predictions":
            return {}
        split = run.splits.of(run.splits.evaluation_split(recipe))
        rows = sorted(split, key=lambda item: item.id)[:CHANGED_ROWS]
        found: dict[str, Answers] = {}
        for kind in CHANGES:
            asked = with_shots(recipe, run.splits, changed(recipe, rows, kind))
            if asked:
                answers = self._ask(f"prompts changed by {kind}", lambda rows=asked: _asked(run, rows))  # type: ignore[misc]
                if isinstance(answers, Answers):
                    found[kind] = answers
        return found

    def _continued(self, run: Run) -> Continued | None:
        learns_text = run.recipe.task == "language_modeling" or run.recipe.data.loss_on == "all"
        if not learns_text or run.recipe.data.messages is not None or run.recipe.task == "sequence_classification":
            return None
        held_out = run.splits.of(run.splits.evaluation_split(run.recipe))
        found = self._ask("whether training rows are recited", lambda: _continue(run, run.splits.train, held_out))
        return found if isinstance(found, Continued) else None

    @staticmethod
    def _unparsable(recipe: Recipe, answers: Answers | None) -> Floats | None:
        if answers is None or recipe.task not in ("generation", "extraction"):
            return None
        empty = np.array([float(not (found.prediction or "").strip()) for found in answers.predictions])
        if "unparsable" not in METRICS[recipe.task]:
            return empty
        return np.asarray(np.maximum(empty, _values("unparsable", recipe, answers.predictions)))


def answers_of(recipe: Recipe, predictions: Sequence[Prediction]) -> Answers:
    """Predictions with how good each of them is under the task's main metric."""
    metric = METRIC[recipe.task]
    values = _values(metric, recipe, predictions)
    return Answers(predictions=tuple(predictions), values=-values if metric == "loss" else values)


def _values(metric: str, recipe: Recipe, predictions: Sequence[Prediction]) -> Floats:
    statistics = resolve(metric, recipe.task).statistics(predictions)
    assert not isinstance(statistics, float)
    return np.asarray(statistics.value_of_sum(statistics.per_example), dtype=np.float64)


def _held(run: Run) -> Run:
    """The same run in a workspace that asks no model."""
    return Run(run.records, run.splits, replace(run.workspace, offline=True))


def _asked(run: Run, rows: Sequence[Example]) -> Answers:
    kind = default_kind(run.recipe)
    return answers_of(run.recipe, pipeline.predict(run.checkpoint, rows, kind, run.recipe, run.workspace))


def _continue(run: Run, train: Sequence[Example], held_out: Sequence[Example]) -> Continued | None:
    settings = replace(
        run.recipe.evaluation, max_new_tokens=CONTINUED_TOKENS, temperature=0.0, few_shot=0, samples=1, stop=()
    )
    recipe = replace(run.recipe, task="generation", evaluation=settings)
    halves = [[half for item in _first(rows) if (half := _half(item)) is not None] for rows in (train, held_out)]
    if not all(halves):
        return None
    told = [pipeline.predict(run.checkpoint, rows, "generate", recipe, run.workspace) for rows in halves]
    train_told, held_told = (np.array([float(_is_recited(one)) for one in found]) for found in told)
    recited = tuple(found.id for found, is_one in zip(told[0], train_told, strict=True) if is_one)
    return Continued(train=train_told, held_out=held_told, examples=recited)


def _first(rows: Sequence[Example]) -> Sequence[Example]:
    return sorted(rows, key=lambda item: item.id)[:CONTINUED_ROWS]


def _half(item: Example) -> Example | None:
    """A row whose first half is the prompt and whose second half counts as right; None for a row too short."""
    words = (item.prompt + item.answer).split(" ")
    if len(words) < 4 * LEAST_WORDS:
        return None
    middle = len(words) // 2
    rest = " " + " ".join(words[middle:])
    return replace(
        item, prompt=" ".join(words[:middle]), answer=rest, references=(rest.strip(),), options=(), option_texts=()
    )


def _is_recited(found: Prediction) -> bool:
    told, real = (found.prediction or "").split(), found.reference.split()
    told = told[:-1] if not found.finished else told  # the last word may be cut
    return len(told) >= LEAST_WORDS and real[: len(told)] == told


def machine_bytes() -> int | None:
    """Memory of this machine; None where it does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None
