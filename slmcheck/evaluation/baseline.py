"""Accepted scores: read like a run, written only by accepting."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from slmcheck.errors import MissingBaselineError, UndefinedScoreError
from slmcheck.evaluation.run import Run
from slmcheck.evaluation.views import MetricLike, View
from slmcheck.gates import Evidence, MissingScore, Score, ScoreSource, gap
from slmcheck.metrics import METRICS, Metric, as_metric, measure, resolve, score_from
from slmcheck.metrics.definition import ValueOfSum, mean_of_sum
from slmcheck.records import ExampleEvidence, Prediction, Split
from slmcheck.storage import StoredScore
from slmcheck.storage.baselines import Baseline as BaselineFile
from slmcheck.storage.baselines import BaselineScore, read_baseline

if TYPE_CHECKING:
    from slmcheck.evaluation.accepting import Acceptance

FOLDER = "baselines"


class Baseline:
    """The accepted scores of a recipe: every name of `run` that was accepted, from the committed file only.

    A name that was not accepted is judged as missing: an error that names the command, or accepted where the session
    accepts baselines.
    """

    def __init__(
        self,
        run: View,
        file: BaselineFile | None,
        *,
        missing: str,
        folder: Path,
        variant: str = "",
        slice_name: str | None = None,
        label: str = "baseline",
    ) -> None:
        self._run = run
        self._file = file
        self._missing = missing
        self._folder = folder
        self._variant = variant
        self._slice = slice_name
        self._label = label

    @classmethod
    def of(cls, run: View, folder: Path, *, anchor: bool = False) -> Baseline:
        """The baseline of a run; of its pinned first release with `anchor`.

        Args:
            run: Whose baseline.
            folder: Where the suite lies; baselines are in `baselines/` below it.
            anchor: Whether to read `<stem>.anchor.json`.

        Raises:
            DataError: If the file is damaged, holds a merge conflict, or was written by a newer slmcheck.
        """
        stem = run.recipe.name.rpartition("/")[2] + (".anchor" if anchor else "")
        label = "baseline.anchor" if anchor else "baseline"
        try:
            file = read_baseline(folder / FOLDER, stem)
        except MissingBaselineError as error:
            return cls(run, None, missing=str(error), folder=folder, label=label)
        command = f"slmcheck baseline accept {run.recipe.path or run.recipe.name}{' --anchor' if anchor else ''}"
        missing = f"It has: {{has}}.\nAccept the current scores: {command}"
        return cls(run, file, missing=missing, folder=folder, label=label)

    @property
    def anchor(self) -> Baseline:
        """The pinned first release, against slow drift."""
        return Baseline.of(self._run, self._folder, anchor=True)

    @property
    def exists(self) -> bool:
        """Whether anything was accepted yet."""
        return self._file is not None

    @property
    def file(self) -> BaselineFile | None:
        """The committed file; None where nothing was accepted yet."""
        return self._file

    @property
    def label(self) -> str:
        """What it is called in verdicts: `baseline`, `baseline.anchor`."""
        return self._label

    def __repr__(self) -> str:
        return f"<{self._label} of {self._run.name}{'' if self.exists else ', not accepted yet'}>"

    def __getattr__(self, name: str) -> Score | MissingScore:
        if name.startswith("_"):
            raise AttributeError(name)
        return self.measure(name)

    def measure(self, metric: MetricLike) -> Score | MissingScore:
        """The accepted score of a metric."""
        return self._score(self._resolve(metric), None)

    def gap(self, metric: str = "accuracy") -> Score | MissingScore:
        """The accepted overfitting gap of a metric."""
        resolved = self._resolve("loss" if metric == "perplexity" else metric)
        train, evaluation = self._score(resolved, "train"), self._score(resolved, None)
        if isinstance(train, MissingScore) or isinstance(evaluation, MissingScore):
            return self._missing_score(f"gap('{metric}')")
        return gap(train, evaluation)

    def slice(self, name: str) -> Baseline:
        """The same baseline on a slice, as the slices were when it was accepted."""
        return self._but(slice_name=name, label=f"{self._label}.slice('{name}')")

    def onnx(self, precision: str = "fp32") -> Baseline:
        """The accepted scores of an export."""
        return self._but(variant=f"onnx:{precision}", label=f"{self._label}.onnx('{precision}')")

    def accept(self, run: Run | None = None, *, reason: str | None = None, private: bool = False) -> Acceptance:
        """Accept the scores that the store holds for a run's current predictions; see `slmcheck.evaluation.accept`."""
        from slmcheck.evaluation.accepting import accept  # which judges baselines, and so knows this module

        chosen = run or self._run
        if not isinstance(chosen, Run):
            raise UndefinedScoreError(f"{self!r} accepts the scores of a run; '{chosen.name}' is none.")
        return accept(chosen, self._folder, reason=reason, private=private)

    def _but(self, *, variant: str | None = None, slice_name: str | None = None, label: str) -> Baseline:
        return Baseline(
            self._run,
            self._file,
            missing=self._missing,
            folder=self._folder,
            variant=self._variant if variant is None else variant,
            slice_name=slice_name or self._slice,
            label=label,
        )

    def _resolve(self, metric: MetricLike) -> Metric | str:
        if isinstance(metric, Metric):
            return metric
        if not isinstance(metric, str):
            return as_metric(metric)
        return resolve(metric, self._run.recipe.task) if metric in METRICS[self._run.recipe.task] else metric

    def _score(self, metric: Metric | str, split: Split | None) -> Score | MissingScore:
        name = metric if isinstance(metric, str) else metric.name
        accepted = self._file.find(name, split=split, variant=self._variant) if self._file is not None else None
        if self._file is None or accepted is None:
            return self._missing_score(name)
        stored = self._file.evidence(accepted)
        if self._slice is not None:
            stored = _only_slice(stored, self._file, self._slice)
            if not stored.ids:
                return self._missing_score(name)
        return _score_of(metric if isinstance(metric, Metric) else None, accepted, stored, self._source(accepted), self)

    def _source(self, accepted: BaselineScore) -> ScoreSource:
        assert self._file is not None
        header = self._file.header
        return ScoreSource(
            name=self._label,
            run_key=header.run_key,
            checkpoint_key=header.checkpoint_key,
            task=header.task,
            split=accepted.split,
            slice=self._slice,
            seeds=accepted.seeds,
            seed_sd=accepted.seed_sd,
            is_baseline=True,
            disclosure=self._run.disclosure,
        )

    def _missing_score(self, name: str) -> MissingScore:
        text = f"{self._label}.{name}"
        if self._file is None:
            return MissingScore(text, self._missing)
        names = sorted({_title(score) for score in self._file.header.scores})
        return MissingScore(text, f"{text} was not accepted.\n{self._missing.format(has=', '.join(names))}")

    def current_predictions(self) -> Mapping[str, Prediction]:
        """Examples of today's evaluation split by id, without answers: to measure stored answers again."""
        return {
            example.id: Prediction(
                id=example.id,
                prediction=None,
                references=example.references,
                prompt=example.prompt,
                options=example.options,
                group=example.group,
                slices=example.slices,
                row=example.row,
            )
            for example in self._run.examples()
        }


