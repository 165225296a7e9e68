"""A GenAI folder as a server runs it: its own tokenizer, chat template, search settings and generator.

A leaf module: it imports onnxruntime_genai.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

from slmcheck.errors import CheckpointError, MissingExtraError, PredictionError
from slmcheck.records import Json


class _Tokenizer(Protocol):
    eos_token_ids: Sequence[int]

    def encode(self, text: str) -> Sequence[int]: ...
    def apply_chat_template(self, messages: str, *, template_str: str | None, add_generation_prompt: bool) -> str: ...


class GenaiFolder:
    """A GenAI folder in memory.

    Raises:
        MissingExtraError: If onnxruntime-genai is not installed.
        CheckpointError: If it cannot load the folder.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import onnxruntime_genai
        except ImportError as error:
            raise MissingExtraError(
                "Judging a GenAI folder needs onnxruntime-genai, which is not installed.\n"
                "Install it: pip install 'slmcheck[train,onnx,genai]'"
            ) from error
        self.folder, self._library = folder, onnxruntime_genai
        try:
            self._model = onnxruntime_genai.Model(str(folder))
            self._tokenizer = cast("_Tokenizer", onnxruntime_genai.Tokenizer(self._model))
            options = onnxruntime_genai.GeneratorParams(self._model).get_search_options()
        except Exception as error:  # the library raises RuntimeError and exceptions of its own
            raise CheckpointError(
                f"onnxruntime-genai cannot load {folder}: {_first_line(error)}\n"
                "Build the folder again: python -m onnxruntime_genai.models.builder"
            ) from error
        self.search: Mapping[str, float] = {name: float(value) for name, value in options.items()}
        """Search settings of genai_config.json, with the defaults of the library."""
        self.eos_ids = frozenset(int(token) for token in self._tokenizer.eos_token_ids)
        """Every token that ends a text."""
        self.context_tokens = _context(folder)
        """Longest text that it says it reads."""

    @property
    def longest(self) -> int:
        """Tokens of prompt and answer together, at most."""
        return int(self.search.get("max_length", self.context_tokens or 0))

    def encode(self, text: str) -> tuple[int, ...]:
        """A text as ids, by the folder's tokenizer."""
        return tuple(int(token) for token in self._tokenizer.encode(text))

    def render(self, messages: Sequence[Mapping[str, Json]]) -> str:
        """Messages as the text that the model reads, by the folder's chat template.

        Raises:
            PredictionError: If it has none, or it cannot be rendered.
        """
        try:
            return self._tokenizer.apply_chat_template(
                json.dumps(list(messages)), template_str=None, add_generation_prompt=True
            )
        except Exception as error:  # the library raises RuntimeError and exceptions of its own
            raise PredictionError(
                f"The GenAI folder renders no messages: {_first_line(error)}\nIn {self.folder}.\n"
                "Its tokenizer_config.json or chat_template.jinja needs the chat template of the checkpoint."
            ) from error

    def generate(self, ids: Sequence[int], *, limit: int, stopped: Callable[[Sequence[int]], bool]) -> tuple[int, ...]:
        """Write on behind a prompt, by the folder's search settings; gives the new ids without the one that ends them.

        Args:
            ids: The prompt.
            limit: New tokens, at most; fewer where the folder's `max_length` comes first.
            stopped: Whether the new ids hold a stop string.

        Raises:
            PredictionError: If the generator fails.
        """
        if len(ids) >= self.longest:
            return ()  # the generator refuses such a prompt
        try:
            params = self._library.GeneratorParams(self._model)
            params.set_search_options(max_length=min(self.longest, len(ids) + limit))
            generator = self._library.Generator(self._model, params)
            generator.append_tokens(list(ids))
            new: list[int] = []
            while not generator.is_done() and len(new) < limit:
                generator.generate_next_token()
                token = int(generator.get_next_tokens()[0])
                if token in self.eos_ids:
                    break
                new.append(token)
                if stopped(new):
                    break
        except Exception as error:  # the library raises RuntimeError and exceptions of its own
            raise PredictionError(
                f"The generator of onnxruntime-genai fails: {_first_line(error)}\nIn {self.folder}.\n"
                "Judge its graph alone: slmcheck parity RUN --onnx FOLDER/model.onnx"
            ) from error
        return tuple(new)


def _context(folder: Path) -> int | None:
    try:
        config = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))
        length = config["model"].get("context_length")
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{folder / 'genai_config.json'} cannot be read: {error}.") from error
    return int(length) if isinstance(length, int) else None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
