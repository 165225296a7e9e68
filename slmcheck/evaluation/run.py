"""What the fixtures hand out for a fine-tuning run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from slmcheck import pipeline, recipes
from slmcheck.data import Splits, load_splits
from slmcheck.errors import UndefinedScoreError
from slmcheck.evaluation.exported import OnnxView
from slmcheck.evaluation.searched import settled
from slmcheck.evaluation.views import Subject, View
from slmcheck.export import genai_folder
from slmcheck.gates import Score
from slmcheck.records import Checkpoint, Environment, Finding, HistoryPoint, Recipe, Resources, RunRecord
from slmcheck.training import training_environment
from slmcheck.workspace import Workspace

if TYPE_CHECKING:
    from slmcheck.evaluation.diagnosing import Diagnosis


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
        self.exports: dict[str, OnnxView] = {}
        """Every export that was asked for, by the name that claims give it."""

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

    @cached_property
    def diagnosis(self) -> Diagnosis:
        """Why it scores as it does: `assert not run.diagnosis.problems`; made once and kept in the store."""
        from slmcheck.evaluation.diagnosing import diagnosis_of

        return diagnosis_of(self)

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

    def onnx(self, source: str | Path = "fp32", *, precision: str | None = None) -> OnnxView:
        """The run as ONNX: its scores, and how far it agrees with the PyTorch model.

        Args:
            source: One of the precisions that `slmcheck.export` knows, exported where the store has it not; or the path
                of a graph or folder that any other tool made of this run.
            precision: For a path: whose tolerances hold; None reads it from the weights.

        Raises:
            ExportError: If no usable graph came out.
            InputError: If there is neither such a precision nor such a path.
            CheckpointError: If a graph is damaged, or is not called as this model is.
        """
        if is_path(source):
            exported = pipeline.adopt(self.record, Path(source), self._workspace, precision=precision)
        else:
            exported = pipeline.export(self.record, str(source), self._workspace)
        subject = self._renamed(f"{self.name}.onnx({source})", (exported,), (self.key,))
        view = OnnxView(subject, self, record=self.record, exported=exported)
        view.genai = genai_folder(Path(source)) if is_path(source) else None
        self.exports[view.name] = view
        return view

    def export(self, directory: Path | str, precision: str = "fp32", *, exporter: str = "onnx") -> pipeline.Deployed:
        """Write the folder to deploy; see `slmcheck export`.

        Args:
            directory: A new or empty folder, or one with an earlier export.
            precision: Precision of the exported weights.
            exporter: `onnx`, `genai`, or an installed plugin.

        Raises:
            InputError: If the folder holds other files.
            ExportError: If no usable graph came out, or the written folder answers otherwise than the trained model.
        """
        from slmcheck.evaluation.deploying import deploy

        return deploy(self, Path(directory), precision, exporter=exporter)

    def on_device(self, selfcheck: Path | str) -> Score:
        """How far an export agrees with the run on a target device: the share of equal answers, to be judged.

        Args:
            selfcheck: The selfcheck.json that the exported folder's script wrote there; relative to the recipe.

        Raises:
            InputError: If the file is no self-check of an export of this run.
        """
        from slmcheck.evaluation.deploying import read_selfcheck

        return read_selfcheck(self, self.recipe.directory / selfcheck).agreement


def is_path(source: str | Path) -> bool:
    """Whether an export is named by a path rather than by a precision."""
    return isinstance(source, Path) or "/" in source or source.endswith(".onnx") or Path(source).is_dir()


def open_recipe(source: Recipe | Path | str, workspace: Workspace, *, seeds: int | None = None) -> Run:
    """The run of a recipe or recipe file, trained if the store has none; `seeds` overrides the recipe's.

    Raises:
        UnknownRunError: If the recipe has a search that was not finished; `slmcheck.studies` carries it out.
    """
    recipe = settled(source if isinstance(source, Recipe) else recipes.load(Path(source)), workspace)
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
