"""Why two runs score differently: one group of differences reverted at a time, cheapest first.

The effect of a group is the score of the newer run minus that of the same run with the group as the older run had it,
on the same examples. Both were trained, so the interval has the seed term; what is only asked differently, or asked by
other libraries, is the same weights twice and has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from slmcheck import gates
from slmcheck.data import load_splits
from slmcheck.errors import ComparisonError, DataError, RecipeError, TrainingError
from slmcheck.evaluation import Run, View
from slmcheck.evaluation.starting import PRIMARY
from slmcheck.gates import Comparison, MetricInfo, Score, Units
from slmcheck.metrics import measure, resolve
from slmcheck.pipeline import kind_for
from slmcheck.pipeline import predict as predict_stored
from slmcheck.records import ChangeRecord
from slmcheck.studies.changes import Group, GroupKind, groups_between
from slmcheck.studies.elsewhere import predictions_of_other
from slmcheck.studies.trainings import BudgetSpentError, Training, Trainings

ALPHA = 0.05
State = Literal["accounts", "no effect seen", "not tried", "cannot be tried"]


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """One group of differences and what it accounts for."""

    kind: GroupKind
    name: str
    old: str
    new: str
    state: State
    effect: ChangeRecord | None = None
    """What the change from old to new did to the score, with its 90 % interval; None where it was not tried."""
    run_key: str = ""
    """Run of the newer recipe with this group reverted."""
    reason: str = ""
    """Why it was not tried, or what is to be known of it."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What differs between two runs and what of it matters."""

    old: str
    new: str
    metric: MetricInfo
    old_value: float
    new_value: float
    total: ChangeRecord
    """The whole change, with its 90 % interval."""
    attributions: tuple[Attribution, ...]
    """Those that account for most first."""
    causes: tuple[str, ...]
    """Names of the groups that account for the change, the largest first; empty where none was found."""
    conclusion: str
    """The answer in a sentence."""
    rest: float | None
    """What the tried groups leave of the change; None where one was not tried."""
    seeds: str
    """What is known of the spread between seeds."""
    stopped: str = ""
    """Why groups were not tried: the budget."""


def explain(
    old: Run, new: Run, trainings: Trainings, *, metric: str | None = None, python: str | None = None
) -> Explanation:
    """Attribute the difference of two runs to what differs between them.

    Args:
        old: The older run.
        new: The newer run.
        trainings: Carries out what must be trained; its budget ends the study with what is known by then.
        metric: Name of a metric of the task; None takes the one that decides a release.
        python: Interpreter with the libraries of the older run.

    Raises:
        ComparisonError: If the two runs do not solve one task.
        UnknownMetricError: If the task has no such metric.
        InputError: If the other interpreter cannot be used.
    """
    if old.recipe.task != new.recipe.task:
        raise ComparisonError(
            f"'{old.recipe.name}' and '{new.recipe.name}' cannot be explained: their tasks differ, "
            f"{old.recipe.task} and {new.recipe.task}.\nExplain runs of one task."
        )
    name = metric or PRIMARY[new.recipe.task]
    scores = old.measure(name), new.measure(name)
    study = _Study(old, new, scores[1], trainings, name, python)
    total = gates.compare(scores[1].measurement, scores[0].measurement, alpha=ALPHA)
    groups = groups_between(old, new)
    worth_it = _excludes_zero(_change(total)) or not _trained_apart(old, new)
    tried, stopped = study.tried(groups, train=worth_it)
    return _explained(old, new, scores, total, tried, stopped, worth_it=worth_it)


