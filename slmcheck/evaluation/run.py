"""What the fixtures hand out for a fine-tuning run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from slmcheck import parity, pipeline, recipes
from slmcheck.data import Splits, load_splits
from slmcheck.errors import UndefinedScoreError
from slmcheck.evaluation.views import Subject, View
from slmcheck.gates import Score
from slmcheck.records import Checkpoint, Environment, Finding, HistoryPoint, Recipe, Resources, RunRecord
from slmcheck.training import training_environment
from slmcheck.workspace import Workspace


class Run(View):
    """One fine-tuning run: its scores, its history, its base model and its exports.

    With `seeds: k` in the recipe every score is the mean over k runs; history, exports and predictions are those of
    the first.
    """

    def __init__(self, records: Sequence[RunRecord], splits: Splits, workspace: Workspace) -> None:
        first = records[0]
        subject = Subject(
            name=first.recipe.name.rpartition("/")[2],
            recipe=first.recipe,
            checkpoints=tuple(record.checkpoint for record in records),
            run_keys=tuple(record.key for record in records),
            notes=_notes(first, workspace),
        )
        super().__init__(subject, splits, workspace)
        self.records = tuple(records)

    @property
    def record(self) -> RunRecord:
        """The record of the run, of its first seed where there are several."""
        return self.records[0]

    @property
    def key(self) -> str:
        """The run key: what was asked for, as a digest."""
        return self.record.key

    @property
    def checkpoint(self) -> Checkpoint:
        """The trained weights."""
        return self.record.checkpoint

    @property
    def history(self) -> tuple[HistoryPoint, ...]:
        """Losses by step."""
        return self.record.history

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the checks of rows and of the model found before the training."""
        return pipeline.findings_of(self.key, self._workspace)

    @property
    def resources(self) -> Resources:
        """What the training took."""
        return self.record.resources

    @property
    def environment(self) -> Environment:
        """Where the training was done."""
        return self.record.environment

    @property
    def splits(self) -> Splits:
        """The examples of all splits."""
        return self._splits

    @property
    def workspace(self) -> Workspace:
        """The workspace that the run reads."""
        return self._workspace

    @property
    def seeds(self) -> tuple[Run, ...]:
        """One run a seed."""
        return tuple(Run([record], self._splits, self._workspace) for record in self.records)

    @cached_property
    def base(self) -> View:
        """The base model with the same template, rows and settings.

        Raises:
            UndefinedScoreError: If the run has no base model that can answer.
        """
        if self.recipe.task == "sequence_classification":
            raise UndefinedScoreError(
                f"The base model of '{self.name}' cannot answer: its classification head is new.\n"
                "Compare with a baseline, or with a majority baseline, instead."
            )
        if self.record.checkpoint.kind == "predictions":
            raise UndefinedScoreError(f"Run '{self.name}' is a file of saved predictions: it has no base model.")
        checkpoint = recipes.base_model_of(self.recipe).checkpoint()
        return View(self._renamed(f"{self.name}.base", (checkpoint,), (None,)), self._splits, self._workspace)

    def onnx(self, precision: str = "fp32") -> OnnxView:
        """The run exported to ONNX: its scores, and how far it agrees with the PyTorch model.

        Args:
            precision: One of the precisions that `slmcheck.export` knows.

        Raises:
            ExportError: If no usable graph came out.
        """
        exported = pipeline.export(self.record, precision, self._workspace)
        subject = self._renamed(f"{self.name}.onnx({precision})", (exported,), (self.key,))
        return OnnxView(subject, self._splits, self._workspace, record=self.record)


class OnnxView(View):
    """An exported model, compared with the checkpoint it was made from.

    Beside the metrics of the task it has the scores of parity: agreement, top1, logit_max, logit_mean, kl and
    perplexity_ratio.
    """

    def __init__(
        self,
        subject: Subject,
        splits: Splits,
        workspace: Workspace,
        *,
        record: RunRecord,
        slice_name: str | None = None,
    ) -> None:
        super().__init__(subject, splits, workspace, slice_name=slice_name)
        self._record = record

    def __getattr__(self, name: str) -> Score:
        if name not in parity.SCORES:
            return super().__getattr__(name)
        exported, key = self._subject.checkpoints[0], self._subject.run_keys[0]
        return pipeline.compare(
            name, self._record, exported, self.examples(), self._source("evaluation", key), self._workspace
        )


def open_recipe(source: Recipe | Path | str, workspace: Workspace, *, seeds: int | None = None) -> Run:
    """The run of a recipe or recipe file, trained if the store has none; `seeds` overrides the recipe's."""
    recipe = source if isinstance(source, Recipe) else recipes.load(Path(source))
    splits = load_splits(recipe)
    count = seeds or recipe.seeds
    records = [
        pipeline.finetune(replace(recipe, seed=recipe.seed + index, seeds=1), splits, workspace)
        for index in range(count)
    ]
    return Run([replace(record, recipe=recipe) for record in records], splits, workspace)


def _notes(record: RunRecord, workspace: Workspace) -> tuple[str, ...]:
    if not record.made_elsewhere:
        return ()
    here = training_environment(record.recipe, workspace.device)
    return (f"trained on {record.environment}; this machine: {here}",)
