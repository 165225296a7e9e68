"""An exported language model in onnxruntime: one graph reads prompts and writes on, with its past as inputs.

A leaf module: it imports onnxruntime.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from slmcheck.backends.environment import expected_environment
from slmcheck.backends.onnx_folder import GRAPH, GraphFacts, read_facts
from slmcheck.backends.onnx_session import open_session as open_session
from slmcheck.backends.onnx_signature import Expected, PastPort, Signature, signature_of
from slmcheck.backends.onnxruntime_decoding import OnnxDecoder, RowDecoder
from slmcheck.backends.protocol import Decoder, LanguageModel, PaddedBatch, TokenTree
from slmcheck.backends.unrolled import Row, trunk_rows, whole_rows
from slmcheck.data.tokenizers import TextTokenizer, read_tokenizer
from slmcheck.errors import CheckpointError, InputError, PredictionError
from slmcheck.records import Checkpoint, Environment

CACHE_BYTES = 1 << 29
"""Keys and values of all rows under generation, at most."""
LOGITS = 1 << 26
"""Logits of one call, at most: 256 MB."""
LENGTH_DEPENDENT_ROPE = "longrope"
Past = list[NDArray[np.generic]]
"""Keys and values of every layer, as the graph orders them; each (rows, key heads, tokens, width)."""


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
    return OnnxModel(
        session,
        tokenizer,
        facts,
        checkpoint_key=checkpoint.key,
        environment=environment,
        long_from=long_from(folder),
    )


def long_from(folder: Path) -> int | None:
    """Tokens beyond which rotary factors are others, where the configuration beside a graph says so."""
    file = folder / "config.json"
    if not file.is_file():
        return None
    config = json.loads(file.read_text(encoding="utf-8"))
    config = config.get("text_config") or config
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if rope.get("rope_type", rope.get("type")) != LENGTH_DEPENDENT_ROPE:
        return None
    length = rope.get("original_max_position_embeddings") or config.get("original_max_position_embeddings")
    return int(length) if length else None


class _Answers:
    """What is kept of the logits of token trees."""

    def __init__(self, trees: Sequence[TokenTree], logits: Sequence[NDArray[np.float32]] = ()) -> None:
        self.trees, self._logits = trees, logits
        self.values = [np.empty(len(tree.asked), dtype=np.float64) for tree in trees]

    def take(self, rows: Sequence[Row], logits: NDArray[np.float32], start: int) -> None:
        """Answer the questions at the places from `start` on that `logits` covers."""
        covered = range(start, start + logits.shape[1])
        for index, row in enumerate(rows):
            if self._logits:
                nodes = row.nodes[start : covered.stop]
                self._logits[row.tree][nodes] = logits[index, : len(nodes)]
            places = sorted({question.place for question in row.questions if question.place in covered})
            if not places:
                continue
            asked = logits[index, [place - start for place in places]].astype(np.float64)
            asked -= asked.max(axis=1, keepdims=True)
            asked -= np.log(np.exp(asked).sum(axis=1, keepdims=True))
            at = {place: number for number, place in enumerate(places)}
            for question in row.questions:
                if question.place in covered:
                    self.values[question.tree][question.number] = asked[at[question.place], question.target]


class OnnxModel:
    """A causal language model as one graph, with keys and values as inputs and outputs where it has them."""

    backend = "onnxruntime"
    shares_beginnings = False

    def __init__(
        self,
        session: ort.InferenceSession,
        tokenizer: TextTokenizer,
        facts: GraphFacts,
        *,
        checkpoint_key: str,
        environment: Environment,
        long_from: int | None = None,
    ) -> None:
        self.tokenizer, self.checkpoint_key, self.environment = tokenizer, checkpoint_key, environment
        self.eos_ids, self.context_tokens = frozenset(facts.eos_ids), facts.context_tokens
        self.vocabulary_size, self.workers = facts.vocabulary_size, environment.threads
        self.pads_left = facts.settings.get("pads_left") != "false"
        self.long_from = long_from
        """Tokens beyond which the factors of rotary embeddings are others; None where they never change."""
        self.rows_alone = long_from is not None
        sizes = {
            name: int(facts.settings[f"past_{name}"]) for name in ("heads", "width") if f"past_{name}" in facts.settings
        }
        self.signature = signature_of(session, Expected(**sizes))
        self._session = session
        self._outputs = [self.signature.logits, *(one.present for one in self.signature.past)]
        self._continues = bool(self.signature.past) and self.pads_left and long_from is None
        self.engine = (
            "onnxruntime: prompts right-padded, options behind their prompt's keys and values"
            if self._continues
            else "onnxruntime: whole rows, right-padded"
        )

    @property
    def remembers(self) -> bool:
        """Whether the graph takes keys and values of what it read before."""
        return bool(self.signature.past)

    def log_probabilities(self, trees: Sequence[TokenTree]) -> list[NDArray[np.float64]]:
        """See `LanguageModel`."""
        return self._asked(_Answers(trees))

    def log_probabilities_and_logits(
        self, trees: Sequence[TokenTree]
    ) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float32]]]:
        """What `log_probabilities` gives, and the logits at every node; one array (nodes, vocabulary) a tree.

        The graph makes both in one pass, so a comparison of logits costs no second one.
        """
        logits = [np.empty((len(tree.tokens), self.vocabulary_size), dtype=np.float32) for tree in trees]
        return self._asked(_Answers(trees, logits)), logits

    def _asked(self, answers: _Answers) -> list[NDArray[np.float64]]:
        trees, values = answers.trees, answers.values
        if not self._continues:
            self._whole(answers, whole_rows(trees))
            return values
        trunks, branches = trunk_rows(trees)
        batch = PaddedBatch.of([row.tokens for row in trunks], pad_id=0, pad_left=False)
        past = self._answer(answers, trunks, batch.ids, batch.mask, batch.positions, self.no_past(len(trunks)))
        width = past[0].shape[2]
        rows_at_once = max(1, CACHE_BYTES // max(1, width * self._bytes_a_token() * self.workers))
        for start in range(0, len(branches), rows_at_once):
            some = branches[start : start + rows_at_once]
            batch = PaddedBatch.of([row.tokens for row in some], pad_id=0, pad_left=False)
            seen = np.asarray([row.seen for row in some])
            mask = np.concatenate([(np.arange(width) < seen[:, None]).astype(np.int64), batch.mask], axis=1)
            own_past = [tensor[[row.tree for row in some]] for tensor in past]
            self._answer(answers, some, batch.ids, mask, batch.positions + seen[:, None], own_past)
        return values

    def _whole(self, answers: _Answers, rows: Sequence[Row]) -> None:
        """Answer the questions of rows that hold their prompt."""
        for some in self._in_one_call([len(row.tokens) for row in rows]):
            chosen = [rows[index] for index in some]
            batch = PaddedBatch.of([row.tokens for row in chosen], pad_id=0, pad_left=False)
            self._answer(answers, chosen, batch.ids, batch.mask, batch.positions, self.no_past(len(chosen)))

    def _answer(
        self,
        answers: _Answers,
        rows: Sequence[Row],
        ids: NDArray[np.int64],
        mask: NDArray[np.int64],
        positions: NDArray[np.int64],
        past: Past,
    ) -> Past:
        """Read rows piece by piece and answer their questions; gives their keys and values."""
        behind = past
        for start, logits, present in self.pieces(ids, mask, positions, past):
            answers.take(rows, logits, start)
            behind = present
        return behind

    def logits(self, batch: PaddedBatch) -> list[NDArray[np.float32]]:
        """See `LanguageModel`; the graph reads the batch as it is padded."""
        lengths = batch.mask.sum(axis=1).tolist()
        found: dict[int, NDArray[np.float32]] = {}
        for some in self._in_one_call(lengths, limit=False):
            logits, _ = self.run(batch.ids[some], batch.mask[some], batch.positions[some], self.no_past(len(some)))
            found.update({row: one[batch.mask[row].astype(bool)] for row, one in zip(some, logits, strict=True)})
        return [found[row] for row in range(len(lengths))]

    def _in_one_call(self, lengths: Sequence[int], *, limit: bool = True) -> list[list[int]]:
        """Rows that may share a call: of one regime of rotary factors, and not too many logits together."""
        groups: list[list[int]] = []
        for is_long in (False, True):
            own = [row for row, length in enumerate(lengths) if (length > (self.long_from or length)) == is_long]
            own.sort(key=lambda row: lengths[row], reverse=True)
            while own:
                most = max(1, LOGITS // (max(1, lengths[own[0]]) * self.vocabulary_size)) if limit else len(own)
                groups.append(own[:most])
                own = own[most:]
        return groups

    def decoder(self, *, rows: int, length: int) -> Decoder:
        """See `LanguageModel`; fewer rows where their keys and values would take too much memory."""
        affordable = max(1, CACHE_BYTES // (length * max(1, self._bytes_a_token()) * self.workers))
        if self._continues:
            return OnnxDecoder(self, rows=min(rows, affordable))
        return RowDecoder(self, rows=min(rows, affordable))

    def pieces(
        self, ids: NDArray[np.int64], mask: NDArray[np.int64], positions: NDArray[np.int64], past: Past
    ) -> Iterator[tuple[int, NDArray[np.float32], Past]]:
        """Rows read a piece at a time, because the graph gives the logits of every token that it reads.

        Gives the first place of each piece, its logits (rows, tokens, vocabulary) and the past behind it.
        """
        length = ids.shape[1]
        if not self._continues:
            logits, past = self.run(ids, mask, positions, past)
            yield 0, logits, past
            return
        read = past[0].shape[2]
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
            PredictionError: If ids lie outside the vocabulary or positions beyond the context; the graph reads negative
                ids and such positions without an error.
        """
        if ids.min() < 0 or ids.max() >= self.vocabulary_size:
            raise PredictionError(
                f"Token ids from {ids.min()} to {ids.max()} do not fit the {self.vocabulary_size} of the vocabulary.\n"
                "The tokenizer belongs to another model: export the run again."
            )
        if self.context_tokens is not None and positions.max() >= self.context_tokens:
            raise PredictionError(
                f"A text of {positions.max() + 1} tokens does not fit the context of {self.context_tokens}.\n"
                "Shorten the rows or evaluation.max_new_tokens."
            )
        known = self.signature
        feeds: dict[str, NDArray[np.generic]] = {known.ids.name: ids.astype(known.ids.numpy, copy=False)}
        for port, array in ((known.mask, mask), (known.positions, positions)):
            if port is not None:
                feeds[port.name] = array.astype(port.numpy, copy=False)
        feeds.update({one.name: tensor for one, tensor in zip(known.past, past, strict=True)})
        logits, *present = self._session.run(self._outputs, feeds)
        return logits.astype(np.float32, copy=False), present

    def no_past(self, rows: int) -> Past:
        """The past of rows that have read nothing."""
        return [np.zeros((rows, one.heads, 0, one.width), dtype=one.port.numpy) for one in self.signature.past]

    def _bytes_a_token(self) -> int:
        return sum(np.dtype(one.port.numpy).itemsize * one.heads * one.width for one in self.signature.past)


def past_inputs(session: ort.InferenceSession) -> tuple[PastPort, ...]:
    """The inputs for keys and values.

    Raises:
        CheckpointError: If inputs or outputs are not those of an exported language model.
    """
    found: Signature = signature_of(session)
    if not found.past or found.mask is None or found.positions is None:
        raise CheckpointError(
            "The graph has no inputs for keys and values, mask or positions.\n"
            "Expected input_ids, attention_mask, position_ids, past_key_values.0.key and so on.\n"
            "Export the run again: slmcheck export RUN DIR"
        )
    return found.past
