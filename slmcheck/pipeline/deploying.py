"""A run -> the folder to deploy, with prompts of its suite and what the model answers to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from slmcheck.backends.onnx_folder import GraphFacts, read_facts
from slmcheck.data.encoding import encode, encode_prompt
from slmcheck.data.rendering import CLASSIFICATIONS
from slmcheck.data.templates import parse_template
from slmcheck.data.tokenizers import TextTokenizer, read_tokenizer
from slmcheck.errors import ExportError
from slmcheck.export.deploying import (
    MOST_PROMPTS,
    AskedKind,
    CheckedPrompt,
    DeployedTask,
    Identity,
    Limits,
    prepare_folder,
    write_adapter_task,
    write_folder,
    write_selfcheck,
)
from slmcheck.inference.options import option_encodings
from slmcheck.pipeline.predicting import predict
from slmcheck.records import Checkpoint, Example, Json, PredictionKind, Recipe, RunRecord
from slmcheck.workspace import Workspace

ShownExamples = Literal["full", "redacted", "none"]
"""What of a suite's rows may leave the store: a self-check has them in full, or prompts of random tokens instead."""
DRAWN_TOKENS, DRAWN_LIMIT = 24, 16


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A folder to deploy."""

    directory: Path
    facts: GraphFacts
    prompts: int
    """Prompts of its self-check."""
    adapters: tuple[str, ...] = ()
    """Names of its adapter files."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A run of a folder: the only one, or one of its adapters."""

    record: RunRecord
    examples: tuple[Example, ...]
    """Its evaluation split."""
    adapter: str | None = None
    """Name of its adapter file; None where the graph holds its weights."""


