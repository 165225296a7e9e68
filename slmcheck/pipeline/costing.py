"""An export -> what it costs on this machine beside PyTorch: measured once, kept with where it was measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from slmcheck import parity
from slmcheck.backends.environment import expected_environment, processor_name
from slmcheck.backends.onnx_folder import read_facts
from slmcheck.data.encoding import encode, encode_prompt
from slmcheck.data.tokenizers import read_tokenizer
from slmcheck.errors import OfflineMissError
from slmcheck.gates import Score, ScoreSource
from slmcheck.records import Checkpoint, Example, Json, RunRecord, from_json, to_json
from slmcheck.storage import digest
from slmcheck.workspace import Workspace

PROMPTS = 10
"""Prompts of the suite that are timed."""
DOCUMENT_TOKENS = 64
"""Where a document is no prompt and answer: its first tokens."""


def cost(
    name: str,
    record: RunRecord,
    exported: Checkpoint,
    examples: Sequence[Example],
    source: ScoreSource,
    workspace: Workspace,
) -> Score:
    """A cost of an export: one of `slmcheck.parity.COSTS`.

    All of them come of one measurement, kept under processor and library versions: another machine measures anew.

    Raises:
        OfflineMissError: If it would have to be measured and the session is offline.
        UnknownMetricError: If there is no such cost.
    """
    inputs: Json = {
        "costs": parity.COSTS_VERSION,
        "reference": record.checkpoint.key,
        "other": exported.key,
        "examples": digest("ids", [example.id for example in examples]),
        "processor": processor_name(),
        "environments": [to_json(expected_environment(one, device="cpu")) for one in (record.checkpoint, exported)],
    }
    key = digest("findings", inputs)
    stored = workspace.store.read_findings(key)
    if stored is None:
        if workspace.offline:
            raise OfflineMissError(
                f"The store has no costs of the {exported.precision} export of '{record.name}' on {processor_name()}, "
                "and this session is offline.\nMeasure where models may be loaded: run the suite without --slm-offline."
            )
        with workspace.store.lock(f"costs-{key}"), workspace.store.slot("cpu"):
            stored = to_json(_measure(record, exported, examples))
        workspace.store.write_findings(key, stored, inputs)
    return parity.cost(name, from_json(parity.Costs, stored), source)


def _measure(record: RunRecord, exported: Checkpoint, examples: Sequence[Example]) -> parity.Costs:
    from slmcheck.backends import load_merged
    from slmcheck.backends.pytorch_loading import folder_of

    tokenizer = read_tokenizer(exported.path)
    if record.recipe.task == "language_modeling":
        texts = [encode(one, tokenizer, recipe=record.recipe, end=False).ids[:DOCUMENT_TOKENS] for one in examples]
    else:
        texts = [encode_prompt(example, tokenizer, recipe=record.recipe) for example in examples]
    chosen = texts[:: max(1, len(texts) // PROMPTS)][:PROMPTS]
    model = record.checkpoint
    folder = folder_of(model.base_model) if model.base_model is not None else Path(model.path)
    return parity.measure_costs(
        model,
        exported,
        chosen,
        load_reference=lambda: load_merged(model),
        size_bytes=read_facts(exported.path).size_bytes,
        reference_bytes=parity.weights_bytes(folder),
    )
