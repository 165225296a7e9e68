"""Adapters of one base model loaded side by side: evaluated together, and held to not disturb each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from slmcheck import metrics, pipeline
from slmcheck.errors import InputError, UndefinedScoreError
from slmcheck.evaluation.comparing import USUAL_METRICS
from slmcheck.evaluation.naming import is_recipe_file
from slmcheck.evaluation.opening import open_run, workspace_for
from slmcheck.evaluation.run import Run, open_recipe
from slmcheck.evaluation.views import MetricLike, default_kind
from slmcheck.gates import Score, ScoreSource
from slmcheck.metrics import METRICS, Metric, as_metric, resolve
from slmcheck.pipeline import Beside, Deployed, Member
from slmcheck.records import Prediction, Recipe
from slmcheck.workspace import Workspace

LARGEST_DIFFERENCE = 1e-4
"""Of a logit of an adapter among others and alone, in standard deviations of the logits: rounding is 1e-6."""
LEAST_EFFECT = 1e-4
"""Of an adapter on a logit; less would mean that it is not active."""


@dataclass(frozen=True, kw_only=True)
class FamilyCheck:
    """One promise of adapters that share a base model, held against its limit."""

    name: str
    """What is promised."""
    value: float
    limit: float
    at_least: bool = False
    """Whether the value must reach the limit; else it must not exceed it."""
    says: str = ""
    """What a failure means."""

    @property
    def passed(self) -> bool:
        """Whether the value is within its limit; NaN is not."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def text(self) -> str:
        """In one line."""
        return f"{self.name}: {self.value:.3g}, expected {'>=' if self.at_least else '<='} {self.limit:g}"


class TogetherRun:
    """One run of a family as it answers among the others: its metrics are attributes, as on `run`."""

    def __init__(self, name: str, run: Run, predictions: tuple[Prediction, ...]) -> None:
        self.name = name
        self.run = run
        """The run itself, which answers alone."""
        self.predictions = predictions
        """What the adapter answered among the others."""

    def __repr__(self) -> str:
        return f"<{self.name} among the others>"

    def __getattr__(self, name: str) -> Score:
        if name.startswith("_"):
            raise AttributeError(name)
        return self.measure(name)

    def measure(self, metric: MetricLike) -> Score:
        """A metric of the task on these answers, to be judged.

        Raises:
            UndefinedScoreError: If the metric has no value on them.
            UnknownMetricError: If the task has no such metric.
        """
        recipe = self.run.recipe
        chosen = (
            metric
            if isinstance(metric, Metric)
            else resolve(metric, recipe.task)
            if isinstance(metric, str)
            else as_metric(metric)
        )
        on_validation = recipe.evaluates_on_validation
        source = ScoreSource(
            name=f"{self.name} among the others",
            run_key=self.run.key,
            checkpoint_key=self.run.checkpoint.key,
            task=recipe.task,
            split="validation" if on_validation else "test",
            selected_on_validation=on_validation,
            disclosure=self.run.disclosure,
        )
        return metrics.measure(chosen, self.predictions, source)

    @cached_property
    def scores(self) -> tuple[Score, ...]:
        """The usual metrics of the task."""
        found = []
        for name in USUAL_METRICS[self.run.recipe.task]:
            if name not in METRICS[self.run.recipe.task]:
                continue
            try:
                found.append(self.measure(name))
            except UndefinedScoreError:
                continue  # it has no value on answers of this kind: there is nothing to show
        return tuple(found)


