"""A run and an export of it -> every score of parity, and whether the differences are rounding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from slmcheck.errors import InputError, UndefinedScoreError
from slmcheck.evaluation.comparing import USUAL_METRICS
from slmcheck.evaluation.exported import Judgement, OnnxView
from slmcheck.evaluation.opening import open_run
from slmcheck.evaluation.run import Run, is_path
from slmcheck.gates import Score, Verdict
from slmcheck.parity import SCORES, Condition, Parting, Served
from slmcheck.records import Recipe
from slmcheck.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How far an exported model agrees with the trained one."""

    run: str
    precision: str
    folder: Path
    """Where the exported model lies in the store."""
    scores: tuple[Score, ...]
    """Of the export against the model that it was made of."""
    merged: tuple[Score, ...] = ()
    """Of that model, an adapter merged into its base model, against the two beside each other; empty without one."""
    conditions: tuple[Condition, ...] = ()
    """A sample of rows asked in every way."""
    partings: tuple[Parting, ...] = ()
    """Where greedy texts part."""
    served: Served | None = None
    """What a GenAI folder does with the prompts; None for other exports."""
    equivalences: tuple[Verdict, ...] = ()
    """Whether the metrics of the task are the same to their margins, in either direction."""
    judgement: Judgement | None = None
    """All of it held against the default tolerances; None where only some scores were asked for."""


def parity(
    run: Run | Recipe | Path | str,
    precision: str | None = None,
    *,
    onnx: Path | str | None = None,
    metrics: Sequence[str] = (),
    workspace: Workspace | None = None,
) -> Parity:
    """Measure how far an ONNX form of a run agrees with the PyTorch model on the evaluation split.

    Args:
        run: The run.
        precision: Precision of the exported weights, fp32 where none is named; with `onnx` the one whose tolerances
            hold, read from the weights where none is named.
        onnx: A graph or folder that another tool made; None exports the run.
        metrics: Names of agreement scores, or metrics of the task on the export's own answers; none takes every
            agreement score and judges them by the default tolerances.
        workspace: Where results are kept; None takes the project of the current folder.

    Raises:
        InputError: If there is no such precision or no such file.
        UnknownRunError: If the run is unknown or was not trained.
        ExportError: If no usable graph came out.
        CheckpointError: If a graph is damaged, or is not called as this model is.
    """
    from slmcheck.parity import TOLERANCES

    if precision is not None and precision not in TOLERANCES:
        close = get_close_matches(precision, TOLERANCES, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise InputError(f"Unknown precision '{precision}'.\nPrecisions: {', '.join(TOLERANCES)}.{hint}")
    opened = run if isinstance(run, Run) else open_run(run, workspace=workspace)
    view = opened.onnx(precision or "fp32") if onnx is None else opened.onnx(Path(onnx), precision=precision)
    if metrics:
        scores = tuple(getattr(view, name) for name in metrics)
        return Parity(run=opened.recipe.name, precision=view.precision, folder=view.folder, scores=scores)
    merged = opened.checkpoint.kind == "adapter"
    return Parity(
        run=opened.recipe.name,
        precision=view.precision,
        folder=view.folder,
        scores=tuple(view.scores().values()),
        merged=tuple(view.merged.scores().values()) if merged else (),
        conditions=view.conditions,
        partings=view.partings if "divergence" in view.score_names else (),
        served=view.served if view.genai is not None else None,
        equivalences=tuple(_equivalences(view)),
        judgement=view.judgement,
    )


def _equivalences(view: OnnxView) -> list[Verdict]:
    found = []
    for name in USUAL_METRICS[view.recipe.task]:
        try:
            found.append(view.equivalent(name))
        except UndefinedScoreError:
            continue  # the metric has no value on these answers: there is nothing to be equivalent
    return found


__all__ = ["SCORES", "Parity", "is_path", "parity"]
