"""A GenAI folder -> what it does with a suite's prompts: read by its tokenizer, written on by its generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from slmcheck import export as exporting
from slmcheck import parity
from slmcheck.data import row_digest
from slmcheck.data.encoding import encode_prompt
from slmcheck.data.tokenizers import TextTokenizer
from slmcheck.errors import OfflineMissError
from slmcheck.inference.generation import ends_of
from slmcheck.inference.stopping import StopStrings
from slmcheck.pipeline.agreeing import Pair
from slmcheck.pipeline.predicting import predict
from slmcheck.records import Example, from_json, to_json
from slmcheck.storage import digest
from slmcheck.workspace import Workspace

SERVING_VERSION = 1
"""Changes when the same folder and rows would be judged otherwise."""
SHOWN = 5
"""Texts that differ and are kept."""


def serve(pair: Pair, folder: Path, examples: Sequence[Example], workspace: Workspace) -> parity.Served:
    """What a GenAI folder does with prompts: first their token ids, then ends and limits, then the texts.

    Texts are written only where every prompt is read as Hugging Face reads it: else they would be answers to others.

    Args:
        pair: The run and the folder's graph.
        folder: The GenAI folder.
        examples: The prompts.
        workspace: Where predictions and findings are kept.

    Raises:
        MissingExtraError: If onnxruntime-genai is not installed.
        CheckpointError: If it cannot load the folder.
        OfflineMissError: If it would have to be asked and the session is offline.
    """
    recipe = pair.recipe
    key = digest(
        "parity-serving",
        {
            "version": SERVING_VERSION,
            "files": {one.name: workspace.store.file_digest(one) for one in exporting.foreign_graph(folder).files},
            "checkpoint": pair.record.checkpoint.key,
            "rows": digest("rows", [row_digest(example, "generate", recipe) for example in examples]),
            "evaluation": [
                recipe.evaluation.max_new_tokens,
                list(recipe.evaluation.stop),
                recipe.evaluation.temperature,
            ],
        },
    )
    stored = workspace.store.read_findings(key)
    if stored is not None:
        return from_json(parity.Served, stored)
    if workspace.offline:
        raise OfflineMissError(
            f"The store has no judgement of the GenAI folder {folder}, and this session is offline.\n"
            "Judge it where models may be loaded (without --slm-offline)."
        )
    found = _asked(pair, folder, examples, workspace)
    workspace.store.write_findings(key, to_json(found))
    return found


def _asked(pair: Pair, folder: Path, examples: Sequence[Example], workspace: Workspace) -> parity.Served:
    from slmcheck.backends.genai import GenaiFolder

    recipe, settings = pair.recipe, pair.recipe.evaluation
    own = predict(pair.record.checkpoint, examples, "generate", recipe, workspace)
    reference, _ = pair.load()
    tokenizer, genai = reference.tokenizer, GenaiFolder(folder)
    prompts = [encode_prompt(example, tokenizer, recipe=recipe) for example in examples]
    texts = [genai.render(example.messages[:-1]) if example.messages else example.prompt for example in examples]
    read = [genai.encode(text) for text in texts]
    differences = [
        found
        for example, text, expected, ids in zip(examples, texts, prompts, read, strict=True)
        if (found := parity.token_difference(example.id, text, expected, ids, tokenizer)) is not None
    ]
    ends = frozenset().union(*(ends_of(reference, example, recipe) for example in examples))
    context = reference.context_tokens
    needed = max(len(prompt) + settings.max_new_tokens for prompt in prompts)
    served = parity.Served(
        prompts=len(examples),
        token_differences=tuple(differences),
        eos_expected=tuple(sorted(ends)),
        eos_found=tuple(sorted(genai.eos_ids)),
        longest_needed=needed if context is None else min(needed, context),
        longest_allowed=genai.longest,
        search=parity.other_settings(genai.search, is_greedy=not settings.temperature),
    )
    if differences or settings.temperature:
        return served
    stops = StopStrings(settings.stop, partial(_text_of, tokenizer))
    parted = []
    for prediction, ids in zip(own, prompts, strict=True):
        written = genai.generate(ids, limit=settings.max_new_tokens, stopped=stops.reached)
        text = stops.cut(stops.decode(written)).strip()
        if text != prediction.prediction:
            parted.append((prediction.id, prediction.prediction or "", text))
    return replace(served, texts=len(examples), same_texts=len(examples) - len(parted), parted=tuple(parted[:SHOWN]))


def _text_of(tokenizer: TextTokenizer, tokens: Sequence[int]) -> str:
    return tokenizer.backend.decode(tokens, skip_special_tokens=True)
