"""Checkpoint -> ONNX checkpoint, and how far the two agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from slmcheck import export as exporting
from slmcheck import parity
from slmcheck.backends.environment import worker_threads
from slmcheck.data import row_digest
from slmcheck.data.rendering import CLASSIFICATIONS
from slmcheck.errors import OfflineMissError
from slmcheck.gates import Evidence, Score, ScoreSource
from slmcheck.metrics import reference_hash
from slmcheck.pipeline.measuring import source_identity, stored_form
from slmcheck.pipeline.predicting import evidence_of, load_model, predict
from slmcheck.records import Checkpoint, Example, ExampleEvidence, Json, PredictionKind, RunRecord
from slmcheck.storage import StoredScore, digest
from slmcheck.workspace import Workspace


def export(record: RunRecord, precision: str, workspace: Workspace) -> Checkpoint:
    """A run's checkpoint as an ONNX graph: from the store, or exported now.

    Raises:
        OfflineMissError: If it would have to be exported and the session is offline.
        ExportError: If no usable graph came out.
    """
    inputs = exporting.export_inputs(record.checkpoint, precision)
    key = digest("export", inputs)
    found = workspace.store.find_export(key)
    if found is None:
        if workspace.offline:
            raise OfflineMissError(
                f"The store has no {precision} export of '{record.name}', and this session is offline.\n"
                f"Key {key[:12]}, store {workspace.store.root}.\n"
                "Export it where models may be loaded (run the suite without --slm-offline) and bring the store here."
            )
        with workspace.store.lock(f"export-{key}"), workspace.store.slot("cpu"):
            found = workspace.store.find_export(key)
            if found is None:
                with workspace.store.scratch(key) as folder:
                    exporting.to_onnx(record.checkpoint, folder, precision=precision)
                    found = workspace.store.publish_export(key, folder, inputs)
    return exporting.exported_checkpoint(found, key, precision)


def compare(
    name: str,
    record: RunRecord,
    exported: Checkpoint,
    examples: Sequence[Example],
    source: ScoreSource,
    workspace: Workspace,
) -> Score:
    """How far an exported graph agrees with the checkpoint it was made of: one of `slmcheck.parity.SCORES`.

    The scores of logits come of one pass over both models; the store keeps all of them.

    Raises:
        OfflineMissError: If a model would have to be asked and the session is offline.
        PredictionError: If the comparison could not be made.
    """
    recipe = record.recipe
    if name == "agreement":
        kind: PredictionKind = "options" if recipe.task in CLASSIFICATIONS else "generate"
        own = predict(record.checkpoint, examples, kind, recipe, workspace)
        other = predict(exported, examples, kind, recipe, workspace)
        answers = {found.id: found.prediction or "" for found in own}

        def show(example_id: str) -> ExampleEvidence:
            found = evidence_of(next(one for one in other if one.id == example_id))
            return replace(found, old_answer=answers[example_id], note="old answer: PyTorch; new answer: ONNX")

        score = parity.agreement(own, other, source, show=show)
        _keep(score, _parity_key(name, record, exported, examples, source), exported, examples, workspace)
        return score
    key, _ = _parity_key(name, record, exported, examples, source)
    stored = workspace.store.read_score(key)
    if stored is None:
        if workspace.offline:
            raise OfflineMissError(
                f"The store has no comparison of the {exported.precision} export of '{record.name}' with PyTorch, and "
                "this session is offline.\nCompare where models may be loaded (run the suite without --slm-offline)."
            )
        with workspace.store.lock(f"parity-{key}"), workspace.store.slot("cpu", worker_threads()):
            reference = load_model(record.checkpoint, "cpu", worker_threads())
            other_model = load_model(exported, "cpu", worker_threads())
            rows = parity.compare(reference, other_model, examples, recipe=recipe)
        for known in parity.SCORES:
            if parity.SCORES[known].statistics is not None:
                score = parity.score(known, rows, source)
                _keep(score, _parity_key(known, record, exported, examples, source), exported, examples, workspace)
        return parity.score(name, rows, source)
    return _parity_score(name, stored, source)


def _parity_key(
    name: str, record: RunRecord, exported: Checkpoint, examples: Sequence[Example], source: ScoreSource
) -> tuple[str, Json]:
    inputs: Json = {
        "score": name,
        "version": parity.CACHE_VERSION,
        "reference": record.checkpoint.key,
        "other": exported.key,
        "rows": digest("rows", [row_digest(example, "nll", record.recipe) for example in examples]),
        "ids": digest("ids", [example.id for example in examples]),
        "source": source_identity(source),
    }
    return digest("score", inputs), inputs


def _keep(
    score: Score,
    key: tuple[str, Json],
    exported: Checkpoint,
    examples: Sequence[Example],
    workspace: Workspace,
) -> None:
    references = {example.id: reference_hash(example.references) for example in examples}
    stored = stored_form(score, exported)
    hashes = tuple(references[example_id] for example_id in stored.ids)
    workspace.store.write_score(key[0], replace(stored, reference_hashes=hashes), key[1])


def _parity_score(name: str, stored: StoredScore, source: ScoreSource) -> Score:
    wanted = parity.SCORES[name]
    assert wanted.value_of_sum is not None
    evidence = Evidence(
        example_ids=stored.ids,
        statistics=stored.statistics,
        columns=stored.columns,
        value_of_sum=wanted.value_of_sum,
    )
    return Score(stored.value, metric=wanted.info, source=source, evidence=evidence)
