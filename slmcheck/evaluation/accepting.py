"""Accepting: the scores of a run become its baseline, judged against what was accepted before."""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import slmcheck
from slmcheck.errors import BaselineMismatchError, ComparisonError, MissingBaselineError
from slmcheck.evaluation.baseline import FOLDER, Baseline
from slmcheck.evaluation.changed import data_digests, data_rows, recipe_fields
from slmcheck.evaluation.claims import claims_beside
from slmcheck.evaluation.held import HeldScore, held_scores
from slmcheck.evaluation.run import Run
from slmcheck.evaluation.views import View
from slmcheck.gates import Score, Verdict
from slmcheck.metrics import METRICS, reference_hash
from slmcheck.records import Recipe
from slmcheck.storage import StoredScore, digest
from slmcheck.storage import git as project_git
from slmcheck.storage.baseline_header import write_attributes
from slmcheck.storage.baselines import (
    AcceptedRegression,
    BaselineHeader,
    BaselineScore,
    header_path,
    make_baseline,
    write_baseline,
)
from slmcheck.storage.baselines import Baseline as BaselineFile
from slmcheck.storage.waivers import FOLDER as WAIVERS
from slmcheck.storage.waivers import read_waivers


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """What accepting wrote, and how it compares with what was accepted before."""

    folder: Path
    stem: str
    scores: tuple[BaselineScore, ...]
    verdicts: tuple[Verdict, ...] = ()
    """One a score that both baselines have, of the previous release and of the pinned first one: no worse than before
    by more than the metric's margin.
    """


def accept(
    run: Run,
    folder: Path,
    *,
    reason: str | None = None,
    why: str = "",
    anchor: bool = False,
    private: bool = False,
) -> Acceptance:
    """Make the scores that the store holds for a run's current predictions its baseline; measures nothing.

    Args:
        run: The run whose scores are accepted.
        folder: Where the suite lies.
        reason: Why a regression is accepted; kept in the file.
        why: Why this run is accepted; kept in the file and shown by `slmcheck baseline log`.
        anchor: Whether to write the pinned first release instead.
        private: Whether answers are kept as hashes only.

    Raises:
        MissingBaselineError: If the store holds no score of the run's current predictions.
        ComparisonError: If a score is worse than an accepted one, or a gate of the run is waived, and no reason is
            given.
    """
    file = candidate(run, private=private)
    return replace_baseline(
        run, accepted_before(run, folder, anchor=anchor), file, folder, reason=reason, why=why, anchor=anchor
    )


def accepted_before(run: View, folder: Path, *, anchor: bool) -> tuple[Baseline, ...]:
    """What a new baseline is judged against: the previous one and the pinned first release, against slow drift."""
    previous = Baseline.of(run, folder, anchor=anchor)
    return (previous,) if anchor else (previous, Baseline.of(run, folder, anchor=True))


def replace_baseline(
    run: View,
    before: Sequence[Baseline],
    file: BaselineFile,
    folder: Path,
    *,
    reason: str | None,
    why: str = "",
    anchor: bool,
) -> Acceptance:
    """Write a baseline in the place of another.

    Args:
        run: Whose baseline.
        before: What it must be no worse than.
        file: The new baseline.
        folder: Where the suite lies.
        reason: Why a regression is accepted.
        why: Why the run is accepted.
        anchor: Whether it is the pinned first release.

    Raises:
        ComparisonError: If a score is worse, or a gate of the run is waived, and no reason is given.
    """
    after = Baseline(run, file, missing="{has}", folder=folder, label="accepted now")
    verdicts = [(old, verdict) for old in before for verdict in _compared(old, after, run.recipe)]
    worse = [(old, verdict) for old, verdict in verdicts if verdict.state == "fail"]
    if not reason:
        _refuse(run, [verdict for _, verdict in worse], len(verdicts))
        _refuse_waived(run, file, folder)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    regressions = tuple(
        AcceptedRegression(
            metric=verdict.record.metric,
            reason=reason or "",
            old=verdict.record.target if verdict.record.target is not None else math.nan,
            new=verdict.record.value,
            created=now,
            against="" if old.label == "baseline" else old.label,
        )
        for old, verdict in worse
    )
    header = dataclasses.replace(
        file.header,
        regressions=regressions,
        by=project_git.who(folder),
        reason=" ".join((why or reason or "").split()),
        primary=primary_metrics(run.recipe),
        git=file.header.git or project_git.head(folder),
    )
    stem = run.recipe.name.rpartition("/")[2] + (".anchor" if anchor else "")
    write_baseline(dataclasses.replace(file, header=header), folder / FOLDER, stem)
    write_attributes(folder / FOLDER)
    judged = tuple(verdict for _, verdict in verdicts)
    return Acceptance(folder=folder / FOLDER, stem=stem, scores=file.header.scores, verdicts=judged)


def primary_metrics(recipe: Recipe) -> tuple[str, ...]:
    """The metrics of the gates that decide a release of a recipe, as the tests beside it are marked."""
    if recipe.path is None:
        return ()
    return tuple(dict.fromkeys(claim.metric for claim in claims_beside(recipe.path) if claim.is_primary))


def _refuse(run: View, worse: Sequence[Verdict], total: int) -> None:
    if worse:
        lines = "\n".join(f"  {verdict.lines[0]}" for verdict in worse)
        raise ComparisonError(
            f"Not accepted: {len(worse)} of {total} scores of '{run.name}' are worse than the baseline.\n"
            f"{lines}\n"
            "If that is what you want, say why: --accept-regression REASON"
        )


def _refuse_waived(run: View, file: BaselineFile, folder: Path) -> None:
    """A waiver lets one run pass; it must not become what the next one is held against without a word."""
    if not (folder / WAIVERS).is_dir():
        return
    found = [
        waiver
        for waiver in read_waivers(folder, datetime.datetime.now(datetime.UTC))
        if waiver.run_key == file.header.run_key
    ]
    if found:
        lines = "\n".join(f"  {waiver.gate}: {waiver.exemption().sentence}" for waiver in found)
        raise ComparisonError(
            f"Not accepted: {len(found)} gates of '{run.name}' are waived for this run, and a waiver moves no "
            f"baseline.\n{lines}\nIf its scores shall be what later runs are held against, say why: "
            "--accept-regression REASON"
        )


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
        recipe=recipe_fields(run),
        data=data_rows(run),
        data_digests=data_digests(run),
        private=private or run.recipe.examples != "full",
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
