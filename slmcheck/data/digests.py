"""What a row is, as far as a training or a prediction can tell: digests made without a tokenizer."""

from __future__ import annotations

import hashlib
import json
import unicodedata

from slmcheck.records import Example, Json, PredictionKind, Recipe, to_json


def content_digest(value: object) -> str:
    """SHA-256 of a JSON value or record, independent of the order of keys."""
    text = json.dumps(to_json(value), sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # A lone surrogate is legal in JSON but has no UTF-8 form; it must not stop a key.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def row_digest(example: Example, kind: PredictionKind, recipe: Recipe) -> str:
    """Digest of what is rendered of an example for one kind of prediction.

    The prompt (or the messages with tools, template and date), and what the model is asked about it: the options, or
    the text whose likelihood is asked, or nothing for a generation. References, slices, groups and the tokenizer are
    no part of it: the tokenizer belongs to the checkpoint.
    """
    return content_digest({"kind": kind, "context": _context(example, recipe), "asked": _asked(example, kind)})


def training_digest(example: Example, recipe: Recipe) -> str:
    """Digest of what a training learns of an example: the prompt and the answer, or the whole conversation."""
    return content_digest({"context": _context(example, recipe), "answer": _answer(example)})[:16]


def reference_digest(example: Example) -> str:
    """Digest of what counts as right, so that an edited label is seen; 16 hex digits."""
    return content_digest(list(example.references))[:16]


def normalized_input(example: Example) -> str:
    """The input of an example without what a reader would overlook: case, width of characters, white space.

    Two rows with the same normalised input are duplicates of one another, whatever their answers.
    """
    if example.messages:
        turns = [to_json(message) for message in example.messages[:-1]]
        text = json.dumps([turns, to_json(example.tools)], sort_keys=True, ensure_ascii=False)
    else:
        text = example.prompt or example.answer
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _context(example: Example, recipe: Recipe) -> Json:
    if not example.messages:
        return example.prompt
    data = recipe.data
    return {
        "messages": [to_json(message) for message in example.messages[:-1]],
        "tools": to_json(example.tools),
        "chat_template": data.chat_template,
        "chat_template_kwargs": to_json(data.chat_template_kwargs),
        "template_date": data.template_date,
    }


def _asked(example: Example, kind: PredictionKind) -> Json:
    if kind == "options":
        return list(example.option_texts)
    return _answer(example) if kind == "nll" else None


def _answer(example: Example) -> Json:
    return to_json(example.messages[-1]) if example.messages else example.answer
