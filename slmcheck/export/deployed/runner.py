r"""Run the exported model of this folder. Needs onnxruntime, numpy and tokenizers, nothing else.

    python runner.py "Phrase: it broke again
    Tone:"
    python runner.py --row '{"phrase": "it broke again"}'

The first form gives the prompt as it stands, the second fills the template that the model was trained with. In Python:

    from runner import Model
    print(Model().answer(prompt="Phrase: it broke again\nTone:"))

A leaf module: it imports onnxruntime and tokenizers.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Tokenizer

HERE = Path(__file__).resolve().parent
PAST = re.compile(r"^past_key_values\.\d+\.(key|value)$")
TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


@dataclass
class Written:
    """A text that was written token by token."""

    tokens: list[int] = field(default_factory=list)
    margins: list[float] = field(default_factory=list)
    """At each step, how far the best logit lies above the second."""
    seconds: list[float] = field(default_factory=list)
    """Time of each step; the first one reads the prompt."""


class Model:
    """The model of a folder: `answer` gives its answer to a prompt or a row."""

    def __init__(self, folder: Path | str = HERE, *, threads: int = 1, provider: str = "CPUExecutionProvider") -> None:
        """Load the graph.

        Args:
            folder: What `slmcheck export` wrote.
            threads: Threads of one call.
            provider: Of onnxruntime; a missing one is an error, because onnxruntime would take the CPU without a word.

        Raises:
            RuntimeError: If the provider is missing or does not take the model.
        """
        self.folder = Path(folder)
        self.task = self._read_task("task.json")
        self.tokenizer = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        if provider not in ort.get_available_providers():
            raise RuntimeError(
                f"onnxruntime {ort.__version__} has no {provider}; it has {ort.get_available_providers()}."
            )
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self.session = ort.InferenceSession(str(self.folder / "model.onnx"), options, providers=[provider])
        self.provider = self.session.get_providers()[0]
        if self.provider != provider:
            raise RuntimeError(f"onnxruntime runs the model on {self.provider} instead of {provider}.")
        self._inputs = {one.name: one for one in self.session.get_inputs()}
        self._past = [name for name in self._inputs if PAST.match(name)]
        self._outputs = ["logits", *(name.replace("past_key_values", "present") for name in self._past)]
        self._adapters: dict[str, ort.LoraAdapter] = {}
        self._active: ort.LoraAdapter | None = None
        self._known_prior: NDArray[np.float64] | None = None

    def answer(self, prompt: str | None = None, *, row: Mapping[str, Any] | None = None) -> str:
        """The answer to a prompt, or to a row that fills the template.

        Args:
            prompt: The text before the answer; for a chat model as its chat template renders it.
            row: Fields of the template.
        """
        if (prompt is None) == (row is None):
            raise ValueError("Give a prompt or a row.")
        text = self.render(row) if row is not None else str(prompt)
        if self.task["kind"] == "head":
            (logits,) = self.label_logits([self.encode(text)])
            return str(self.task["options"][int(np.argmax(logits))])
        if self.task["kind"] == "options":
            scores = self.option_scores(self.option_sequences(text))
            return str(self.task["options"][int(np.argmax(scores))])
        return self.text_of(self.write(self.encode(text), self.task["max_new_tokens"]).tokens)

    # Text

    def render(self, row: Mapping[str, Any]) -> str:
        """The prompt of a row by the template of the training.

        Raises:
            ValueError: If there is no template, or the row lacks a field.
        """
        template = self.task["template"]
        if template is None:
            raise ValueError("This model was trained on chat messages: render them and give a prompt.")
        missing = [name for name in template["fields"] if name not in row]
        if missing:
            raise ValueError(
                f"The row has no {', '.join(missing)}. The template reads {', '.join(template['fields'])}."
            )
        parts = [template["texts"][0]]
        for name, text in zip(template["fields"], template["texts"][1:]):  # noqa: B905  runs on older Pythons too
            parts += [_text_of(row[name]), text]
        return "".join(parts).rstrip()

    def encode(self, prompt: str) -> list[int]:
        """Ids of a prompt, behind what the tokenizer puts before every text."""
        ids = self.tokenizer.encode(prompt, add_special_tokens=False).ids
        prefix, suffix = self.task["prefix"], self.task["suffix"]
        return [*([] if ids[: len(prefix)] == prefix else prefix), *ids, *suffix]

    def option_sequences(self, prompt: str, texts: Sequence[str] | None = None) -> list[tuple[list[int], int]]:
        """Ids of a prompt with each option, and where the option begins; the end token follows where options share ids.

        Args:
            prompt: The text before the answer.
            texts: The options as they follow it; None takes those of the training.

        Raises:
            ValueError: If the options depend on the row.
        """
        texts = self.task["option_texts"] if texts is None else texts
        if texts is None:
            raise ValueError("The options of this model depend on the row: give their texts.")
        found = [self._sequence(prompt, text) for text in texts]
        ordered = sorted(ids for ids, _ in found)
        if any(two[: len(one)] == one for one, two in zip(ordered, ordered[1:])):  # noqa: B905, RUF007
            found = [([*ids, self.task["end_id"]], start) for ids, start in found]
        return [([self.task["start_id"], *ids], 1) if start == 0 else (ids, start) for ids, start in found]

    def _sequence(self, prompt: str, answer: str) -> tuple[list[int], int]:
        """Ids of prompt and answer, tokenised as one text, and where the answer begins."""
        encoding = self.tokenizer.encode(prompt + answer, add_special_tokens=False)
        ends = [place for place, (_, end) in enumerate(encoding.offsets) if end > len(prompt)]
        ids, start, prefix = list(encoding.ids), ends[0] if ends else len(encoding.ids), self.task["prefix"]
        if ids[: len(prefix)] == prefix and start >= len(prefix):
            return ids, start
        return [*prefix, *ids], start + len(prefix)

    def text_of(self, tokens: Sequence[int]) -> str:
        """The text of tokens, up to the first stop text."""
        text: str = self.tokenizer.decode(list(tokens), skip_special_tokens=True)
        places = [place for stop in self.task["stop"] if (place := text.find(stop)) >= 0]
        return (text[: min(places)] if places else text).strip()

    # Numbers

    def option_scores(self, sequences: Sequence[tuple[Sequence[int], int]]) -> NDArray[np.float64]:
        """Log-likelihood of each answer after its prompt, normalised as in the training; shape (options,)."""
        batch, mask = _padded([ids for ids, _ in sequences])
        logits, _ = self.run(batch, mask, self.no_past(len(batch)))
        scores = []
        for row, (ids, start), option in zip(logits.astype(np.float64), sequences, self.task["options"]):  # noqa: B905
            asked = row[start - 1 : len(ids) - 1]
            asked = asked - asked.max(axis=1, keepdims=True)
            asked = asked - np.log(np.exp(asked).sum(axis=1, keepdims=True))
            own = asked[np.arange(len(asked)), ids[start:]]
            scores.append(own.sum() / _divisor(self.task["normalization"], len(own), option))
        return np.asarray(scores) - self._prior()

    def _prior(self) -> NDArray[np.float64]:
        """Log-likelihood of each option without a prompt, where scores are relative to it."""
        if self.task["normalization"] != "unconditional":
            return np.zeros(1)
        if self._known_prior is None:
            self._known_prior = np.zeros(1)  # so that the call below is not relative to itself
            self._known_prior = self.option_scores(self.option_sequences(""))
        return self._known_prior

    def label_logits(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Logits of a classification head; shape (rows, labels)."""
        batch, mask = _padded(rows)
        feeds: dict[str, NDArray[Any]] = {"input_ids": batch, "attention_mask": mask}
        if "token_type_ids" in self._inputs:
            feeds["token_type_ids"] = np.zeros_like(batch)
        self._check(batch)
        found: NDArray[np.float32] = self.session.run(["logits"], feeds, self._options())[0]
        return found

    def write(self, prompt: Sequence[int], limit: int, *, stop_at_end: bool = True) -> Written:
        """Write on greedily, token by token, with the keys and values of what was read."""
        written = Written()
        mask, ids, past = np.ones((1, 0), dtype=np.int64), np.asarray([list(prompt)]), self.no_past(1)
        context = self.task["context_tokens"]
        limit = limit if context is None else min(limit, context - len(prompt))
        while len(written.tokens) < limit:
            started = time.perf_counter()
            mask = np.concatenate([mask, np.ones_like(ids)], axis=1)
            logits, past = self.run(ids, mask, past)
            written.seconds.append(time.perf_counter() - started)
            last = logits[0, -1].astype(np.float64)
            token = int(np.argmax(last))
            written.margins.append(float(last[token] - np.delete(last, token).max()))
            if token in self.task["eos_ids"] and stop_at_end:
                break
            written.tokens.append(token)
            ids = np.asarray([[token]])
            if any(stop in self.tokenizer.decode(written.tokens) for stop in self.task["stop"]):
                break
        return written

    def run(
        self, ids: NDArray[np.int64], mask: NDArray[np.int64], past: Sequence[NDArray[Any]]
    ) -> tuple[NDArray[np.float32], list[NDArray[Any]]]:
        """One call: logits (rows, tokens, vocabulary), keys and values of everything read so far."""
        self._check(ids)
        feeds: dict[str, NDArray[Any]] = {"input_ids": ids, "attention_mask": mask}
        if "position_ids" in self._inputs:  # without them, padding would be counted
            feeds["position_ids"] = np.maximum(np.cumsum(mask, axis=1) - 1, 0)[:, -ids.shape[1] :]
        feeds.update(zip(self._past, past))  # noqa: B905
        logits, *present = self.session.run(self._outputs, feeds, self._options())
        return logits, present

    def no_past(self, rows: int) -> list[NDArray[Any]]:
        """Keys and values of rows that have read nothing."""
        shapes = [(self._inputs[name].shape, TYPES[self._inputs[name].type]) for name in self._past]
        return [np.zeros((rows, shape[1], 0, shape[3]), dtype=kind) for shape, kind in shapes]

    def use_adapter(self, name: str | None) -> None:
        """Answer with an adapter of the folder from now on; None answers as the base model does.

        Raises:
            ValueError: If there is no such adapter, or its tensors are not the graph's: onnxruntime would answer with
                what is missing left out.
        """
        if name is None:
            self._active, self._known_prior, self.task = None, None, self._read_task("task.json")
            return
        if name not in self._adapters:
            file = self.folder / "adapters" / f"{name}.onnx_adapter"
            if not file.is_file():
                known = sorted(path.stem for path in (self.folder / "adapters").glob("*.onnx_adapter"))
                raise ValueError(f"There is no adapter '{name}'. Adapters: {', '.join(known) or 'none'}.")
            found = set(ort.AdapterFormat.read_adapter(str(file)).get_parameters())
            expected = {one.name for one in self.session.get_overridable_initializers()}
            if found != expected:
                wrong = sorted(found ^ expected)
                raise ValueError(
                    f"{file.name} is of another graph: {len(wrong)} tensors differ, {wrong[0]} among them."
                )
            self._adapters[name] = ort.LoraAdapter()
            self._adapters[name].Load(str(file))
        self._active, self._known_prior = self._adapters[name], None
        self.task = self._read_task(f"adapters/{name}.json")

    def _read_task(self, name: str) -> dict[str, Any]:
        """What the model was trained to do, and how it is asked."""
        found: dict[str, Any] = json.loads((self.folder / name).read_text(encoding="utf-8"))
        return found

    def _options(self) -> ort.RunOptions:
        """One adapter at most, and never io-binding: onnxruntime ignores adapters there, and all but the first."""
        options = ort.RunOptions()
        if self._active is not None:
            options.add_active_adapter(self._active)
        return options

    def _check(self, ids: NDArray[np.int64]) -> None:
        size, context = self.task["vocabulary_size"], self.task["context_tokens"]
        if ids.min() < 0 or ids.max() >= size:  # the graph reads negative ids without an error
            raise ValueError(
                f"Token ids from {ids.min()} to {ids.max()}; the vocabulary has {size}: another tokenizer?"
            )
        if context is not None and ids.shape[1] > context:
            raise ValueError(f"{ids.shape[1]} tokens; the model reads {context}.")


