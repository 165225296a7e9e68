"""An exported language model in onnxruntime: one graph reads prompts and writes on, with its past as inputs.

A leaf module: it imports onnxruntime.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from slmcheck.backends.environment import expected_environment
from slmcheck.backends.onnx_folder import GRAPH, GraphFacts, read_facts
from slmcheck.backends.protocol import Decoder, LanguageModel, PaddedBatch, TokenTree
from slmcheck.backends.unrolled import Row, trunk_rows
from slmcheck.data.tokenizers import TextTokenizer, read_tokenizer
from slmcheck.errors import CheckpointError, InputError, PredictionError
from slmcheck.records import Checkpoint, Environment

PROVIDER = "CPUExecutionProvider"
CACHE_BYTES = 1 << 29
"""Keys and values of all rows under generation, at most."""
LOGITS = 1 << 26
"""Logits of one call, at most: 256 MB."""
NAMES = ("input_ids", "attention_mask", "position_ids")
"""Inputs beside the past."""

Past = list[NDArray[np.float32]]
"""Keys and values of every layer, as the graph orders them; each (rows, key heads, tokens, width)."""


@dataclass(frozen=True)
class _Shape:
    """Of one input of the past."""

    name: str
    heads: int
    width: int


def load_graph(checkpoint: Checkpoint, *, threads: int) -> LanguageModel:
    """The exported model of a checkpoint folder; it runs on the CPU.

    Raises:
        CheckpointError: If files are missing, damaged, or need another onnxruntime.
    """
    folder = checkpoint.path
    facts = read_facts(folder)
    session = open_session(folder / GRAPH)
    try:
        tokenizer = read_tokenizer(folder)
    except InputError as error:
        raise CheckpointError(f"{error}\nExport the run again: slmcheck export RUN DIR") from error
    environment = expected_environment(checkpoint, device="cpu", threads=threads)
    return OnnxModel(session, tokenizer, facts, checkpoint_key=checkpoint.key, environment=environment)


def open_session(graph: Path) -> ort.InferenceSession:
    """A session of one thread a call.

    Raises:
        CheckpointError: If onnxruntime cannot read the graph, or does not run it where it should.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(str(graph), options, providers=[PROVIDER])
    except Exception as error:  # the library's own exceptions share no base class
        raise CheckpointError(
            f"onnxruntime {ort.__version__} cannot load {graph.name}: {str(error).strip().splitlines()[0]}\n"
            f"In {graph.parent}.\n"
            "If it was exported for a newer onnxruntime, upgrade; else copy or export it again."
        ) from error
    if session.get_providers() != [PROVIDER]:
        raise CheckpointError(f"onnxruntime runs {graph} on {session.get_providers()} instead of {PROVIDER}.")
    return session


