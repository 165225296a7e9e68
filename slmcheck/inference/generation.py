"""Writing answers: greedy or sampled, each row as if it were alone."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from slmcheck.backends import Decoder, LanguageModel, free_memory, is_out_of_memory
from slmcheck.data.encoding import encode, encode_prompt
from slmcheck.data.tokenizers import TextTokenizer
from slmcheck.errors import PredictionError, RecipeError
from slmcheck.inference.rows import Asked, check_lengths
from slmcheck.inference.sampling import choose, greedy, row_generator
from slmcheck.inference.stopping import StopStrings
from slmcheck.records import EvaluationSpec, Example, PredictedRow, Recipe

ROWS = 64
"""Texts that one decoder advances together."""
REFILL = 8
"""Prompts are added when one place in this many is free: fewer, larger passes over prompts."""


@dataclass(eq=False)
class Text:
    """One text under generation."""

    row: int
    """Index of its row."""
    digest: str
    """Of its row."""
    sample: int
    prompt: tuple[int, ...]
    ends: frozenset[int]
    """Tokens that end it."""
    limit: int
    """Tokens that it may have."""
    generator: np.random.Generator | None
    """Its own random numbers; None is greedy."""
    tokens: list[int] = field(default_factory=list)
    finished: bool | None = None
    """Ended by EOS or a stop string (true) or by its length (false); None while it goes on."""


@dataclass(frozen=True, eq=False)
class Rules:
    """When a text ends and how its next token is chosen."""

    stops: StopStrings
    temperature: float
    top_p: float

    def extend(self, text: Text, token: int) -> None:
        """Append a token, unless it ends the text, and see whether the text ends."""
        if token in text.ends:
            text.finished = True
            return
        text.tokens.append(token)
        if self.stops.reached(text.tokens):
            text.finished = True
        elif len(text.tokens) >= text.limit:
            text.finished = False

    def choose(self, texts: Sequence[Text], logits: NDArray[np.float32]) -> NDArray[np.int64]:
        """The next token of each text; shape (texts, vocabulary) -> (texts,)."""
        tokens = greedy(logits)
        for index, text in enumerate(texts):
            if text.generator is not None:
                tokens[index] = choose(
                    logits[index], temperature=self.temperature, top_p=self.top_p, uniform=text.generator.random()
                )
        return tokens


def predict_texts(
    model: LanguageModel,
    asked: Sequence[Asked],
    recipe: Recipe,
    on_rows: Callable[[Sequence[PredictedRow]], None],
) -> None:
    """See `slmcheck.inference.predict`.

    A text ends with any EOS of the generation configuration, with the token that ends a turn of the chat template,
    before the first stop string, after `max_new_tokens`, or where the context is full. White space around it is
    dropped. The recipe alone decides how tokens are chosen: other settings of the generation configuration (top_k,
    penalties) are not used.
    """
    settings = recipe.evaluation
    _check_settings(recipe.name, settings)
    prompts = [encode_prompt(row.example, model.tokenizer, recipe=recipe) for row in asked]
    check_lengths(
        [(row, len(prompt) + 1) for row, prompt in zip(asked, prompts, strict=True)],
        model.context_tokens,
        what="prompt and one token",
    )
    stops = StopStrings(settings.stop, partial(_text_of, model.tokenizer))
    rules = Rules(stops, settings.temperature, settings.top_p)
    texts = [
        Text(
            row=index,
            digest=row.row,
            sample=sample,
            prompt=prompt,
            ends=ends_of(model, row.example, recipe),
            limit=min(settings.max_new_tokens, (model.context_tokens or len(prompt) + (1 << 30)) - len(prompt)),
            generator=row_generator(row.row, sample) if settings.temperature else None,
        )
        for index, (row, prompt) in enumerate(zip(asked, prompts, strict=True))
        for sample in range(settings.samples)
    ]
    waiting: dict[int, list[Text]] = {}
    for finished in _side_by_side(model, texts, rules, settings.batch_tokens):
        whole = []
        for text in finished:
            own = waiting.setdefault(text.row, [])
            own.append(text)
            if len(own) == settings.samples:
                whole.append(_row(asked[text.row], waiting.pop(text.row), rules.stops))
        if whole:
            on_rows(whole)


def ends_of(model: LanguageModel, example: Example, recipe: Recipe) -> frozenset[int]:
    """Tokens that end a text: every EOS, and for chat the one that ends the turn that training learned."""
    if not example.messages:
        return model.eos_ids
    return model.eos_ids | {encode(example, model.tokenizer, recipe=recipe).ids[-1]}


def _side_by_side(model: LanguageModel, texts: Sequence[Text], rules: Rules, budget: int) -> Iterator[list[Text]]:
    """Finished texts as they finish; each thread decodes a share of its own."""
    ordered = sorted(texts, key=lambda text: len(text.prompt), reverse=True)
    workers = min(model.workers, len(ordered))
    if workers == 1:
        yield from decoded(model, ordered, rules, budget)
        return
    finished: queue.SimpleQueue[list[Text] | BaseException | None] = queue.SimpleQueue()
    stopped: list[bool] = []

    def decode_share(share: Sequence[Text]) -> None:
        try:
            for some in decoded(model, share, rules, budget):
                finished.put(some)
                if stopped:
                    return
            finished.put(None)
        except BaseException as error:  # handed to the thread that waits, which raises it
            finished.put(error)

    with ThreadPoolExecutor(workers, thread_name_prefix="slmcheck") as pool:
        for worker in range(workers):
            pool.submit(decode_share, ordered[worker::workers])
        try:
            running = workers
            while running:
                some = finished.get()
                if isinstance(some, BaseException):
                    raise some
                if some is None:
                    running -= 1
                else:
                    yield some
        finally:
            stopped.append(True)


def decoded(
    model: LanguageModel, texts: Sequence[Text], rules: Rules, budget: int, rows: int = ROWS
) -> Iterator[list[Text]]:
    """Decode texts, longest prompt first; with fewer rows at a time where memory ends.

    Raises:
        PredictionError: If one text alone needs more memory than there is.
    """
    texts = list(texts)
    while texts:
        try:
            yield from _decode_together(model, texts, rules, budget, rows)
            return
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            rows = min(rows, len(texts)) // 2
            if not rows:
                raise PredictionError(
                    f"One row needs more memory than this machine has: {str(error).strip().splitlines()[0]}\n"
                    "Shorten the longest prompts or evaluation.max_new_tokens, or use a smaller base model."
                ) from error
        free_memory()
        texts = [_restarted(text) for text in texts if text.finished is None]


def _decode_together(
    model: LanguageModel, texts: Sequence[Text], rules: Rules, budget: int, rows: int
) -> Iterator[list[Text]]:
    rows = min(rows, len(texts))
    decoder = model.decoder(rows=rows, length=max(len(text.prompt) + text.limit for text in texts))
    waiting, active = list(reversed(texts)), list[Text]()
    while waiting or active:
        if waiting and (not active or decoder.room >= min(max(1, rows // REFILL), len(waiting))):
            new = _next_prompts(waiting, decoder.room, budget)
            chosen = rules.choose(new, decoder.add([text.prompt for text in new]))
            active.extend(new)
            advanced = new
        else:
            chosen = rules.choose(active, decoder.step(np.asarray([text.tokens[-1] for text in active])))
            advanced = list(active)
        for text, token in zip(advanced, chosen.tolist(), strict=True):
            rules.extend(text, token)
        finished = _drop_finished(decoder, active)
        if finished:
            yield finished


def _next_prompts(waiting: list[Text], room: int, budget: int) -> list[Text]:
    new = [waiting.pop()]
    tokens = len(new[0].prompt)
    while waiting and len(new) < room and tokens + len(waiting[-1].prompt) <= budget:
        new.append(waiting.pop())
        tokens += len(new[-1].prompt)
    return new


def _drop_finished(decoder: Decoder, active: list[Text]) -> list[Text]:
    finished = []
    for row in range(len(active) - 1, -1, -1):
        if active[row].finished is not None:
            finished.append(active[row])
            decoder.drop(row)
            active[row] = active[-1]
            active.pop()
    return finished


def _restarted(text: Text) -> Text:
    text.tokens.clear()
    if text.generator is not None:
        text.generator = row_generator(text.digest, text.sample)
    return text


def _row(row: Asked, texts: Sequence[Text], stops: StopStrings) -> PredictedRow:
    texts = sorted(texts, key=lambda text: text.sample)
    written = [stops.cut(stops.decode(text.tokens)).strip() for text in texts]
    return PredictedRow(
        row=row.row,
        text=written[0],
        generated_tokens=len(texts[0].tokens),
        finished=texts[0].finished,
        samples=tuple(written[1:]),
    )


def _text_of(tokenizer: TextTokenizer, tokens: Sequence[int]) -> str:
    return tokenizer.backend.decode(tokens, skip_special_tokens=True)


def _check_settings(name: str, settings: EvaluationSpec) -> None:
    problems = []
    if settings.max_new_tokens < 1:
        problems.append(f"max_new_tokens is {settings.max_new_tokens}; at least 1")
    if settings.temperature < 0:
        problems.append(f"temperature is {settings.temperature}; 0 is greedy, above 0 samples")
    if not 0 < settings.top_p <= 1:
        problems.append(f"top_p is {settings.top_p}; above 0 and at most 1")
    if settings.samples < 1 or (settings.samples > 1 and not settings.temperature):
        problems.append(f"samples is {settings.samples}; 1, or more with a temperature above 0")
    if any(not stop for stop in settings.stop):
        problems.append("stop holds an empty string")
    if problems:
        raise RecipeError(
            f"Recipe '{name}' asks for texts in a way that cannot be done.\nevaluation: {'; '.join(problems)}."
        )
