"""Examples -> token ids with the boundary of the answer and the positions that training learns.

The text is tokenised once, with offsets; the answer starts at the first token that ends beyond the prompt. BOS stands
once, as the tokenizer puts it; EOS is appended and learned. Everything is decided by position, never by a token's id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from slmcheck.data.tokenizers import TextTokenizer, as_text_tokenizer
from slmcheck.errors import InputError
from slmcheck.records import Example, Recipe


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Token ids of a rendered example."""

    ids: tuple[int, ...]
    answer_start: int
    """Index of the first token of the answer."""
    labelled: tuple[bool, ...]
    """For each id, whether training learns to predict it; never true for the first."""
    crossing: str | None = None
    """Text of a token that spans the boundary of prompt and answer, if one does."""
    cut_tokens: int = 0
    """Tokens of the prompt that were dropped to keep within `max_length`."""

    @property
    def prompt_ids(self) -> tuple[int, ...]:
        """The ids before the answer."""
        return self.ids[: self.answer_start]

    @property
    def answer_ids(self) -> tuple[int, ...]:
        """The ids of the answer, EOS included."""
        return self.ids[self.answer_start :]


def encode(
    example: Example, tokenizer: object, *, recipe: Recipe, text: str | None = None, end: bool = True
) -> Encoded:
    """An example's prompt and answer as ids, without regard to any length limit.

    Args:
        example: A rendered row.
        tokenizer: A TextTokenizer, or a fast transformers tokenizer.
        recipe: Says what is learned (`loss_on`) and, for chat, how messages are rendered.
        text: Stands in place of the answer: one of `option_texts`.
        end: Whether EOS ends the answer.

    Raises:
        InputError: If the tokenizer has no EOS or gives no offsets.
        RecipeError: If the chat template cannot be used.
    """
    view = as_text_tokenizer(tokenizer)
    if example.messages:
        from slmcheck.data.chat import encode_last_turn

        return encode_last_turn(example, view, recipe=recipe, text=text, end=end)
    answer = example.answer if text is None else text
    return encode_text(
        example.prompt, answer, view, learn_prompt=recipe.data.loss_on == "all" or not example.prompt, end=end
    )


def encode_text(prompt: str, answer: str, tokenizer: TextTokenizer, *, learn_prompt: bool, end: bool) -> Encoded:
    """A prompt and its answer as ids; EOS follows where `end` asks for it, once even if the text brings its own."""
    ids, offsets = tokenizer.tokenize(prompt + answer)
    start, crossing = boundary(offsets, len(prompt), prompt + answer)
    return _frame(ids, start, tokenizer, learn_prompt=learn_prompt, end=end, crossing=crossing)


def _frame(
    ids: Sequence[int], start: int, tokenizer: TextTokenizer, *, learn_prompt: bool, end: bool, crossing: str | None
) -> Encoded:
    """Ids of a text between BOS and EOS, each once."""
    prefix = tokenizer.prefix
    if prefix and tuple(ids[: len(prefix)]) == prefix and start >= len(prefix):
        prefix = ()  # the text brings its own BOS
    framed = [*prefix, *ids]
    if end:
        eos = end_id(tokenizer)
        if not ids or framed[-1] != eos or len(ids) <= start:
            framed.append(eos)
    first = start + len(prefix)
    learned_from = min(max(1, len(prefix) if learn_prompt else first), len(framed))
    return Encoded(
        ids=tuple(framed),
        answer_start=first,
        labelled=(False,) * learned_from + (True,) * (len(framed) - learned_from),
        crossing=crossing,
    )


def boundary(offsets: Sequence[tuple[int, int]], prompt_length: int, text: str) -> tuple[int, str | None]:
    """Index of the first token that ends beyond the prompt, and its text if it starts inside it."""
    for index, (begin, end) in enumerate(offsets):
        if end > prompt_length:
            return index, text[begin:end] if begin < prompt_length else None
    return len(offsets), None


