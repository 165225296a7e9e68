"""One input with its reference, and what a model made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from slmcheck.records.codec import Json

Split = Literal["train", "validation", "test"]
PredictionKind = Literal["options", "generate", "nll"]
"""What the model is asked: to choose an option, to write an answer, or how likely the reference is."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """One row, rendered.

    A row is either text (`prompt` and `answer`; a document of language modelling has an empty prompt) or chat
    (`messages`, the last one the assistant's answer). White space at the end of a prompt belongs to the answer.
    """

    id: str
    row: Mapping[str, Json]
    """The parsed row, all its fields."""
    prompt: str = ""
    answer: str = ""
    """The text that training learns and the likelihood is asked of; includes the white space before it."""
    messages: tuple[Mapping[str, Json], ...] = ()
    tools: tuple[Mapping[str, Json], ...] = ()
    references: tuple[str, ...] = ()
    """What counts as right, without surrounding white space; one or several."""
    options: tuple[str, ...] = ()
    """The label options of a classification."""
    option_texts: tuple[str, ...] = ()
    """Each option as it would stand in `answer`."""
    group: str | None = None
    slices: tuple[str, ...] = ()
    source: str = ""
    """Where the row stands: `file:line`."""


@dataclass(frozen=True, kw_only=True)
class PredictedRow:
    """What a model answered to one rendered row; knows nothing of references, slices or groups."""

    row: str
    """Digest of what was rendered for this kind of prediction."""
    text: str | None = None
    """The chosen option or the generated text; None where only the likelihood was asked."""
    option_scores: tuple[float, ...] | None = None
    """Log-probability of each option, normalised as the recipe asks; in the order of the options."""
    option_probabilities: tuple[float, ...] | None = None
    """Softmax over the options' summed log-probabilities."""
    nll: float | None = None
    """Summed negative log-likelihood of the reference, EOS included, in nats."""
    tokens: int | None = None
    """How many tokens `nll` sums over."""
    bytes: int | None = None
    """UTF-8 length of the text that `nll` covers."""
    words: int | None = None
    """White-space separated words of the text that `nll` covers."""
    generated_tokens: int | None = None
    finished: bool | None = None
    """Whether a generation ended by EOS or a stop string rather than by its length."""
    samples: tuple[str, ...] = ()
    """Further sampled texts, when the recipe asks for several."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A predicted row joined with its example: what metrics read."""

    id: str
    prediction: str | None
    references: tuple[str, ...]
    prompt: str = ""
    options: tuple[str, ...] = ()
    option_scores: tuple[float, ...] | None = None
    option_probabilities: tuple[float, ...] | None = None
    nll: float | None = None
    tokens: int | None = None
    bytes: int | None = None
    words: int | None = None
    finished: bool | None = None
    group: str | None = None
    slices: tuple[str, ...] = ()
    row: Mapping[str, Json] = field(default_factory=dict)

    @property
    def reference(self) -> str:
        """The first reference."""
        return self.references[0] if self.references else ""
