"""Accepted scores: read like a run, written only by accepting."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import slmcheck
from slmcheck.errors import BaselineMismatchError, MissingBaselineError, UndefinedScoreError
from slmcheck.evaluation.held import HeldScore, held_scores
from slmcheck.evaluation.run import Run
from slmcheck.evaluation.views import MetricLike, View
from slmcheck.gates import Evidence, MissingScore, Score, ScoreSource, Verdict, gap
from slmcheck.metrics import METRICS, Metric, as_metric, measure, reference_hash, resolve, score_from
from slmcheck.metrics.definition import ValueOfSum, mean_of_sum
from slmcheck.records import ExampleEvidence, Prediction, Recipe, Split
from slmcheck.storage import StoredScore, digest
from slmcheck.storage.baselines import (
    AcceptedRegression,
    BaselineHeader,
    BaselineScore,
    header_path,
    make_baseline,
    read_baseline,
    write_baseline,
)
from slmcheck.storage.baselines import Baseline as BaselineFile

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
        """Accept the scores that the store holds for a run's current predictions; see `accept`."""
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


# Accepting


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """What accepting wrote, and how it compares with what was accepted before."""

    folder: Path
    stem: str
    scores: tuple[BaselineScore, ...]
    verdicts: tuple[Verdict, ...] = ()
    """One a score that both baselines have: no worse than before by more than the metric's margin."""


def accept(
    run: Run,
    folder: Path,
    *,
    reason: str | None = None,
    anchor: bool = False,
    private: bool = False,
) -> Acceptance:
    """Make the scores that the store holds for a run's current predictions its baseline; measures nothing.

    Args:
        run: The run whose scores are accepted.
        folder: Where the suite lies.
        reason: Why a regression is accepted; kept in the file.
        anchor: Whether to write the pinned first release instead.
        private: Whether answers are kept as hashes only.

    Raises:
        MissingBaselineError: If the store holds no score of the run's current predictions.
        ComparisonError: If a score is worse than the accepted one, and no reason is given.
    """
    file = candidate(run, private=private)
    before = Baseline.of(run, folder, anchor=anchor)
    return replace_baseline(run, before, file, folder, reason=reason, anchor=anchor)


def replace_baseline(
    run: View, before: Baseline, file: BaselineFile, folder: Path, *, reason: str | None, anchor: bool
) -> Acceptance:
    """Write a baseline in the place of another; see `accept`."""
    from slmcheck.errors import ComparisonError

    after = Baseline(run, file, missing="{has}", folder=folder, label="accepted now")
    verdicts = _compared(before, after, run.recipe)
    worse = [verdict for verdict in verdicts if verdict.state == "fail"]
    stem = run.recipe.name.rpartition("/")[2] + (".anchor" if anchor else "")
    if worse and not reason:
        lines = "\n".join(f"  {verdict.lines[0]}" for verdict in worse)
        raise ComparisonError(
            f"Not accepted: {len(worse)} of {len(verdicts)} scores of '{run.name}' are worse than the baseline.\n"
            f"{lines}\n"
            "If that is what you want, say why: --accept-regression REASON"
        )
    if worse and reason:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        regressions = tuple(
            AcceptedRegression(
                metric=verdict.record.metric,
                reason=reason,
                old=verdict.record.target or math.nan,
                new=verdict.record.value,
                created=now,
            )
            for verdict in worse
        )
        file = dataclasses.replace(file, header=dataclasses.replace(file.header, regressions=regressions))
    write_baseline(file, folder / FOLDER, stem)
    return Acceptance(folder=folder / FOLDER, stem=stem, scores=file.header.scores, verdicts=tuple(verdicts))


def candidate(run: Run, *, private: bool = False) -> BaselineFile:
    """The baseline that accepting would write.

    Raises:
        MissingBaselineError: If the store holds no score of the run's current predictions.
    """
    found = list(_held(run))
    if not found:
        raise MissingBaselineError(
            f"The store holds no score of the current predictions of '{run.name}'.\n"
            f"Accepting never measures. Run its suite first: pytest {run.recipe.directory}"
        )
    header = BaselineHeader(
        run=run.recipe.name,
        task=run.recipe.task,
        run_key=run.key,
        checkpoint_key=run.checkpoint.key,
        environment=run.environment,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        slmcheck=slmcheck.__version__,
        evaluation_digest=_evaluation_digest(run),
        private=private,
    )
    slices = {example.id: example.slices for example in run.examples()}
    return make_baseline(header, found, slices=slices)


