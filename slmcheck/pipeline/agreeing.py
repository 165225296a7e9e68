"""How far an export agrees with the model it was made of, and that model with base model and adapter.

Two comparisons, because merging an adapter rounds by more than an fp32 export does: the graph with the merged model
(`export`), and the merged model with the adapter beside its base model (`merge`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from slmcheck import inference, parity
from slmcheck.backends import GivesLogits
from slmcheck.backends.environment import worker_threads
from slmcheck.data import row_digest
from slmcheck.data.rendering import CLASSIFICATIONS
from slmcheck.errors import OfflineMissError, UndefinedScoreError
from slmcheck.gates import Evidence, Score, ScoreSource
from slmcheck.metrics import reference_hash
from slmcheck.pipeline.measuring import source_identity, stored_form
from slmcheck.pipeline.predicting import evidence_of, join, load_merged_model, load_model, predict
from slmcheck.records import (
    Checkpoint,
    Example,
    ExampleEvidence,
    Json,
    PredictedRow,
    Prediction,
    PredictionKind,
    Recipe,
    RunRecord,
    from_json,
    to_json,
)
from slmcheck.storage import StoredScore, digest
from slmcheck.workspace import Workspace

if TYPE_CHECKING:
    from slmcheck.backends import LanguageModel

Subject = Literal["export", "merge"]
MERGED = "merged"
"""Stands in place of a precision where a baseline names the merged model."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two forms of one trained model: the one that is right by definition, and the one that is to agree."""

    record: RunRecord
    exported: Checkpoint
    subject: Subject = "export"

    @property
    def is_adapter(self) -> bool:
        """Whether the run's checkpoint is an adapter, so that an export holds another model: the merged one."""
        return self.record.checkpoint.kind == "adapter"

    @property
    def recipe(self) -> Recipe:
        """How examples are rendered and asked."""
        return self.record.recipe

    @property
    def reference_key(self) -> str:
        """Key of the model that is right by definition."""
        own = self.record.checkpoint.key
        return merged_key(self.record.checkpoint) if self.subject == "export" and self.is_adapter else own

    @property
    def other(self) -> Checkpoint:
        """The model that is to agree, as scores name it."""
        own = self.record.checkpoint
        return self.exported if self.subject == "export" else replace(own, key=merged_key(own))

    def load(self) -> tuple[LanguageModel, LanguageModel]:
        """Both models, in memory."""
        threads, own = worker_threads(), self.record.checkpoint
        if self.subject == "merge":
            return load_model(own, "cpu", threads), load_merged_model(own, threads)
        reference = load_merged_model(own, threads) if self.is_adapter else load_model(own, "cpu", threads)
        return reference, load_model(self.exported, "cpu", threads)


def merged_key(checkpoint: Checkpoint) -> str:
    """The key of an adapter merged into its base model."""
    return digest("merged", checkpoint.key)


def compare(name: str, pair: Pair, examples: Sequence[Example], source: ScoreSource, workspace: Workspace) -> Score:
    """How far the two models of a pair agree: one of `slmcheck.parity.SCORES`.

    The scores of logits come of one pass over both models; the store keeps all of them. Answers and texts of an export
    are compared with those of the run itself, which its other scores are made of.

    Raises:
        OfflineMissError: If a model would have to be asked and the session is offline.
        PredictionError: If the comparison could not be made.
        UndefinedScoreError: If the score has no value for this task.
    """
    if name in ("agreement", "divergence"):
        return _of_answers(name, pair, examples, source, workspace)
    key, _ = _score_key(name, pair, examples, source)
    stored = workspace.store.read_score(key)
    if stored is not None:
        return _parity_score(name, stored, source)
    _forbid_offline(pair, workspace)
    read = _compared_while_answering(pair, examples, workspace)
    with workspace.store.lock(f"parity-{key}"), workspace.store.slot("cpu", worker_threads()):
        reference, other = pair.load()
        rows = parity.compare(reference, other, examples, recipe=pair.recipe, known=read)
    for known in parity.LOGIT_SCORES:
        if known == "perplexity_ratio" and not rows.column("scored").any():
            continue  # it has no value, and says so when it is asked for
        _keep(parity.score(known, rows, source), pair, examples, source, workspace)
    return parity.score(name, rows, source)