@dataclass(frozen=True)
class _Study:
    old: Run
    new: Run
    score: Score
    """Of the newer run."""
    trainings: Trainings
    metric: str
    python: str | None

    def tried(self, groups: Sequence[Group], *, train: bool) -> tuple[list[Attribution], str]:
        """Every group with its effect, and why some were not tried."""
        found = [self._without_training(group) for group in groups if group.kind in ("evaluation", "library")]
        impossible = [group for group in groups if group.kind not in ("evaluation", "library") and not group.revert]
        found += [_attribution(group, "cannot be tried", reason=group.reason) for group in impossible]
        planned = list(self._planned([group for group in groups if group not in impossible], found))
        if not train:
            reason = "the whole change is within what chance and seeds make"
            return [*found, *(_attribution(group, "not tried", reason=reason) for group, _ in planned)], ""
        self.trainings.announce(f"explaining {self.new.recipe.name}", [item for _, item in planned])
        stopped = ""
        for group, item in sorted(planned, key=lambda pair: self._cost(pair[1])):
            if stopped and not self.trainings.has(item):
                found.append(_attribution(group, "not tried", reason="the budget was spent"))
                continue
            try:
                run = self.trainings.run(item)
                found.append(self._effect(group, run, run.key))
            except BudgetSpentError as error:
                stopped = str(error)
                found.append(_attribution(group, "not tried", reason="the budget was spent"))
            except TrainingError as error:
                reason = f"its training failed: {str(error).splitlines()[0]}"
                found.append(_attribution(group, "cannot be tried", reason=reason))
        return found, stopped

    def _planned(self, groups: Sequence[Group], refused: list[Attribution]) -> Iterator[tuple[Group, Training]]:
        """What to train for each group; a group whose reverted recipe cannot be carried out is refused."""
        for group in groups:
            if group.kind in ("evaluation", "library") or group.revert is None:
                continue
            recipe = replace(self.new.recipe, search=None)
            try:
                reverted = group.revert(recipe)
                named = replace(reverted, name=f"{recipe.name}[{group.name} as in {self.old.name}]")
                item = Training.of(f"{group.name} as in {self.old.recipe.name}", named)
            except (DataError, RecipeError) as error:
                refused.append(_attribution(group, "cannot be tried", reason=str(error).splitlines()[0]))
                continue
            yield group, replace(item, seeds=len(self.new.records))

    def _cost(self, item: Training) -> float:
        found = self.trainings.estimate([item])
        return found.seconds or 0.0

    def _without_training(self, group: Group) -> Attribution:
        if group.kind == "library":
            return self._libraries(group)
        assert group.revert is not None
        recipe = group.revert(self.new.recipe)
        asked = Run(
            [replace(record, recipe=recipe) for record in self.new.records], load_splits(recipe), self.new.workspace
        )
        return self._effect(group, asked, self.new.key)

    def _libraries(self, group: Group) -> Attribution:
        if self.python is None:
            return _attribution(group, "cannot be tried", reason=group.reason)
        metric = resolve(self.metric, self.new.recipe.task)
        kind = kind_for(metric, self.new.recipe)
        theirs, environment = predictions_of_other(self.new, self.python, kind=kind)
        here = replace(self.new.workspace, same_environment=True)
        ours = predict_stored(self.new.checkpoint, self.new.examples(), kind, self.new.recipe, here)
        source = self.new.measure(metric).source
        both = [measure(metric, predictions, source) for predictions in (ours, theirs)]
        comparison = gates.compare(both[0].measurement, both[1].measurement, alpha=ALPHA)
        versions = ", ".join(f"{name} {version}" for name, version in sorted(environment.versions.items()))
        return _judged(group, comparison, run_key=self.new.key, reason=f"the same weights, asked there by {versions}")

    def _effect(self, group: Group, reverted: View, run_key: str) -> Attribution:
        before = reverted.measure(self.metric)
        comparison = gates.compare(self.score.measurement, before.measurement, alpha=ALPHA)
        return _judged(group, comparison, run_key=run_key)


def _judged(group: Group, comparison: Comparison, *, run_key: str, reason: str = "") -> Attribution:
    effect = _change(comparison)
    state: State = "accounts" if _excludes_zero(effect) else "no effect seen"
    return _attribution(group, state, effect=effect, run_key=run_key, reason=reason)


