"""What a GenAI folder does with a suite's prompts beside its graph: tokens, ends, limits, search settings, texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slmcheck.data.tokenizers import TextTokenizer
from slmcheck.parity.tolerances import Check, Tolerance

GREEDY: Mapping[str, float] = {
    "do_sample": 0.0,
    "num_beams": 1.0,
    "repetition_penalty": 1.0,
    "length_penalty": 1.0,
    "no_repeat_ngram_size": 0.0,
    "min_length": 0.0,
}
"""Search settings under which a generator writes the most likely token, as suites do."""
SHOWN = 4
"""Tokens that a difference shows."""


@dataclass(frozen=True, kw_only=True)
class TokenDifference:
    """A prompt that the folder's tokenizer reads otherwise than Hugging Face."""

    example_id: str
    place: int
    """The first token that differs."""
    character: int
    """Where it begins in the prompt's text, in characters."""
    text: str
    """The characters there."""
    expected: tuple[str, ...]
    """Tokens of Hugging Face from there on."""
    found: tuple[str, ...]
    """Tokens of the folder."""

    def __str__(self) -> str:
        return (
            f"{self.example_id}: at character {self.character} {self.text!r}, "
            f"expected {' '.join(map(repr, self.expected)) or 'the end'}, "
            f"found {' '.join(map(repr, self.found)) or 'the end'}"
        )


@dataclass(frozen=True, kw_only=True)
class Served:
    """How a GenAI folder serves a suite."""

    prompts: int
    token_differences: tuple[TokenDifference, ...] = ()
    """One for each prompt that is read otherwise."""
    eos_expected: tuple[int, ...] = ()
    """Tokens that end a text in the suite."""
    eos_found: tuple[int, ...] = ()
    longest_needed: int = 0
    """Tokens of the longest prompt and the answer behind it."""
    longest_allowed: int = 0
    """`max_length` of the search settings."""
    search: tuple[tuple[str, float], ...] = ()
    """Settings that are not those of the suite."""
    texts: int | None = None
    """Texts that were written; None where the prompts are already others."""
    same_texts: int = 0
    parted: tuple[tuple[str, str, str], ...] = ()
    """Example, the text of the run, the text of the folder."""


def token_difference(
    example_id: str, text: str, expected: Sequence[int], found: Sequence[int], tokenizer: TextTokenizer
) -> TokenDifference | None:
    """Where two readings of a prompt part; None where they are the same.

    Args:
        example_id: Of the prompt.
        text: The prompt.
        expected: Ids of Hugging Face.
        found: Ids of the folder.
        tokenizer: That of Hugging Face, for the text of tokens.
    """
    if list(expected) == list(found):
        return None
    pairs = zip(expected, found, strict=False)
    place = next((index for index, (one, two) in enumerate(pairs) if one != two), min(len(expected), len(found)))
    specials = len(tokenizer.prefix) if tuple(expected[: len(tokenizer.prefix)]) == tokenizer.prefix else 0
    _, offsets = tokenizer.tokenize(text)
    own = place - specials
    character = offsets[own][0] if 0 <= own < len(offsets) else 0 if own < 0 else len(text)
    return TokenDifference(
        example_id=example_id,
        place=place,
        character=character,
        text=text[character : character + 12],
        expected=tuple(tokenizer.decode([token]) for token in expected[place : place + SHOWN]),
        found=tuple(tokenizer.decode([token]) for token in found[place : place + SHOWN]),
    )


def other_settings(search: Mapping[str, float], *, is_greedy: bool) -> tuple[tuple[str, float], ...]:
    """Search settings that make another text than the suite's; none are compared where the suite draws texts."""
    if not is_greedy:
        return ()
    return tuple((name, search[name]) for name, value in GREEDY.items() if search.get(name, value) != value)


def judge_served(served: Served, tolerance: Tolerance) -> tuple[Check, ...]:
    """Tokenizer, ends, limits, search settings and texts of a GenAI folder, each a check of its own."""
    first = str(served.token_differences[0]) if served.token_differences else ""
    missing = sorted(set(served.eos_expected) - set(served.eos_found))
    more = sorted(set(served.eos_found) - set(served.eos_expected))
    settings = ", ".join(f"{name} {value:g}" for name, value in served.search)
    checks = [
        Check(
            subject="tokenizer", name="prompts read otherwise", value=float(len(served.token_differences)), limit=0.0,
            says=f"{first}; its tokenizer files are not those of the checkpoint, or its library reads them otherwise",
        ),
        Check(
            subject="generator", name="EOS ids that differ", value=float(len(missing) + len(more)), limit=0.0,
            says=f"missing {missing or 'none'}, more {more or 'none'}: set eos_token_id in genai_config.json",
        ),
        Check(
            subject="generator", name="longest prompt and answer", value=float(served.longest_needed),
            limit=float(served.longest_allowed), says="texts are cut: raise search.max_length in genai_config.json",
        ),
        Check(
            subject="generator", name="search settings that differ", value=float(len(served.search)), limit=0.0,
            says=f"the suite writes greedily: {settings}",
        ),
    ]  # fmt: skip
    if served.texts and tolerance.agreement is not None and tolerance.partings_are_rounding:
        shown = (
            f"{served.parted[0][0]}: {served.parted[0][1]!r}, the folder {served.parted[0][2]!r}"
            if served.parted
            else ""
        )
        checks.append(
            Check(
                subject="generator", name="same texts", value=served.same_texts / served.texts,
                limit=tolerance.agreement, at_least=True, says=shown,
            )
        )  # fmt: skip
    return tuple(checks)