def _compared_while_answering(pair: Pair, examples: Sequence[Example], workspace: Workspace) -> parity.Known | None:
    """Options that the graph must choose from anyway: its logits are compared on the way, and its answers kept."""
    if pair.subject != "export" or pair.recipe.task not in CLASSIFICATIONS:
        return None
    watched: list[parity.Watched] = []

    def watch(model: LanguageModel, asked: Sequence[Example]) -> inference.Ask | None:
        if not isinstance(model, GivesLogits):
            return None
        reference, _ = pair.load()
        watched.append(parity.Watched(reference, model, asked, recipe=pair.recipe))
        return watched[0].ask

    predict(pair.exported, examples, "options", pair.recipe, workspace, watch=watch)
    return watched[0].found if watched else None


def check_conditions(pair: Pair, examples: Sequence[Example], workspace: Workspace) -> tuple[parity.Condition, ...]:
    """A sample of rows asked alone, together, padded, long and token by token."""
    key = digest("parity-conditions", _inputs("conditions", pair, examples))
    stored = workspace.store.read_findings(key)
    if isinstance(stored, Sequence):
        return tuple(from_json(parity.Condition, item) for item in stored)
    _forbid_offline(pair, workspace)
    with workspace.store.slot("cpu", worker_threads()):
        reference, other = pair.load()
        found = parity.check_conditions(reference, other, examples, recipe=pair.recipe)
    workspace.store.write_findings(key, [to_json(one) for one in found])
    return found


def partings(pair: Pair, examples: Sequence[Example], workspace: Workspace) -> tuple[parity.Parting, ...]:
    """Where the greedy texts of a pair part, for each example whose texts are not the same.

    Raises:
        UndefinedScoreError: If the task writes no texts, or they are drawn at random.
    """
    check_greedy(pair.recipe)
    own, other = _answers(pair, examples, workspace)
    texts = {one.id: one.prediction for one in own}
    parted = {one.id for one in other if one.prediction != texts[one.id]}
    chosen = [example for example in examples if example.id in parted]
    if not chosen:
        return ()
    key = digest("parity-partings", _inputs("partings", pair, chosen))
    stored = workspace.store.read_findings(key)
    if isinstance(stored, Sequence):
        return tuple(from_json(parity.Parting, item) for item in stored)
    _forbid_offline(pair, workspace)
    with workspace.store.slot("cpu", worker_threads()):
        reference, model = pair.load()
        found = parity.partings(reference, model, chosen, recipe=pair.recipe)
    workspace.store.write_findings(key, [to_json(one) for one in found])
    return found


def check_greedy(recipe: Recipe) -> None:
    """Raise unless greedy texts are written.

    Raises:
        UndefinedScoreError: If the task writes none, or they are drawn at random.
    """
    if recipe.task in CLASSIFICATIONS or recipe.task == "language_modeling":
        raise UndefinedScoreError(
            f"divergence has no value: the task '{recipe.task}' writes no texts.\nUse agreement, kl or top1."
        )
    if recipe.evaluation.temperature:
        raise UndefinedScoreError(
            f"divergence has no value: texts of '{recipe.name}' are drawn at random.\n"
            "Set evaluation.temperature: 0 to compare greedy texts."
        )


def _of_answers(name: str, pair: Pair, examples: Sequence[Example], source: ScoreSource, workspace: Workspace) -> Score:
    if name == "divergence":
        check_greedy(pair.recipe)
    own, other = _answers(pair, examples, workspace)
    answers = {found.id: found.prediction or "" for found in own}
    old, new = ("PyTorch", "ONNX") if pair.subject == "export" else ("adapter", "merged")

    def show(example_id: str) -> ExampleEvidence:
        found = evidence_of(next(one for one in other if one.id == example_id))
        return replace(found, old_answer=answers[example_id], note=f"old answer: {old}; new answer: {new}")

    make = parity.agreement if name == "agreement" else parity.divergence
    score = make(own, other, source, show=show)
    _keep(score, pair, examples, source, workspace)
    return score


