"""A checkpoint on a set of examples, read by metric names: what runs, base models, slices and exports share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from typing import Literal

from slmcheck import pipeline
from slmcheck.data import Splits, train_subset, with_shots
from slmcheck.errors import UndefinedScoreError
from slmcheck.evaluation.seed_spread import siblings, with_seed_spread
from slmcheck.gates import Score, ScoreSource, gap, mean_of_seeds
from slmcheck.metrics import Metric, as_metric, confusion, resolve
from slmcheck.metrics.custom import MetricFunction
from slmcheck.records import Checkpoint, ConfusionRecord, Example, Prediction, PredictionKind, Recipe, RunRecord
from slmcheck.records.disclosure import Disclosure
from slmcheck.workspace import Workspace

Part = Literal["evaluation", "train"]
MetricLike = str | Metric | MetricFunction


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Whose answers are scored: one checkpoint, or one a seed."""

    name: str
    recipe: Recipe
    checkpoints: tuple[Checkpoint, ...]
    run_keys: tuple[str | None, ...]
    """The run behind each checkpoint; None for a base model."""
    notes: tuple[str, ...] = ()


class View:
    """Scores of a subject on the evaluation split or a slice of it.

    Every built-in metric of the task is an attribute: `view.accuracy`. Others go through `measure`.
    """

    def __init__(
        self, subject: Subject, splits: Splits, workspace: Workspace, *, slice_name: str | None = None
    ) -> None:
        self._subject = subject
        self._splits = splits
        self._workspace = workspace
        self._slice = slice_name

    @property
    def name(self) -> str:
        """Whose scores these are, as messages say it."""
        return self._subject.name

    @property
    def recipe(self) -> Recipe:
        """The recipe whose template, rows and settings are used."""
        return self._subject.recipe

    @property
    def subject(self) -> Subject:
        """Whose answers are scored."""
        return self._subject

    @property
    def splits(self) -> Splits:
        """The examples of all splits."""
        return self._splits

    @property
    def workspace(self) -> Workspace:
        """Where results are kept and what may be computed."""
        return self._workspace

    def __repr__(self) -> str:
        return f"<{self.name}{f', slice {self._slice}' if self._slice else ''}>"

    def __getattr__(self, name: str) -> Score:
        if name.startswith("_"):
            raise AttributeError(name)
        return self.measure(name)

    def measure(self, metric: MetricLike) -> Score:
        """The score of a built-in metric by name, of a `Metric`, or of a plain function of predictions.

        Raises:
            UnknownMetricError: If the task defines no metric of that name.
            UndefinedScoreError: If the metric has no value on these predictions.
        """
        return self._score(self._metric(metric), "evaluation")

    def gap(self, metric: str = "accuracy") -> Score:
        """How much better the training rows score than the evaluation split; larger means more overfitting.

        The training rows are a fixed subset of at most 500, predicted by the same call. `loss` stands for the
        likelihood in nats a token.
        """
        resolved = self._metric("loss" if metric == "perplexity" else metric)
        return gap(self._score(resolved, "train"), self._score(resolved, "evaluation"))

    def slice(self, name: str) -> View:
        """The same subject on a slice that the recipe names.

        Raises:
            UndefinedScoreError: If the recipe has no such slice, or no example is in it.
        """
        known = sorted(self.recipe.data.slices)
        if name not in known:
            close = get_close_matches(name, known, n=1)
            raise UndefinedScoreError(
                f"Recipe '{self.recipe.name}' has no slice '{name}'.\nSlices: {', '.join(known) or 'none'}."
                + (f" Did you mean '{close[0]}'?" if close else "")
                + "\nName it under data.slices of the recipe."
            )
        view = View(self._subject, self._splits, self._workspace, slice_name=name)
        if not view.examples():
            raise UndefinedScoreError(
                f"No example of the evaluation split is in slice '{name}' of recipe '{self.recipe.name}'.\n"
                "Change the condition under data.slices, or add rows."
            )
        return view

    def examples(self, part: Part = "evaluation") -> tuple[Example, ...]:
        """The examples that are scored, in file order."""
        evaluated = self._splits.validation if self.recipe.evaluates_on_validation else self._splits.test
        found: Sequence[Example] = evaluated if part == "evaluation" else train_subset(self._splits, len(evaluated))
        chosen = [example for example in found if self._slice is None or self._slice in example.slices]
        return with_shots(self.recipe, self._splits, chosen)

    def predictions(self, part: Part = "evaluation", kind: PredictionKind | None = None) -> tuple[Prediction, ...]:
        """What the model answered, joined with the references; of the first seed where there are several."""
        kind = kind or default_kind(self.recipe)
        return pipeline.predict(self._subject.checkpoints[0], self.examples(part), kind, self.recipe, self._workspace)

    @property
    def confusion(self) -> ConfusionRecord:
        """Counts of reference (row) against prediction (column)."""
        return confusion(self.predictions())

    def prediction_key(self, kind: PredictionKind) -> str:
        """The key under which the store keeps what the model was asked."""
        return pipeline.prediction_key(self._subject.checkpoints[0], kind, self.recipe, self._workspace)

    @property
    def disclosure(self) -> Disclosure:
        """What may be shown of the examples: `examples` of the recipe."""
        is_closed = self.recipe.task in ("classification", "sequence_classification")
        return Disclosure(level=self.recipe.examples, labels=tuple(self._splits.labels) if is_closed else ())

    def holds(self, metric: Metric, part: Part = "evaluation") -> bool:
        """Whether the store holds a score of every seed, so that asking for it computes nothing."""
        examples = self.examples(part)
        return all(
            pipeline.has_score(metric, checkpoint, examples, self.recipe, self._source(part, run_key), self._workspace)
            for checkpoint, run_key in zip(self._subject.checkpoints, self._subject.run_keys, strict=True)
        )

    def score_of(self, metric: Metric, part: Part) -> Score:
        """The score of a metric on the evaluation split, or on the training rows that a gap compares with."""
        return self._score(metric, part)

    def _metric(self, metric: MetricLike) -> Metric:
        if isinstance(metric, Metric):
            return metric
        if not isinstance(metric, str):
            return as_metric(metric)
        return resolve(metric, self.recipe.task)

    def _score(self, metric: Metric, part: Part) -> Score:
        examples = self.examples(part)
        scores = [
            pipeline.measure(metric, checkpoint, examples, self.recipe, self._source(part, run_key), self._workspace)
            for checkpoint, run_key in zip(self._subject.checkpoints, self._subject.run_keys, strict=True)
        ]
        if len(scores) > 1:
            return mean_of_seeds(scores)
        return with_seed_spread(scores[0], metric, examples, self.recipe, self._other_seeds, self._workspace)

    @cached_property
    def _other_seeds(self) -> tuple[RunRecord, ...]:
        run_key = self._subject.run_keys[0]
        return () if run_key is None else siblings(run_key, self._workspace)

    def _source(self, part: Part, run_key: str | None) -> ScoreSource:
        on_validation = self.recipe.evaluates_on_validation
        return ScoreSource(
            name=self.name,
            run_key=run_key,
            checkpoint_key=self._subject.checkpoints[0].key,
            task=self.recipe.task,
            split="train" if part == "train" else "validation" if on_validation else "test",
            slice=self._slice,
            selected_on_validation=on_validation and part == "evaluation",
            notes=self._subject.notes,
            disclosure=self.disclosure,
        )

    def _renamed(self, name: str, checkpoints: tuple[Checkpoint, ...], run_keys: tuple[str | None, ...]) -> Subject:
        return replace(self._subject, name=name, checkpoints=checkpoints, run_keys=run_keys)


def default_kind(recipe: Recipe) -> PredictionKind:
    """What a model is asked first under the task of a recipe."""
    if recipe.task in ("classification", "sequence_classification"):
        return "options"
    return "nll" if recipe.task == "language_modeling" else "generate"
