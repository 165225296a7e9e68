"""The change from one score to another: which examples are compared, and what they say."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from slmcheck.errors import BaselineMismatchError, ComparisonError
from slmcheck.gates.evidence import Array, Evidence, Measurement, MetricInfo
from slmcheck.gates.levels import cluster_notes, rare_notes, rate_bounds, resampling_rows, welch
from slmcheck.gates.pairing import pair
from slmcheck.gates.seeds import SeedTerm, seed_term
from slmcheck.statistics import (
    ChangeEstimate,
    bca_bounds,
    bootstrap_values,
    change_of_means,
    change_of_rates,
    change_of_sums,
    cluster_numbers,
    newcombe,
    standard_error,
    t_quantile,
    tango,
    to_scale,
    widen,
)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What the examples say of two scores of one metric."""

    estimate: ChangeEstimate
    """Oriented: positive means better. On the scale of changes: differences, or logarithms of ratios."""
    new_value: float
    old_value: float
    """The two scores on the examples that were compared."""
    n: int
    paired: bool
    design: str
    """In words: `paired, n=500`."""
    seeds: SeedTerm
    notes: tuple[str, ...] = ()
    worse: tuple[str, ...] = ()
    """Ids of examples that got worse, the worst first."""
    better: int | None = None
    """How many examples got better; None where examples are not pairs of two answers."""
    old_evidence: Evidence | None = None

    @property
    def example_variance(self) -> float:
        """Variance of one example's change, for planning."""
        return float(self.estimate.item_variance) * self.n


def compare(new: Measurement, old: Measurement, *, alpha: float, seed_sd: float | None = None) -> Comparison:
    """Compare two scores of one metric.

    Args:
        new: The score a claim is made of.
        old: The score it is compared with.
        alpha: One-sided level of the bounds.
        seed_sd: Standard deviation between seeds, in place of the metric's declared one.

    Raises:
        BaselineMismatchError: If a baseline has another signature, other examples or edited references.
        ComparisonError: If a score has no per-example evidence.
    """
    _require_comparable(new, old)
    seeds = seed_term(new, old, seed_sd)
    if new.train is not None and old.train is not None:
        return _compare_gaps(new, old, alpha, seeds)
    assert new.evidence is not None
    assert old.evidence is not None
    pairing = pair(new, old)
    first, second = pairing.new, pairing.old
    metric = new.metric
    notes = (*pairing.notes, *cluster_notes(first), *(rare_notes(first) or rare_notes(second)))
    if not pairing.paired:
        estimate = _unpaired(first, second, metric, alpha, seeds)
        return Comparison(
            estimate=estimate,
            new_value=first.value,
            old_value=second.value,
            n=len(first),
            paired=False,
            design=pairing.design,
            seeds=seeds,
            notes=notes,
        )
    estimate, pulls = _paired(first, second, metric, alpha, seeds)
    return _with_movers(
        Comparison(
            estimate=estimate,
            new_value=new.value if first is new.evidence else first.value,
            old_value=old.value if second is old.evidence else second.value,
            n=len(first),
            paired=True,
            design=pairing.design,
            seeds=seeds,
            notes=notes,
            old_evidence=second,
        ),
        first,
        pulls,
    )


def _require_comparable(new: Measurement, old: Measurement) -> None:
    if new.metric.signature != old.metric.signature:
        raise BaselineMismatchError(
            f"{new.label} and {old.label} have different signatures.\n"
            f"{new.label}: {new.metric.signature or '(none)'}; {old.label}: {old.metric.signature or '(none)'}.\n"
            "Scores compare only when they were measured with the same settings.\n" + _accept_hint(new, old)
        )
    if (new.train is None) != (old.train is None):
        raise ComparisonError(
            f"{new.label} and {old.label} cannot be compared: only one of them is a gap.\n"
            "Compare a gap with a gap of the same metric."
        )
    if new.metric.paired == "none":
        raise ComparisonError(
            f"{new.label} cannot be compared with {old.label}: {new.metric.name} is reported, not compared.\n"
            "Its value depends on the number of examples as much as on the model.\n"
            "Compare a proper score such as brier or loss instead."
            if new.evidence is not None
            else _no_evidence(new)
        )
    for side in (new, old):
        if side.evidence is None:
            raise ComparisonError(_no_evidence(side))


def _no_evidence(side: Measurement) -> str:
    return (
        f"{side.label} has no per-example evidence, so it cannot be compared with another score.\n"
        f"The metric {side.metric.name!r} gives one number for all examples.\n"
        "Return one value an example from the metric, or gate its level with a number."
    )


def _accept_hint(new: Measurement, old: Measurement) -> str:
    if old.source.is_baseline:
        return f"Accept the scores of this run: slmcheck baseline accept {new.source.name}"
    return "Measure both with the same version of the metric."