def _padded(rows: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows as a rectangle, padded on the right, and where tokens stand."""
    length = max(len(row) for row in rows)
    ids, mask = np.zeros((len(rows), length), dtype=np.int64), np.zeros((len(rows), length), dtype=np.int64)
    for number, row in enumerate(rows):
        ids[number, : len(row)], mask[number, : len(row)] = row, 1
    return ids, mask


def _text_of(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _divisor(normalization: str, tokens: int, option: str) -> int:
    return {"mean_tokens": tokens, "mean_bytes": max(1, len(option.encode()))}.get(normalization, 1)


def main() -> None:
    """Answer one prompt from the command line."""
    parser = argparse.ArgumentParser(description="Answer with the exported model of this folder.")
    parser.add_argument("prompt", nargs="?", help="the text before the answer")
    parser.add_argument("--row", help="fields of the template as JSON, in place of a prompt")
    parser.add_argument("--adapter", help="name of an adapter of the folder")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if (arguments.prompt is None) == (arguments.row is None):
        parser.error("give a prompt, or --row")
    model = Model(threads=arguments.threads)
    model.use_adapter(arguments.adapter)
    row = json.loads(arguments.row) if arguments.row is not None else None
    print(model.answer(arguments.prompt, row=row))  # noqa: T201


if __name__ == "__main__":
    main()