def _attribution(
    group: Group, state: State, *, effect: ChangeRecord | None = None, run_key: str = "", reason: str = ""
) -> Attribution:
    return Attribution(
        kind=group.kind,
        name=group.name,
        old=group.old,
        new=group.new,
        state=state,
        effect=effect,
        run_key=run_key,
        reason=reason,
    )


def _change(comparison: Comparison) -> ChangeRecord:
    estimate = comparison.estimate
    return ChangeRecord(value=float(estimate.change), low=float(estimate.low), high=float(estimate.high))


def _excludes_zero(change: ChangeRecord) -> bool:
    return change.low > 0.0 or change.high < 0.0


def _trained_apart(old: Run, new: Run) -> bool:
    return old.key != new.key


# The answer


def _explained(
    old: Run,
    new: Run,
    scores: tuple[Score, Score],
    total: Comparison,
    tried: Sequence[Attribution],
    stopped: str,
    *,
    worth_it: bool,
) -> Explanation:
    whole = _change(total)
    order: dict[State, int] = {"accounts": 0, "no effect seen": 1, "not tried": 2, "cannot be tried": 3}
    ranked = sorted(
        tried, key=lambda item: (order[item.state], -abs(item.effect.value) if item.effect is not None else 0.0)
    )
    same_way = [item for item in ranked if item.state == "accounts" and _same_direction(item, whole)]
    effects = [item.effect for item in tried]
    known = [effect.value for effect in effects if effect is not None]
    rest = whole.value - sum(known) if len(known) == len(effects) else None
    causes = tuple(item.name for item in same_way)
    units = Units(scores[1].metric)
    return Explanation(
        old=old.recipe.name,
        new=new.recipe.name,
        metric=scores[1].metric,
        old_value=total.old_value,
        new_value=total.new_value,
        total=whole,
        attributions=tuple(ranked),
        causes=causes,
        conclusion=_conclusion(whole, ranked, same_way, units, worth_it=worth_it),
        rest=rest,
        seeds=_seeds(total),
        stopped=stopped,
    )


def _same_direction(item: Attribution, total: ChangeRecord) -> bool:
    return item.effect is not None and item.effect.value * total.value > 0.0


def _conclusion(
    total: ChangeRecord,
    ranked: Sequence[Attribution],
    causes: Sequence[Attribution],
    units: Units,
    *,
    worth_it: bool,
) -> str:
    whole = change_text(total.value, units)
    if not ranked:
        return f"Nothing differs between the two but the environment or chance; the change is {whole}."
    if not worth_it:
        return f"Seeds alone explain it: the change of {whole} cannot be told from none, so nothing was trained."
    if causes and causes[0].kind == "seed":
        own = change_text(_value_of(causes[0]), units)
        return f"Seeds alone explain it: another seed makes {own} of {whole}."
    if causes:
        first = causes[0]
        text = (
            f"{first.name} ({first.old} -> {first.new}) accounts for {change_text(_value_of(first), units)} of {whole}"
        )
        others = [f"{item.name} {change_text(_value_of(item), units)}" for item in causes[1:]]
        return f"{text}; beside it {', '.join(others)}." if others else f"{text}."
    missing = [item.name for item in ranked if item.effect is None]
    if missing:
        return f"No change that was tried explains {whole}; not tried: {', '.join(missing)}."
    return f"No change explains {whole} alone: it takes several together, or it is the seeds (seeds: 3 would tell)."


def _value_of(item: Attribution) -> float:
    assert item.effect is not None
    return item.effect.value


def change_text(change: float, units: Units) -> str:
    """An oriented change as readers see it: of the metric itself, with its unit."""
    return units.changes(units.metric.sign * change)[0] + units.unit


def _seeds(total: Comparison) -> str:
    term = total.seeds
    if term.knowledge == "same":
        return "one training stands behind both scores: no seed term"
    if term.sd is None:
        return "nothing is known of the spread between seeds: intervals have no seed term"
    how = "measured on stored seeds" if term.knowledge == "measured" else "assumed for this metric"
    return f"spread between seeds {term.sd:.3g}, {how}"