def _held(run: Run) -> Iterator[tuple[BaselineScore, StoredScore]]:
    """Every score that the store holds of the run on a whole split, also of its exports."""
    if len(run.records) > 1:
        yield from _held_of_seeds(run)
        return
    for held in held_scores(run):
        if held.slice is None:
            record = held.record
            yield (
                BaselineScore(
                    metric=record.metric,
                    split=record.split,
                    variant=held.variant,
                    value=record.value,
                    low=record.low,
                    high=record.high,
                    n=record.n,
                    unit=record.unit,
                    higher_is_better=record.higher_is_better,
                    signature=record.signature,
                    seed_sd=_seed_sd(run, held),
                ),
                held.stored,
            )


def _seed_sd(run: Run, held: HeldScore) -> float | None:
    """Standard deviation between the stored seeds of the recipe, so that later comparisons know it."""
    metric = METRICS[run.recipe.task].get(held.metric)
    if metric is None or held.variant or held.split == "train" or not run.holds(metric):
        return None
    return run.score_of(metric, "evaluation").source.seed_sd


def _held_of_seeds(run: Run) -> Iterator[tuple[BaselineScore, StoredScore]]:
    for name, metric in METRICS[run.recipe.task].items():
        for part in ("evaluation", "train"):
            if not run.holds(metric, part):
                continue
            score = run.score_of(metric, part)
            evidence, interval = score.evidence, score.interval
            if evidence is None:
                continue
            yield (
                BaselineScore(
                    metric=name,
                    split=score.source.split,
                    value=float(score),
                    low=interval[0] if interval else None,
                    high=interval[1] if interval else None,
                    n=len(evidence),
                    unit=score.metric.unit,
                    higher_is_better=score.metric.higher_is_better,
                    signature=score.metric.signature,
                    seeds=score.source.seeds,
                    seed_sd=score.source.seed_sd,
                ),
                StoredScore(
                    ids=evidence.example_ids,
                    columns=evidence.columns,
                    statistics=evidence.statistics,
                    value=float(score),
                    groups=evidence.groups,
                    reference_hashes=evidence.reference_hashes,
                    answers=evidence.answers,
                ),
            )


def _compared(before: Baseline, after: Baseline, recipe: Recipe) -> list[Verdict]:
    """Each score that both have, judged as no worse by the metric's own margin."""
    if before.file is None or after.file is None:
        return []
    return list(_pairs(before, after, recipe, after.file.header.scores))


def _pairs(before: Baseline, after: Baseline, recipe: Recipe, scores: Sequence[BaselineScore]) -> Iterable[Verdict]:
    for score in scores:
        if score.split == "train" or score.variant or score.metric not in METRICS[recipe.task]:
            continue
        old, new = before.measure(score.metric), after.measure(score.metric)
        if not (isinstance(old, Score) and isinstance(new, Score)):
            continue
        try:
            yield new.no_worse_than(old)
        except BaselineMismatchError:
            continue  # other rows or another definition: nothing can be said, and accepting is the remedy


def _evaluation_digest(run: Run) -> str:
    return digest("evaluation", [[example.id, reference_hash(example.references)] for example in run.examples()])


def header_of(accepted: Acceptance) -> Path:
    """The file that says what was accepted."""
    return header_path(accepted.folder, accepted.stem)


def baseline_names(folder: Path) -> list[str]:
    """Stems of the baselines of a suite, anchors left out."""
    found = (folder / FOLDER).glob("*.json")
    return sorted(path.stem for path in found if not path.stem.endswith(".anchor") and _is_baseline(path))


def _is_baseline(path: Path) -> bool:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return True
    return isinstance(value, dict) and "schema" in value