class OnnxModel:
    """A causal language model as one graph with keys and values as inputs and outputs."""

    backend = "onnxruntime"
    engine = "onnxruntime: prompts right-padded, options behind their prompt's keys and values"
    rows_alone = False
    shares_beginnings = False

    def __init__(
        self,
        session: ort.InferenceSession,
        tokenizer: TextTokenizer,
        facts: GraphFacts,
        *,
        checkpoint_key: str,
        environment: Environment,
    ) -> None:
        self.tokenizer, self.checkpoint_key, self.environment = tokenizer, checkpoint_key, environment
        self.eos_ids, self.context_tokens = frozenset(facts.eos_ids), facts.context_tokens
        self.vocabulary_size, self.workers = facts.vocabulary_size, environment.threads
        self._session, self._past = session, past_inputs(session)
        self._outputs = ["logits", *(one.name.replace("past_key_values", "present") for one in self._past)]

    def log_probabilities(self, trees: Sequence[TokenTree]) -> list[NDArray[np.float64]]:
        """See `LanguageModel`."""
        values = [np.empty(len(tree.asked), dtype=np.float64) for tree in trees]
        trunks, branches = trunk_rows(trees)
        batch = PaddedBatch.of([row.tokens for row in trunks], pad_id=0, pad_left=False)
        past = self._answer(values, trunks, batch.ids, batch.mask, batch.positions, self.no_past(len(trunks)))
        width = past[0].shape[2]
        rows_at_once = max(1, CACHE_BYTES // max(1, width * self._bytes_a_token() * self.workers))
        for start in range(0, len(branches), rows_at_once):
            some = branches[start : start + rows_at_once]
            batch = PaddedBatch.of([row.tokens for row in some], pad_id=0, pad_left=False)
            seen = np.asarray([row.seen for row in some])
            mask = np.concatenate([(np.arange(width) < seen[:, None]).astype(np.int64), batch.mask], axis=1)
            own_past = [tensor[[row.tree for row in some]] for tensor in past]
            self._answer(values, some, batch.ids, mask, batch.positions + seen[:, None], own_past)
        return values

    def _answer(
        self,
        values: list[NDArray[np.float64]],
        rows: Sequence[Row],
        ids: NDArray[np.int64],
        mask: NDArray[np.int64],
        positions: NDArray[np.int64],
        past: Past,
    ) -> Past:
        """Read rows piece by piece and answer their questions; gives their keys and values."""
        behind = past
        for start, logits, present in self.pieces(ids, mask, positions, past):
            _answer(values, rows, logits, start)
            behind = present
        return behind

    def logits(self, batch: PaddedBatch) -> list[NDArray[np.float32]]:
        """See `LanguageModel`; the graph reads the batch as it is padded."""
        logits, _ = self.run(batch.ids, batch.mask, batch.positions, self.no_past(len(batch.ids)))
        return [row[mask.astype(bool)] for row, mask in zip(logits, batch.mask, strict=True)]

    def decoder(self, *, rows: int, length: int) -> Decoder:
        """See `LanguageModel`; fewer rows where their keys and values would take too much memory."""
        affordable = max(1, CACHE_BYTES // (length * self._bytes_a_token() * self.workers))
        return OnnxDecoder(self, rows=min(rows, affordable))

    def pieces(
        self, ids: NDArray[np.int64], mask: NDArray[np.int64], positions: NDArray[np.int64], past: Past
    ) -> Iterator[tuple[int, NDArray[np.float32], Past]]:
        """Rows read a piece at a time, because the graph gives the logits of every token that it reads.

        Gives the first place of each piece, its logits (rows, tokens, vocabulary) and the past behind it.
        """
        read, length = past[0].shape[2], ids.shape[1]
        step = max(1, LOGITS // (len(ids) * self.vocabulary_size))
        for start in range(0, length, step):
            piece = slice(start, start + step)
            seen = mask[:, : min(read + start + step, read + length)]
            logits, past = self.run(ids[:, piece], seen, positions[:, piece], past)
            yield start, logits, past

    def run(
        self, ids: NDArray[np.int64], mask: NDArray[np.int64], positions: NDArray[np.int64], past: Past
    ) -> tuple[NDArray[np.float32], Past]:
        """Logits (rows, tokens, vocabulary) and the longer past of one call.

        Raises:
            PredictionError: If ids lie outside the vocabulary; the graph reads negative ones without an error.
        """
        if ids.min() < 0 or ids.max() >= self.vocabulary_size:
            raise PredictionError(
                f"Token ids from {ids.min()} to {ids.max()} do not fit the {self.vocabulary_size} of the vocabulary.\n"
                "The tokenizer belongs to another model: export the run again."
            )
        feeds: dict[str, NDArray[np.generic]] = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
        feeds.update({one.name: tensor for one, tensor in zip(self._past, past, strict=True)})
        logits, *present = self._session.run(self._outputs, feeds)
        return logits, present

    def no_past(self, rows: int) -> Past:
        """The past of rows that have read nothing."""
        return [np.zeros((rows, one.heads, 0, one.width), dtype=np.float32) for one in self._past]

    def _bytes_a_token(self) -> int:
        return sum(4 * one.heads * one.width for one in self._past)


class OnnxDecoder:
    """A decoder over a graph; prompts are left-padded and come together, see `slmcheck.backends.Decoder`."""

    def __init__(self, model: OnnxModel, *, rows: int) -> None:
        self._model, self._capacity = model, rows
        self._order: list[int] = []  # the places of the present rows in the tensors below
        self._mask = np.zeros((0, 0), dtype=np.int64)
        self._past: Past = []

    @property
    def room(self) -> int:
        """How many prompts can be added now: none until all rows have left."""
        return 0 if self._order else self._capacity

    def add(self, prompts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """See `Decoder`."""
        batch = PaddedBatch.of(prompts, pad_id=0, pad_left=True)
        past = self._model.no_past(len(prompts))
        for _, logits, behind in self._model.pieces(batch.ids, batch.mask, batch.positions, past):
            last, past = logits[:, -1], behind
        self._past, self._mask, self._order = past, batch.mask, list(range(len(prompts)))
        return last

    def step(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """See `Decoder`."""
        if self._order != list(range(len(self._mask))):
            self._past = [tensor[self._order] for tensor in self._past]
            self._mask, self._order = self._mask[self._order], list(range(len(self._order)))
        positions = self._mask.sum(axis=1, keepdims=True)
        self._mask = np.concatenate([self._mask, np.ones_like(positions)], axis=1)
        logits, self._past = self._model.run(tokens[:, None], self._mask, positions, self._past)
        return logits[:, -1]

    def drop(self, row: int) -> None:
        """See `Decoder`."""
        last = self._order.pop()
        if row < len(self._order):
            self._order[row] = last


def past_inputs(session: ort.InferenceSession) -> list[_Shape]:
    """The inputs for keys and values.

    Raises:
        CheckpointError: If inputs or outputs are not those of an exported language model.
    """
    inputs, outputs = session.get_inputs(), [one.name for one in session.get_outputs()]
    found = [one for one in inputs if one.name.startswith("past_key_values.")]
    names = {one.name for one in inputs}
    expected = ["logits", *(one.name.replace("past_key_values", "present") for one in found)]
    if names - {one.name for one in found} != set(NAMES) or outputs != expected or not found:
        raise CheckpointError(
            f"The graph's inputs are {', '.join(sorted(names)[:6])}; its outputs {', '.join(outputs[:4])}.\n"
            f"Expected inputs {', '.join(NAMES)}, past_key_values.0.key and so on,\n"
            "and outputs logits, present.0.key and so on. "
            "Export the run again: slmcheck export RUN DIR"
        )
    return [_Shape(one.name, int(one.shape[1]), int(one.shape[3])) for one in found]


def _answer(values: list[NDArray[np.float64]], rows: Sequence[Row], logits: NDArray[np.float32], start: int) -> None:
    """Answer the questions at the places from `start` on that `logits` covers."""
    covered = range(start, start + logits.shape[1])
    for index, row in enumerate(rows):
        places = sorted({question.place for question in row.questions if question.place in covered})
        if not places:
            continue
        asked = logits[index, [place - start for place in places]].astype(np.float64)
        asked -= asked.max(axis=1, keepdims=True)
        asked -= np.log(np.exp(asked).sum(axis=1, keepdims=True))
        at = {place: number for number, place in enumerate(places)}
        for question in row.questions:
            if question.place in covered:
                values[question.tree][question.number] = asked[at[question.place], question.target]