def _score_of(
    metric: Metric | None, accepted: BaselineScore, stored: StoredScore, source: ScoreSource, owner: Baseline
) -> Score:
    answers = stored.answers if stored.extras.get("answers") == "texts" else None
    if metric is None:
        raise UndefinedScoreError(
            f"'{accepted.metric}' of a baseline is read through its function: baseline.measure(function)."
        )
    info = dataclasses.replace(metric.info, signature=accepted.signature)
    score = score_from(
        metric,
        ids=stored.ids,
        statistics=stored.statistics,
        columns=stored.columns,
        source=source,
        groups=stored.groups,
        reference_hashes=stored.reference_hashes,
        answers=answers,
        show=lambda example_id: _shown(owner, example_id, stored),
        value_of_sum=_mean_on_scale(info.change_scale == "log") if accepted.seeds > 1 else None,
    )
    evidence = score.evidence
    if evidence is not None and answers is not None and metric.answers_only and accepted.seeds == 1:
        evidence = dataclasses.replace(evidence, remeasure=lambda: _measured_again(metric, evidence_ids, source, owner))
        evidence_ids = dict(zip(stored.ids, answers, strict=True))
    return Score(float(score), metric=info, source=source, evidence=evidence)


def _measured_again(
    metric: Metric, answers: Mapping[str, str], source: ScoreSource, owner: Baseline
) -> Evidence | None:
    """Stored answers against today's references."""
    today = owner.current_predictions()
    known = [dataclasses.replace(today[name], prediction=answer) for name, answer in answers.items() if name in today]
    return measure(metric, known, source).evidence if known else None


def _mean_on_scale(is_log: bool) -> ValueOfSum:
    def value_of_sum(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        mean = mean_of_sum(sums)
        return np.exp(mean) if is_log else mean

    return value_of_sum


def _shown(owner: Baseline, example_id: str, stored: StoredScore) -> ExampleEvidence:
    today = owner.current_predictions().get(example_id)
    answers = dict(zip(stored.ids, stored.answers or (), strict=False))
    return ExampleEvidence(
        id=example_id,
        prompt=today.prompt if today else "",
        reference=" | ".join(today.references) if today else "",
        answer=answers.get(example_id, ""),
    )


def _only_slice(stored: StoredScore, file: BaselineFile, name: str) -> StoredScore:
    inside = {example.id for example in file.examples if name in example.slices}
    rows = [row for row, example_id in enumerate(stored.ids) if example_id in inside]

    def pick(values: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if values is None else tuple(values[row] for row in rows)

    return dataclasses.replace(
        stored,
        ids=tuple(stored.ids[row] for row in rows),
        statistics=stored.statistics[rows],
        groups=pick(stored.groups),
        reference_hashes=pick(stored.reference_hashes),
        answers=pick(stored.answers),
    )


def _title(score: BaselineScore) -> str:
    name = f"{score.variant}.{score.metric}" if score.variant else score.metric
    return f"{name} (train)" if score.split == "train" else name
