"""One view of a tokenizer: text -> ids with character offsets, special tokens, chat template.

Made from a folder by the `tokenizers` library alone (0.03 s; no transformers), or from a fast transformers tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

from slmcheck.errors import InputError, MissingExtraError
from slmcheck.records import Json

Offsets = tuple[tuple[int, int], ...]


class _Encoding(Protocol):
    ids: list[int]
    offsets: list[tuple[int, int]]
    special_tokens_mask: list[int]


class _AddedToken(Protocol):
    special: bool


class _Backend(Protocol):
    """What is used of `tokenizers.Tokenizer`."""

    truncation: Mapping[str, object] | None
    padding: Mapping[str, object] | None

    def encode(self, text: str, *, add_special_tokens: bool) -> _Encoding: ...
    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str: ...
    def token_to_id(self, token: str) -> int | None: ...
    def get_vocab_size(self) -> int: ...
    def no_truncation(self) -> None: ...
    def no_padding(self) -> None: ...
    def to_str(self) -> str: ...


@runtime_checkable
class FastTokenizer(Protocol):
    """What is used of a fast transformers tokenizer."""

    backend_tokenizer: object
    special_tokens_map: Mapping[str, str | list[str]]
    chat_template: str | Mapping[str, str] | None


@dataclass(frozen=True, eq=False)
class TextTokenizer:
    """Tokenizer of a base model."""

    backend: _Backend
    special_tokens: Mapping[str, str] = field(default_factory=dict)
    """`bos_token`, `eos_token` and so on, as text."""
    chat_template: str | Mapping[str, str] | None = None
    """Jinja source, or several by name (`default`, `tool_use`)."""
    prefix: tuple[int, ...] = ()
    """Ids that the tokenizer puts before a text: BOS, or nothing."""
    suffix: tuple[int, ...] = ()
    """Ids that the tokenizer puts after a text; replaced by one EOS for causal models."""
    special_ids: frozenset[int] = frozenset()
    stop_ids: frozenset[int] = frozenset()
    """Further ids that end a generation: `eos_token_id` of generation_config.json."""

    @property
    def bos_id(self) -> int | None:
        """Id of the first token of every text, where the tokenizer has one."""
        return self._id("bos_token")

    @property
    def eos_id(self) -> int | None:
        """Id of the token that ends a text."""
        return self._id("eos_token")

    @property
    def pad_id(self) -> int | None:
        """Id of the padding token."""
        return self._id("pad_token")

    @property
    def unk_id(self) -> int | None:
        """Id that stands for characters which the tokenizer does not know."""
        return self._id("unk_token")

    @property
    def eos_ids(self) -> frozenset[int]:
        """Every id that ends a generation."""
        return self.stop_ids if self.eos_id is None else self.stop_ids | {self.eos_id}

    def is_same(self, other: TextTokenizer) -> bool:
        """Whether another tokenizer surely reads every text alike: their files say the same."""
        if self is other:
            return True
        own = (self.prefix, self.suffix, self.special_tokens, self.chat_template)
        others = (other.prefix, other.suffix, other.special_tokens, other.chat_template)
        return own == others and self.backend.to_str() == other.backend.to_str()

    def tokenize(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids and character offsets of a text, without the tokens that the tokenizer adds around it."""
        if self.backend.truncation is not None:
            # transformers leaves the truncation of its last call behind.
            self.backend.no_truncation()
        if self.backend.padding is not None:
            self.backend.no_padding()
        encoding = self.backend.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens included."""
        return self.backend.decode(ids, skip_special_tokens=False)

    def _id(self, name: str) -> int | None:
        token = self.special_tokens.get(name)
        return None if token is None else self.backend.token_to_id(token)


def as_text_tokenizer(tokenizer: object) -> TextTokenizer:
    """A view of `tokenizer`: a TextTokenizer as it is, or a fast transformers tokenizer.

    Raises:
        InputError: If the tokenizer is a slow one, which gives no offsets.
    """
    if isinstance(tokenizer, TextTokenizer):
        return tokenizer
    if not isinstance(tokenizer, FastTokenizer):
        raise InputError(
            f"Tokenizer {type(tokenizer).__name__} gives no character offsets.\n"
            "The boundary between prompt and answer needs them: use a base model with a tokenizer.json."
        )
    names = {name: token for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
    return _view(cast("_Backend", tokenizer.backend_tokenizer), names, tokenizer.chat_template)


def read_tokenizer(folder: Path) -> TextTokenizer:
    """The tokenizer of a model folder, from its tokenizer.json and tokenizer_config.json.

    Raises:
        InputError: If the folder has no tokenizer.json, or it cannot be read.
        MissingExtraError: If the tokenizers library is not installed.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingExtraError(
            "Counting tokens needs the tokenizers library, which is not installed.\n"
            "Install it: pip install 'slmcheck[train]'"
        ) from error
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise InputError(f"{folder} has no tokenizer.json.\nA base model needs one beside its weights.")
    try:
        backend = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises bare Exception for a file that it cannot parse
        raise InputError(f"{file} cannot be read: {error}.") from error
    config = _config(folder / "tokenizer_config.json")
    names = {name: _token_text(value) for name, value in config.items() if name.endswith("_token")}
    view = _view(
        cast("_Backend", backend), {name: text for name, text in names.items() if text}, _chat_template(folder, config)
    )
    return replace(view, stop_ids=_stop_ids(_config(folder / "generation_config.json")))


def _view(backend: _Backend, names: Mapping[str, str], chat_template: str | Mapping[str, str] | None) -> TextTokenizer:
    probe = backend.encode("a", add_special_tokens=True)
    own = [index for index, special in enumerate(probe.special_tokens_mask) if not special]
    first, last = (own[0], own[-1] + 1) if own else (0, 0)
    ids = (backend.token_to_id(token) for token in names.values())
    return TextTokenizer(
        backend=backend,
        special_tokens=dict(names),
        chat_template=chat_template,
        prefix=tuple(probe.ids[:first]),
        suffix=tuple(probe.ids[last:]),
        special_ids=frozenset(number for number in ids if number is not None) | _added_special_ids(backend),
    )


def _added_special_ids(backend: object) -> frozenset[int]:
    decoder: dict[int, _AddedToken] = getattr(backend, "get_added_tokens_decoder", dict)()
    return frozenset(number for number, token in decoder.items() if token.special)


def _config(file: Path) -> Mapping[str, Json]:
    if not file.is_file():
        return {}
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is no JSON: {error}.") from error
    return config if isinstance(config, dict) else {}


def _stop_ids(config: Mapping[str, Json]) -> frozenset[int]:
    value = config.get("eos_token_id")
    numbers = value if isinstance(value, Sequence) else (value,)
    return frozenset(number for number in numbers if isinstance(number, int))


def _token_text(value: Json) -> str | None:
    if isinstance(value, Mapping):
        value = value.get("content")
    return value if isinstance(value, str) else None


def _chat_template(folder: Path, config: Mapping[str, Json]) -> str | Mapping[str, str] | None:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    template = config.get("chat_template")
    if isinstance(template, str):
        return template
    if isinstance(template, Sequence):
        named = [item for item in template if isinstance(item, Mapping)]
        return {str(item.get("name")): str(item.get("template")) for item in named}
    return None