def _paired(
    new: Evidence, old: Evidence, metric: MetricInfo, alpha: float, seeds: SeedTerm
) -> tuple[ChangeEstimate, Array]:
    """The estimate, and how much each example moved the score (oriented; shape (examples,))."""
    clusters = new.clusters if new.groups is not None else old.clusters
    if metric.paired == "mcnemar" and new.binary is not None and old.binary is not None:
        moved = new.binary.astype(np.float64) - old.binary
        moved *= metric.sign
        if clusters is None:
            won, lost = int((moved > 0).sum()), int((moved < 0).sum())
            return change_of_rates(won, lost, len(new), alpha, seeds.variance), moved
    moved_by = change_of_sums(
        (new.value_of_sum, new.statistics),
        (old.value_of_sum, old.statistics),
        scale=metric.change_scale,
        sign=metric.sign,
        alpha=alpha,
        clusters=clusters,
        seeds=seeds.variance,
    )
    estimate, pulls = moved_by.estimate, moved_by.pulls
    if metric.unit in ("share", "points") and not _differs(new, old).any():
        estimate = _undisturbed(estimate, moved_by.degrees_of_freedom + 1, metric, alpha, seeds)
    elif new.rare_classes or old.rare_classes or metric.interval == "bootstrap":
        estimate = _bootstrapped(estimate, new, old, metric, pulls, alpha, seeds)
    return estimate, pulls + float(estimate.change)


def _undisturbed(
    estimate: ChangeEstimate, count: int, metric: MetricInfo, alpha: float, seeds: SeedTerm
) -> ChangeEstimate:
    """Bounds where no example moved: those of a rate without discordant pairs, instead of none at all."""
    top = 100.0 if metric.unit == "points" else 1.0
    quantile = t_quantile(1.0 - alpha, math.inf)
    low, high = (top * bound for bound in tango(0.0, 0.0, float(count), quantile))
    low, high = widen(0.0, low, high, quantile * math.sqrt(seeds.variance.variance))
    return replace(estimate, low=estimate.change + low, high=estimate.change + high)


def _bootstrapped(
    estimate: ChangeEstimate,
    new: Evidence,
    old: Evidence,
    metric: MetricInfo,
    pulls: Array,
    alpha: float,
    seeds: SeedTerm,
) -> ChangeEstimate:
    """The estimate with bounds by resampling examples, both models' answers together."""
    width, scale = len(new.columns), metric.change_scale

    def change_of_sum(sums: Array) -> Array:
        after = to_scale(np.asarray(new.value_of_sum(sums[..., :width])), scale)
        before = to_scale(np.asarray(old.value_of_sum(sums[..., width:])), scale)
        return np.asarray(metric.sign * (after - before))

    both = np.concatenate([new.statistics, old.statistics], axis=1)
    rows, row_pulls = resampling_rows(both, pulls, new if new.groups is not None else old)
    change = float(estimate.change)
    low, high = bca_bounds(change, bootstrap_values(change_of_sum, rows), row_pulls, lower_tail=alpha, upper_tail=alpha)
    half = t_quantile(1.0 - alpha, math.inf) * math.sqrt(seeds.variance.variance)
    wide_low, wide_high = widen(change, low, high, half)
    return replace(estimate, low=wide_low, high=wide_high)


def _unpaired(new: Evidence, old: Evidence, metric: MetricInfo, alpha: float, seeds: SeedTerm) -> ChangeEstimate:
    """Two samples that share few examples or none."""
    scale = metric.change_scale
    after, before = new.linearised(scale), old.linearised(scale)
    change = metric.sign * float(to_scale(after.value, scale) - to_scale(before.value, scale))
    errors, freedoms = [], []
    for part, evidence in ((after, new), (before, old)):
        error, degrees = standard_error(part.influence, evidence.clusters)
        errors.append(float(error) ** 2)
        freedoms.append(degrees)
    item_error = _error_of_union(new, old, after.influence, before.influence)
    estimate = change_of_means(change, item_error, welch(errors, freedoms), alpha, seeds.variance)
    if new.binary is None or old.binary is None or not set(new.example_ids).isdisjoint(old.example_ids):
        return estimate
    bounds = [rate_bounds(evidence, 1.0 - alpha) for evidence in (new, old)]
    low_raw, high_raw = newcombe(new.value, bounds[0], old.value, bounds[1])
    if metric.sign < 0:
        low_raw, high_raw = -high_raw, -low_raw
    half = t_quantile(1.0 - alpha, math.inf) * math.sqrt(seeds.variance.variance)
    wide_low, wide_high = widen(change, low_raw, high_raw, half)
    return replace(estimate, low=wide_low, high=wide_high)