def encode_prompt(example: Example, tokenizer: object, *, recipe: Recipe) -> tuple[int, ...]:
    """The ids that a generation starts from: BOS and the prompt, or the messages with the generation prompt."""
    view = as_text_tokenizer(tokenizer)
    if example.messages:
        from slmcheck.data.chat import served_prompt

        # A server adds nothing to what the template renders, BOS included.
        return tuple(view.tokenize(served_prompt(example, view, recipe=recipe))[0])
    ids, _ = view.tokenize(example.prompt)
    return _frame(ids, len(ids), view, learn_prompt=False, end=False, crossing=None).ids


def encode_for_training(example: Example, tokenizer: object, *, recipe: Recipe) -> tuple[Encoded, ...]:
    """What training reads of an example: usually one encoding.

    A document of language modelling gives its windows of `max_length` tokens. A conversation with `loss_on: all_turns`
    gives one encoding, or one a turn where the chat template does not preserve prefixes. Prompts longer than
    `max_length` are not cut here: see `within`.

    Raises:
        InputError: As `encode`.
        RecipeError: As `encode`.
    """
    view = as_text_tokenizer(tokenizer)
    if example.messages and recipe.data.loss_on == "all_turns":
        from slmcheck.data.chat import encode_turns

        return encode_turns(example, view, recipe=recipe)
    encoded = encode(example, view, recipe=recipe)
    return windows(encoded, recipe.data.max_length) if recipe.task == "language_modeling" else (encoded,)


def windows(document: Encoded, length: int) -> tuple[Encoded, ...]:
    """A document in windows of at most `length` tokens in which every token is learned once.

    Each window begins with the last token of the one before, which is not learned again: nothing could predict the
    first token of a window otherwise.
    """
    ids, labelled = document.ids, document.labelled
    parts = []
    for begin in range(0, max(1, len(ids) - 1), length - 1):
        part = (False, *labelled[begin + 1 : begin + length])
        if any(part):
            parts.append(Encoded(ids=ids[begin : begin + length], answer_start=1, labelled=part))
    return tuple(parts)


def marked(encoded: Encoded, tokenizer: object, *, begin: str = "[[", end: str = "]]") -> str:
    """The text of an encoding, special tokens included, with what training learns between marks."""
    view = as_text_tokenizer(tokenizer)
    text, shown = "", []
    for index, learned in enumerate(encoded.labelled):
        # Decoding ever longer beginnings keeps the white space that decoders strip at the start of a text.
        if learned != (index > 0 and encoded.labelled[index - 1]):
            before = view.decode(encoded.ids[:index])
            shown.append(before[len(text) :] + (begin if learned else end))
            text = before
    shown.append(view.decode(encoded.ids)[len(text) :])
    return "".join(shown) + (end if encoded.labelled and encoded.labelled[-1] else "")


def within(encoded: Encoded, max_length: int, tokenizer: object) -> Encoded | None:
    """The encoding with its prompt cut on the left to fit `max_length` tokens; None if the answer would be cut.

    What the tokenizer puts first stays, and so does at least one token of the prompt.
    """
    excess = len(encoded.ids) - max_length
    if excess <= 0:
        return encoded
    prefix = as_text_tokenizer(tokenizer).prefix
    kept = len(prefix) if encoded.ids[: len(prefix)] == prefix else 0
    if encoded.answer_start - kept <= excess:
        return None
    return replace(
        encoded,
        ids=encoded.ids[:kept] + encoded.ids[kept + excess :],
        labelled=encoded.labelled[:kept] + encoded.labelled[kept + excess :],
        answer_start=encoded.answer_start - excess,
        cut_tokens=excess,
    )


def end_id(tokenizer: TextTokenizer) -> int:
    """Id of the EOS token.

    Raises:
        InputError: If the tokenizer names none.
    """
    eos = tokenizer.eos_id
    if eos is None:
        raise InputError(
            "The tokenizer of the base model has no EOS token.\n"
            "Without one a model cannot learn to stop: name `eos_token` in its tokenizer_config.json."
        )
    return eos
