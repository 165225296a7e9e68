"""Checks of rows as a model will read them: lengths, boundary of prompt and answer, special tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from slmcheck.data.encoding import Encoded, encode_for_training, encode_prompt, within
from slmcheck.data.problems import Problem, data_error
from slmcheck.data.splits import Splits
from slmcheck.data.tokenizers import TextTokenizer
from slmcheck.records import EvidenceNumber, Example, Finding, Recipe

NOTE_SHARE = 0.01
PROBLEM_SHARE = 0.05
EOS_SHARE = 0.95
ASKED_ROWS = 2_000
"""Rows whose prompt is tokenised as it is asked; of more rows every other, third, ... is looked at."""
LEARNED_PROMPT = 0.2
"""Share of the learned tokens from which on learned prompts are worth a word."""
FEW_CHARACTERS = 2.0
"""Characters a token stands for below which a tokenizer does not know the language."""
SHOWN = 5
_SPECIAL_LOOKING = re.compile(r"<\|[^|<>\s]+\|>|</?s>|\[/?INST\]|<(?:start|end)_of_turn>")


@dataclass(frozen=True, eq=False)
class _Row:
    example: Example
    encoded: Encoded
    fitting: Encoded | None
    """Within `max_length`; None if the answer would be cut."""


def check_tokens(recipe: Recipe, splits: Splits, tokenizer: TextTokenizer) -> tuple[Finding, ...]:
    """Findings about the token ids of training and validation rows.

    Raises:
        DataError: If answers do not fit `max_length`; lists the rows.
        RecipeError: If the chat template cannot be used.
    """
    length = recipe.data.max_length
    rows = [
        _Row(example, encoded, within(encoded, length, tokenizer))
        for example in (*splits.train, *splits.validation)
        for encoded in encode_for_training(example, tokenizer, recipe=recipe)
    ]
    _refuse_cut_answers(recipe, rows)
    return (
        *_cut_prompts(recipe, rows),
        *_boundaries(recipe, rows, tokenizer),
        *_special_tokens(recipe, rows, tokenizer),
        *_unknown_tokens(rows, tokenizer),
        *_learned_prompts(recipe, rows),
        *_statistics(rows),
    )


def _refuse_cut_answers(recipe: Recipe, rows: Sequence[_Row]) -> None:
    length = recipe.data.max_length
    problems = [
        Problem(where=row.example.source, text=f"{len(row.encoded.ids)} tokens, {length} fit: the answer is cut")
        for row in rows
        if row.fitting is None
    ]
    if problems:
        longest = max(len(row.encoded.ids) for row in rows)
        expected = f"Raise data.max_length (the longest row has {longest} tokens), or shorten or remove these rows."
        raise data_error(recipe, problems, rows=len(rows), expected=expected)


def _cut_prompts(recipe: Recipe, rows: Sequence[_Row]) -> Iterator[Finding]:
    cut = [row for row in rows if row.fitting is not None and row.fitting.cut_tokens]
    if not cut or len(cut) < NOTE_SHARE * len(rows):
        return
    longest = max(len(row.encoded.ids) for row in cut)
    yield Finding(
        cause="cut-prompts",
        severity="warning" if len(cut) >= PROBLEM_SHARE * len(rows) else "note",
        summary=f"{len(cut)} of {len(rows)} rows are longer than max_length {recipe.data.max_length}; "
        "their prompts lose their beginning.",
        evidence=tuple(f"{row.example.source}: {len(row.encoded.ids)} tokens" for row in cut[:SHOWN]),
        remedy=f"Raise data.max_length to {longest}, or shorten the template.",
        recipe_patch={"data.max_length": longest},
        examples=tuple(row.example.id for row in cut),
    )


def _boundaries(recipe: Recipe, rows: Sequence[_Row], tokenizer: TextTokenizer) -> Iterator[Finding]:
    """Prompts that end in other tokens when the answer follows than when the model is asked."""
    if recipe.task == "language_modeling":
        return
    torn = []
    rows = rows[:: max(1, len(rows) // ASKED_ROWS)]  # tokenising every prompt twice would double the time
    for row in rows:
        if row.encoded.crossing is not None:
            torn.append((row.example, f"token {row.encoded.crossing!r} ends the prompt and begins the answer"))
        elif recipe.data.loss_on != "all_turns":
            asked = encode_prompt(row.example, tokenizer, recipe=recipe)
            if asked != row.encoded.prompt_ids:
                torn.append((row.example, _first_difference(asked, row.encoded.prompt_ids, tokenizer)))
    if torn:
        share = len(torn) / len(rows)
        yield Finding(
            cause="boundary-token",
            severity="problem" if share >= PROBLEM_SHARE else "warning",
            summary=f"In {len(torn)} of {len(rows)} rows ({share:.1%}) the prompt has other tokens in training than "
            "when the model is asked.",
            evidence=tuple(f"{example.source}: {text}" for example, text in torn[:SHOWN]),
            remedy="End the text before the answer with a word or a colon, and put the space on the answer's side.",
            examples=tuple(example.id for example, _ in torn),
        )


def _first_difference(asked: Sequence[int], learned: Sequence[int], tokenizer: TextTokenizer) -> str:
    at = next((n for n, (one, other) in enumerate(zip(asked, learned, strict=False)) if one != other), None)
    if at is None:
        return f"{len(asked)} tokens when asked, {len(learned)} in training"
    return (
        f"{tokenizer.decode(asked[at : at + 2])!r} when asked, {tokenizer.decode(learned[at : at + 2])!r} in training"
    )


def _special_tokens(recipe: Recipe, rows: Sequence[_Row], tokenizer: TextTokenizer) -> Iterator[Finding]:
    bos, ends = tokenizer.bos_id, tokenizer.eos_ids
    twice = [row for row in rows if bos is not None and row.encoded.ids[:2] == (bos, bos)]
    if twice:
        yield Finding(
            cause="double-bos",
            severity="problem",
            summary=f"{len(twice)} of {len(rows)} rows begin with BOS twice.",
            remedy="Remove BOS from the template: the tokenizer adds it.",
        )
    prefix = tokenizer.prefix
    without = [row for row in rows if prefix and row.encoded.ids[: len(prefix)] != prefix]
    if without and not twice and bos is not None:
        yield Finding(
            cause="missing-bos",
            severity="warning",
            summary=f"{len(without)} of {len(rows)} rows begin without BOS, which the tokenizer puts before a text.",
            evidence=tuple(
                f"{row.example.source} begins with {tokenizer.decode(row.encoded.ids[:2])!r}" for row in without[:SHOWN]
            ),
            remedy="Begin the chat template with bos_token: the base model was pretrained with it.",
            examples=tuple(row.example.id for row in without[:SHOWN]),
        )
    if recipe.task != "language_modeling":
        unended = [row for row in rows if row.encoded.ids[-1] not in ends or not row.encoded.labelled[-1]]
        if len(unended) > (1 - EOS_SHARE) * len(rows):
            last = tokenizer.decode(unended[0].encoded.ids[-1:])
            yield Finding(
                cause="eos-not-learned",
                severity="problem",
                summary=f"{len(unended)} of {len(rows)} rows end with {last!r}, which ends no generation.",
                evidence=tuple(row.example.source for row in unended[:SHOWN]),
                remedy="Name the template's stop token as eos_token_id in the base model's generation_config.json.",
            )
    plain = sorted(
        text
        for text in set(_SPECIAL_LOOKING.findall(_template_text(recipe, tokenizer)))
        if _tokens(text, tokenizer) > 1
    )
    if plain:
        yield Finding(
            cause="special-text-not-token",
            severity="problem",
            summary=f"The template holds {', '.join(map(repr, plain))}, which the tokenizer reads as plain text.",
            remedy="Use the special tokens of this base model, or plain words.",
        )
    if not recipe.data.messages:
        yield from _special_tokens_in_rows(recipe, rows, tokenizer)


def _special_tokens_in_rows(recipe: Recipe, rows: Sequence[_Row], tokenizer: TextTokenizer) -> Iterator[Finding]:
    """Rows whose own text is read as a special token, such as `</s>` in the middle of a prompt."""
    strings = sorted({text for number in tokenizer.special_ids if (text := tokenizer.decode([number])).strip()})
    pattern = re.compile("|".join(map(re.escape, strings)) or "(?!)")
    found = [
        (row.example, match[0]) for row in rows if (match := pattern.search(row.example.prompt + row.example.answer))
    ]
    in_template = pattern.search(recipe.data.text_template or "")
    if found and not in_template:
        yield Finding(
            cause="special-token-in-rows",
            severity="warning",
            summary=f"{len(found)} of {len(rows)} rows hold text that the tokenizer reads as a special token.",
            evidence=tuple(f"{example.source}: {text!r}" for example, text in found[:SHOWN]),
            remedy="Remove or rewrite it: the model takes it for the end of a text or of a turn.",
            examples=tuple(example.id for example, _ in found),
        )


def _unknown_tokens(rows: Sequence[_Row], tokenizer: TextTokenizer) -> Iterator[Finding]:
    unknown = tokenizer.unk_id
    if unknown is None:
        return
    found = [row for row in rows if unknown in row.encoded.ids]
    if found and len(found) >= NOTE_SHARE * len(rows):
        yield Finding(
            cause="unknown-tokens",
            severity="warning",
            summary=f"{len(found)} of {len(rows)} rows hold characters that the tokenizer does not know.",
            evidence=tuple(row.example.source for row in found[:SHOWN]),
            remedy="Use a base model whose tokenizer falls back to bytes, or replace these characters.",
            examples=tuple(row.example.id for row in found),
        )


def _learned_prompts(recipe: Recipe, rows: Sequence[_Row]) -> Iterator[Finding]:
    """Prompts that are learned too: then most of the loss is of texts that the model never has to write."""
    if recipe.task == "language_modeling" or recipe.data.loss_on != "all":
        return
    prompt = sum(sum(row.encoded.labelled[: row.encoded.answer_start]) for row in rows)
    whole = sum(sum(row.encoded.labelled) for row in rows)
    if not whole or prompt < LEARNED_PROMPT * whole:
        return
    share = prompt / whole
    yield Finding(
        cause="prompt-not-masked",
        severity="warning",
        summary=f"{share:.0%} of the learned tokens are of prompts: the model learns to write what it is asked.",
        evidence=(f"{prompt:,} of {whole:,} learned tokens stand before the answer.",),
        numbers=(EvidenceNumber(name="learned tokens before the answer", value=share, unit="share"),),
        remedy="Learn the answer only.",
        recipe_patch={"data.loss_on": "answer"},
    )


def _statistics(rows: Sequence[_Row]) -> Iterator[Finding]:
    """How long rows are in tokens, and how well the tokenizer knows their language."""
    lengths = sorted(len(row.encoded.ids) for row in rows)
    texts = [row.example.prompt + row.example.answer for row in rows if not row.example.messages]
    if not lengths or not texts:
        return
    characters = sum(map(len, texts)) / max(1, sum(len(row.encoded.ids) for row in rows if not row.example.messages))
    middle, high = lengths[len(lengths) // 2], lengths[min(len(lengths) - 1, int(0.95 * len(lengths)))]
    yield Finding(
        cause="token-statistics",
        severity="note",
        summary=f"Rows have {lengths[0]} to {lengths[-1]} tokens, {middle} in the middle, {high} at 95 %; a token "
        f"stands for {characters:.1f} characters.",
        numbers=(
            EvidenceNumber(name="longest row", value=float(lengths[-1]), unit="count"),
            EvidenceNumber(name="median row", value=float(middle), unit="count"),
            EvidenceNumber(name="characters a token", value=characters, unit="ratio"),
        ),
        remedy="Below 2 characters a token, in a language with letters, the tokenizer does not know the language."
        if characters < FEW_CHARACTERS
        else "",
    )


def _template_text(recipe: Recipe, tokenizer: TextTokenizer) -> str:
    data = recipe.data
    if data.messages is None:
        return data.text_template or ""
    template = data.chat_template or tokenizer.chat_template or ""
    return template if isinstance(template, str) else " ".join(template.values())


def _tokens(text: str, tokenizer: TextTokenizer) -> int:
    return len(tokenizer.tokenize(text)[0])