class Together(Mapping[str, TogetherRun]):
    """Runs on one base model, by name; true when none disturbs another."""

    def __init__(self, runs: Mapping[str, Run], workspace: Workspace) -> None:
        self._runs = dict(runs)
        self._workspace = workspace
        self._members = {
            name: Member(checkpoint=run.checkpoint, recipe=run.recipe, examples=run.examples())
            for name, run in runs.items()
        }

    def __getitem__(self, name: str) -> TogetherRun:
        predictions = pipeline.joined(self._members[name], self._measured.rows[name])
        return TogetherRun(name, self._runs[name], predictions)

    def __iter__(self) -> Iterator[str]:
        return iter(self._runs)

    def __len__(self) -> int:
        return len(self._runs)

    def __bool__(self) -> bool:
        return not self.failed

    def __repr__(self) -> str:
        names = ", ".join(self._runs)
        if not self.failed:
            return f"<{names} on one base model: {len(self.checks)} checks hold>"
        shown = "; ".join(f"{check.text} ({check.says})" if check.says else check.text for check in self.failed[:3])
        more = f"; {len(self.failed) - 3} more" if len(self.failed) > 3 else ""
        return f"<{names} on one base model disturb each other: {shown}{more}>"

    @property
    def scores(self) -> Mapping[str, tuple[Score, ...]]:
        """The usual metrics of every run, each measured among the others."""
        return {name: self[name].scores for name in self}

    @property
    def switches_rows(self) -> bool:
        """Whether rows of one batch may have different adapters; else they are switched from batch to batch."""
        return all(found.row is not None for found in self._measured.interference.values())

    @cached_property
    def checks(self) -> tuple[FamilyCheck, ...]:
        """What is promised of adapters that share a base model, and what was found."""
        found = [check for name in self for check in self._checks_of(name)]
        says = "an adapter changed the base model itself (pissa and olora do): train it with another start"
        base = self._measured.base
        return (
            *found,
            FamilyCheck(name="all switched off = base model, logits", value=base, limit=LARGEST_DIFFERENCE, says=says),
        )

    @property
    def failed(self) -> tuple[FamilyCheck, ...]:
        """The checks that do not hold."""
        return tuple(check for check in self.checks if not check.passed)

    def export(self, directory: Path | str, precision: str = "fp32") -> Deployed:
        """Write one ONNX graph of the base model with an adapter file a run; see `slmcheck export --adapters`.

        Raises:
            InputError: If they are no LoRA adapters on the same layers, or the folder holds other files.
            ExportError: If the graph answers otherwise than PyTorch.
        """
        from slmcheck.evaluation.deploying import deploy_adapters

        return deploy_adapters(list(self._runs.values()), Path(directory), precision)

    def _checks_of(self, name: str) -> Iterator[FamilyCheck]:
        found, run = self._measured.interference[name], self._runs[name]
        disturbed = "another adapter changes what this one answers: look at the base weights and at the active adapter"
        alone = {one.id: one for one in run.predictions(kind=default_kind(run.recipe))}
        changed = sum(not _equal(one, alone[one.id]) for one in self[name].predictions)
        yield FamilyCheck(
            name=f"{name} alone = among the others, answers changed", value=changed, limit=0, says=disturbed
        )
        of_logits = {"a batch": found.batch, "a row": found.row}
        for what, value in of_logits.items():
            if value is not None:
                yield FamilyCheck(
                    name=f"{name} alone = among the others, logits, switched for {what}",
                    value=value,
                    limit=LARGEST_DIFFERENCE,
                    says=disturbed,
                )
        inactive = "the adapter that was asked for is not the one that answers"
        yield FamilyCheck(
            name=f"{name} is active, its effect on logits",
            value=found.effect,
            limit=LEAST_EFFECT,
            at_least=True,
            says=inactive,
        )
        yield FamilyCheck(
            name=f"{name} is the one that answers, share of rows",
            value=found.nearest,
            limit=1.0,
            at_least=True,
            says=inactive,
        )

    @cached_property
    def _measured(self) -> Beside:
        return pipeline.beside(self._members, self._workspace)


def together(runs: Sequence[Run | Recipe | Path | str], *, workspace: Workspace | None = None) -> Together:
    """Load the adapters of several runs onto one base model, ask each among the others, and look for interference.

    Args:
        runs: Two or more runs, names of runs, or recipes; a recipe is trained where the store has no run of it.
        workspace: Where results are kept; None takes the project of the first run.

    Raises:
        InputError: If there are fewer than two, two have one name, or they share no base model.
        UnknownRunError: If a run is unknown or was not trained.
        CheckpointError: If weights are unusable.
    """
    if len(runs) < 2:
        raise InputError(
            f"{len(runs)} run stands alone: side by side are two or more.\nName the runs of one base model."
        )
    workspace = workspace_for(*runs, workspace=workspace)
    opened = [_opened(one, workspace) for one in runs]
    names = [run.recipe.name.rpartition("/")[2] for run in opened]
    if len(set(names)) < len(names):
        names = [run.recipe.name for run in opened]
    if len(set(names)) < len(names):
        raise InputError(f"Two runs are called alike: {', '.join(names)}.\nName each run once.")
    heads = [run.recipe.name for run in opened if run.recipe.task == "sequence_classification"]
    if heads:
        raise InputError(
            f"'{heads[0]}' has a classification head of its own, which no other run can share.\n"
            "Side by side stand runs whose labels are words: task: classification."
        )
    return Together(dict(zip(names, opened, strict=True)), workspace)


def _opened(source: Run | Recipe | Path | str, workspace: Workspace) -> Run:
    if isinstance(source, Run):
        return source
    if isinstance(source, Recipe) or is_recipe_file(Path(source)):
        return open_recipe(source, workspace)
    return open_run(source, workspace=workspace)


def _equal(one: Prediction, other: Prediction) -> bool:
    """Whether two predictions give the same answer; likelihoods may differ by rounding."""
    if one.prediction is None and other.prediction is None:
        nll = other.nll or 0.0
        return abs((one.nll or 0.0) - nll) <= LARGEST_DIFFERENCE * max(1.0, abs(nll))
    return one.prediction == other.prediction