def _answers(
    pair: Pair, examples: Sequence[Example], workspace: Workspace
) -> tuple[tuple[Prediction, ...], tuple[Prediction, ...]]:
    kind: PredictionKind = "options" if pair.recipe.task in CLASSIFICATIONS else "generate"
    own = predict(pair.record.checkpoint, examples, kind, pair.recipe, workspace)
    if pair.subject == "export":
        return own, predict(pair.exported, examples, kind, pair.recipe, workspace)
    return own, _answers_of_merged(pair, examples, kind, workspace)


def _answers_of_merged(
    pair: Pair, examples: Sequence[Example], kind: PredictionKind, workspace: Workspace
) -> tuple[Prediction, ...]:
    """Answers of the merged model; the store keeps them as one finding, since no checkpoint of it exists."""
    key = digest("parity-merged-answers", {**_inputs(kind, pair, examples), "inference": inference.CACHE_VERSION})
    stored = workspace.store.read_findings(key)
    if not isinstance(stored, Sequence):
        _forbid_offline(pair, workspace)
        rows: list[PredictedRow] = []
        with workspace.store.slot("cpu", worker_threads()):
            _, merged = pair.load()
            inference.predict(merged, examples, kind=kind, recipe=pair.recipe, on_rows=rows.extend)
        workspace.store.write_findings(key, [to_json(row) for row in rows])
    else:
        rows = [from_json(PredictedRow, item) for item in stored]
    found: Mapping[str, PredictedRow] = {row.row: row for row in rows}
    return tuple(join(example, found[row_digest(example, kind, pair.recipe)]) for example in examples)


def _forbid_offline(pair: Pair, workspace: Workspace) -> None:
    if workspace.offline:
        raise OfflineMissError(
            f"The store has no comparison of the {pair.exported.precision} export of '{pair.record.name}' with "
            "PyTorch, and this session is offline.\n"
            "Compare where models may be loaded (run the suite without --slm-offline)."
        )


def _inputs(name: str, pair: Pair, examples: Sequence[Example]) -> dict[str, Json]:
    return {
        "score": name,
        "version": parity.CACHE_VERSION,
        "reference": pair.reference_key,
        "other": pair.other.key,
        "rows": digest("rows", [row_digest(example, "nll", pair.recipe) for example in examples]),
        "ids": digest("ids", [example.id for example in examples]),
        "groups": digest("groups", [example.group for example in examples]),
        "max_new_tokens": pair.recipe.evaluation.max_new_tokens,
    }


def _score_key(name: str, pair: Pair, examples: Sequence[Example], source: ScoreSource) -> tuple[str, Json]:
    inputs: Json = {**_inputs(name, pair, examples), "source": source_identity(source)}
    return digest("score", inputs), inputs


def _keep(score: Score, pair: Pair, examples: Sequence[Example], source: ScoreSource, workspace: Workspace) -> None:
    key, inputs = _score_key(score.metric.name, pair, examples, source)
    references = {example.id: reference_hash(example.references) for example in examples}
    stored = stored_form(score, pair.other)
    if pair.subject == "merge":
        stored = replace(stored, extras={**stored.extras, "variant": f"onnx:{MERGED}"})
    hashes = tuple(references[example_id] for example_id in stored.ids)
    workspace.store.write_score(key, replace(stored, reference_hashes=hashes), inputs)


def _parity_score(name: str, stored: StoredScore, source: ScoreSource) -> Score:
    wanted = parity.SCORES[name]
    assert wanted.value_of_sum is not None
    evidence = Evidence(
        example_ids=stored.ids,
        statistics=stored.statistics,
        columns=stored.columns,
        value_of_sum=wanted.value_of_sum,
        groups=stored.groups,
    )
    return Score(stored.value, metric=wanted.info, source=source, evidence=evidence)