def _error_of_union(new: Evidence, old: Evidence, after: Array, before: Array) -> float:
    """Standard error of a difference of samples that may share examples and groups."""
    ids = dict.fromkeys((*new.example_ids, *old.example_ids))
    row = {example_id: index for index, example_id in enumerate(ids)}
    pulls = np.zeros(len(ids))
    pulls[[row[example_id] for example_id in new.example_ids]] += after / len(new)
    pulls[[row[example_id] for example_id in old.example_ids]] -= before / len(old)
    groups = dict(zip(ids, ids, strict=True))
    for evidence in (old, new):
        if evidence.groups is not None:
            names = _same_names(old, new) if evidence is old else {}
            pairs = zip(evidence.example_ids, evidence.groups, strict=True)
            groups.update({name: names.get(group, group) for name, group in pairs})
    error, _ = standard_error(pulls * len(ids), cluster_numbers(tuple(groups[example_id] for example_id in ids)))
    return float(error)


def _same_names(old: Evidence, new: Evidence) -> dict[str, str]:
    """The group of `new` for every group of `old` that shares an example with it: a private baseline keeps hashes."""
    if old.groups is None or new.groups is None:
        return {}
    return {
        group: new.groups[new.position[name]]
        for name, group in zip(old.example_ids, old.groups, strict=True)
        if name in new.position
    }


def _compare_gaps(new: Measurement, old: Measurement, alpha: float, seeds: SeedTerm) -> Comparison:
    """Gap minus gap: paired on the evaluation split, independent on the training rows."""
    assert new.train is not None
    assert old.train is not None
    assert new.parts_metric is not None
    metric = new.parts_metric
    pairing = pair(new, old)
    scale, variances, freedoms = metric.change_scale, [], []
    first, second = pairing.new, pairing.old
    influences = [first.linearised(scale).influence, second.linearised(scale).influence]
    if pairing.paired:
        error, degrees = standard_error(influences[0] - influences[1], first.clusters)
    else:
        error, degrees = np.asarray(_error_of_union(first, second, *influences)), min(len(first), len(second)) - 1
    variances.append(float(error) ** 2)
    freedoms.append(degrees)
    for part in (new.train, old.train):
        error, degrees = standard_error(part.linearised(scale).influence, part.clusters)
        variances.append(float(error) ** 2)
        freedoms.append(degrees)
    values = [gap_value(side.train, part, metric) for side, part in ((new, first), (old, second)) if side.train]
    change = -(values[0] - values[1])  # a gap is better when smaller
    estimate = change_of_means(change, math.sqrt(sum(variances)), welch(variances, freedoms), alpha, seeds.variance)
    return Comparison(
        estimate=estimate,
        new_value=values[0],
        old_value=values[1],
        n=len(first),
        paired=pairing.paired,
        design=f"{pairing.design}; training rows as separate samples, n={len(new.train)} and {len(old.train)}",
        seeds=seeds,
        notes=(*pairing.notes, *cluster_notes(first)),
    )


def gap_value(train: Evidence, evaluation: Evidence, metric: MetricInfo) -> float:
    """Training score minus evaluation score, larger meaning more overfitting; a log ratio for `log` metrics."""
    scale = metric.change_scale
    train_value = float(to_scale(np.asarray(train.value), scale))
    evaluation_value = float(to_scale(np.asarray(evaluation.value), scale))
    return metric.sign * (train_value - evaluation_value)


def _with_movers(comparison: Comparison, evidence: Evidence, pulls: Array) -> Comparison:
    """The comparison with the examples that moved: those whose statistics differ, by what they did to the score."""
    assert comparison.old_evidence is not None
    moved = _differs(evidence, comparison.old_evidence)
    order: NDArray[np.intp] = np.lexsort((np.array(evidence.example_ids), pulls))
    worse = tuple(evidence.example_ids[index] for index in order if moved[index] and pulls[index] < 0.0)
    return replace(comparison, worse=worse, better=int((moved & (pulls > 0.0)).sum()))


def _differs(new: Evidence, old: Evidence) -> NDArray[np.bool_]:
    """Whether the statistics of each example differ; columns are aligned by name, a missing one counts as zeros."""
    if new.columns == old.columns:
        return np.asarray((new.statistics != old.statistics).any(axis=1))
    zeros = np.zeros(len(new))
    after = dict(zip(new.columns, new.statistics.T, strict=True))
    before = dict(zip(old.columns, old.statistics.T, strict=True))
    differs = np.zeros(len(new), dtype=bool)
    for name in after.keys() | before.keys():
        differs |= after.get(name, zeros) != before.get(name, zeros)
    return differs