def deploy(
    parts: Sequence[Part],
    exported: Checkpoint,
    directory: Path,
    workspace: Workspace,
    *,
    identity: Identity,
    limits: Limits,
    shown: ShownExamples = "full",
) -> Deployed:
    """Write an export with task, runner, card and self-check.

    Args:
        parts: The run whose export it is, or the runs whose adapters it holds; at most 200 of their examples, evenly
            spread, become prompts.
        exported: The export.
        directory: New, empty, or with an earlier export.
        workspace: Where predictions are kept.
        identity: Whose export it is, for card and self-check.
        limits: Times that the target device must keep.
        shown: Whether the self-check may hold rows of the suite.

    Raises:
        InputError: If the folder holds something else.
        ExportError: If the exported folder does not run, or in fp32 answers otherwise than the trained model.
    """
    prepare_folder(directory)
    tokenizer, facts = read_tokenizer(exported.path), read_facts(exported.path)
    tasks = [task_of(part.record.recipe, part.examples, tokenizer, facts) for part in parts]
    write_folder(exported.path, directory, tasks[0], identity)
    prompts: list[CheckedPrompt] = []
    for part, task in zip(parts, tasks, strict=True):
        most = MOST_PROMPTS // len(parts)
        if part.adapter is not None:
            write_adapter_task(directory, part.adapter, task)
        if shown == "full":
            chosen = part.examples[:: -(-len(part.examples) // most)] if part.examples else ()
            own = _prompts(part.record, chosen, task, tokenizer, facts, workspace)
        else:
            own = drawn_prompts(facts, count=min(len(part.examples), most))
        prompts += [replace(prompt, adapter=part.adapter) for prompt in own]
    wrong = write_selfcheck(directory, prompts, identity, limits)
    if wrong and facts.precision == "fp32":
        raise ExportError(
            f"The runner of the exported folder answers {len(wrong)} of {len(prompts)} prompts otherwise than the "
            f"trained model, {wrong[0]} among them.\nIn {directory}.\n"
            f"Look where they part: slmcheck parity {parts[0].record.name} --precision fp32"
        )
    names = tuple(part.adapter for part in parts if part.adapter is not None)
    return Deployed(directory=directory, facts=facts, prompts=len(prompts), adapters=names)


def task_of(recipe: Recipe, examples: Sequence[Example], tokenizer: TextTokenizer, facts: GraphFacts) -> DeployedTask:
    """What the runner must know to ask the model as it was trained to be asked."""
    texts = {example.option_texts for example in examples}
    kind = kind_of(recipe)
    return DeployedTask(
        name=recipe.name,
        kind=kind,
        template=_template(recipe),
        options=examples[0].options if examples and recipe.task in CLASSIFICATIONS else (),
        option_texts=next(iter(texts)) if len(texts) == 1 and kind == "options" else None,
        normalization=recipe.evaluation.normalization,
        max_new_tokens=recipe.evaluation.max_new_tokens,
        stop=recipe.evaluation.stop,
        prefix=() if recipe.data.messages is not None else tokenizer.prefix,
        suffix=tokenizer.suffix if kind == "head" else (),
        start_id=min(facts.eos_ids, default=0),
        end_id=tokenizer.eos_id if tokenizer.eos_id is not None else min(facts.eos_ids, default=0),
        eos_ids=_ends(recipe, examples, tokenizer, facts),
        context_tokens=facts.context_tokens,
        vocabulary_size=facts.vocabulary_size,
    )


def kind_of(recipe: Recipe) -> AskedKind:
    """How a model of a task is asked on a device: documents of language modelling are written on."""
    if recipe.task == "sequence_classification":
        return "head"
    return "options" if recipe.task == "classification" else "generate"


def _template(recipe: Recipe) -> dict[str, Json] | None:
    data = recipe.data
    if data.messages is not None or data.text_template is None:
        return None
    template = parse_template(data.text_template)
    if data.answer in template.fields:
        template, _ = template.split_at(str(data.answer))
    return {"texts": list(template.texts), "fields": list(template.fields)}


def _ends(recipe: Recipe, examples: Sequence[Example], tokenizer: TextTokenizer, facts: GraphFacts) -> tuple[int, ...]:
    """Every token that ends a text; for chat the one that ends a turn too."""
    turn = {encode(example, tokenizer, recipe=recipe).ids[-1] for example in examples[:1] if example.messages}
    return tuple(sorted({*facts.eos_ids, *turn}))


def _prompts(
    record: RunRecord,
    examples: Sequence[Example],
    task: DeployedTask,
    tokenizer: TextTokenizer,
    facts: GraphFacts,
    workspace: Workspace,
) -> list[CheckedPrompt]:
    recipe = record.recipe
    if recipe.task == "language_modeling":
        return [_document(example, tokenizer, recipe) for example in examples]
    kind: PredictionKind = "generate" if task.kind == "generate" else "options"
    greedy = task.kind != "generate" or not recipe.evaluation.temperature
    answers = predict(record.checkpoint, examples, kind, recipe, workspace) if greedy else [None] * len(examples)
    found = []
    for example, own in zip(examples, answers, strict=True):
        answer = None if own is None else own.prediction
        found.append(_prompt(example, task, tokenizer, facts, recipe, answer))
    return found


def _prompt(
    example: Example,
    task: DeployedTask,
    tokenizer: TextTokenizer,
    facts: GraphFacts,
    recipe: Recipe,
    answer: str | None,
) -> CheckedPrompt:
    text = None if example.messages else example.prompt
    ids = encode_prompt(example, tokenizer, recipe=recipe)
    if task.kind == "generate":
        limit = recipe.evaluation.max_new_tokens
        return CheckedPrompt(id=example.id, kind="generate", text=text, ids=ids, limit=limit, trained_answer=answer)
    if task.kind == "head":
        whole = (*ids, *tokenizer.suffix)
        return CheckedPrompt(
            id=example.id, kind="head", text=text, ids=whole, options=example.options, trained_answer=answer
        )
    encoded = option_encodings(example, tokenizer, recipe=recipe, eos_ids=facts.eos_ids)
    return CheckedPrompt(
        id=example.id,
        kind="options",
        text=text,
        ids=ids,
        options=example.options,
        option_texts=example.option_texts,
        sequences=tuple((one.ids, one.answer_start) for one in encoded),
        trained_answer=answer,
    )


def _document(example: Example, tokenizer: TextTokenizer, recipe: Recipe) -> CheckedPrompt:
    """The beginning of a document, to be written on."""
    ids = encode(example, tokenizer, recipe=recipe, end=False).ids[:DRAWN_TOKENS]
    return CheckedPrompt(id=example.id, kind="generate", text=None, ids=ids, limit=DRAWN_LIMIT)


def drawn_prompts(facts: GraphFacts, *, count: int) -> list[CheckedPrompt]:
    """Prompts of random tokens: they show whether a device computes alike, and hold nothing of the suite."""
    draw = np.random.default_rng(0)
    length = DRAWN_TOKENS if facts.context_tokens is None else min(DRAWN_TOKENS, facts.context_tokens // 2)
    rows = draw.integers(0, facts.vocabulary_size, size=(count, length))
    return [
        CheckedPrompt(id=f"random {number}", kind="generate", text=None, ids=tuple(row), limit=DRAWN_LIMIT)
        for number, row in enumerate(rows.tolist())
    ]
