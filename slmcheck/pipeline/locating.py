"""Where an export departs from the model it was made of: the module and the node, made once and kept."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from slmcheck import export as exporting
from slmcheck.backends.environment import worker_threads
from slmcheck.backends.onnx_folder import GRAPH
from slmcheck.data import row_digest
from slmcheck.data.encoding import encode
from slmcheck.errors import ExportError, OfflineMissError
from slmcheck.pipeline.agreeing import Pair
from slmcheck.records import Checkpoint, Example, Location, from_json, to_json
from slmcheck.storage import digest
from slmcheck.workspace import Workspace

if TYPE_CHECKING:
    import onnx

    from slmcheck.parity.ranking import Convert

CACHE_VERSION = 2
"""Changes when the same export would be located otherwise."""
ROWS, LONGEST = 24, 4
"""Examples that are fed in, at most, and how many of them are the longest."""


def locate(pair: Pair, examples: Sequence[Example], workspace: Workspace) -> Location:
    """Name the weight, the module and the node in which an export departs, or say what the evidence allows.

    Args:
        pair: The run and its export.
        examples: The evaluation split; some of it is fed in.
        workspace: Where the location is kept.

    Raises:
        OfflineMissError: If it would have to be located and the session is offline.
        CheckpointError: If the graph cannot be run.
    """
    chosen = _chosen(examples)
    key = location_key(pair, examples)
    stored = workspace.store.read_findings(key)
    if stored is not None:
        return from_json(Location, stored)
    if workspace.offline:
        raise OfflineMissError(
            f"The store has no location of the {pair.exported.precision} export of '{pair.record.name}', and this "
            "session is offline.\nLocate it where models may be loaded: slmcheck parity RUN --locate"
        )
    with workspace.store.lock(f"location-{key}"), workspace.store.slot("cpu", worker_threads()):
        found = _located(pair, chosen, workspace)
    workspace.store.write_findings(key, to_json(found))
    return found


def location_key(pair: Pair, examples: Sequence[Example]) -> str:
    """The key under which the store keeps a location."""
    return digest(
        "parity-location",
        {
            "version": CACHE_VERSION,
            "reference": pair.reference_key,
            "other": pair.exported.key,
            "precision": pair.exported.precision,
            "rows": digest("rows", [row_digest(example, "nll", pair.recipe) for example in _chosen(examples)]),
        },
    )


def stored_location(pair: Pair, examples: Sequence[Example], workspace: Workspace) -> Location | None:
    """The location that the store holds; None where nobody asked for one."""
    stored = workspace.store.read_findings(location_key(pair, examples))
    return None if stored is None else from_json(Location, stored)


def _located(pair: Pair, examples: Sequence[Example], workspace: Workspace) -> Location:
    from slmcheck.backends.pytorch_loading import load_merged, load_tokenizer
    from slmcheck.data.tokenizers import read_tokenizer
    from slmcheck.parity.concluding import other_tokens
    from slmcheck.parity.locating import Suspect
    from slmcheck.parity.locating import locate as located

    checkpoint, precision = pair.record.checkpoint, pair.exported.precision
    tokenizers = load_tokenizer(checkpoint), read_tokenizer(pair.exported.path)
    end = pair.recipe.task != "language_modeling"
    sequences = []
    for example in examples:
        own, other = (encode(example, one, recipe=pair.recipe, end=end).ids for one in tokenizers)
        if own != other:
            return other_tokens(pair.record.name, precision, example.source or example.id, other, own)
        sequences.append(own)
    if pair.recipe.task == "sequence_classification":
        from slmcheck.export.encoder import load_classifier

        model = load_classifier(checkpoint)
    else:
        model = load_merged(checkpoint)
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    sequences = [ids[:context] for ids in sequences if len(ids) > 1]
    with _fresh_export(checkpoint, workspace) as fresh:
        made_here = pair.exported.key == digest("export", exporting.export_inputs(checkpoint, precision))
        convert = _conversion(fresh, precision) if made_here and precision != "fp32" else None
        suspect = Suspect(pair.record.name, precision, pair.exported.path / GRAPH, fresh, convert)
        return located(suspect, model, sequences)


class _Fresh:
    """A fresh fp32 export of a checkpoint, made when it is first asked for."""

    def __init__(self, checkpoint: Checkpoint, folder: Path) -> None:
        self._checkpoint, self._folder = checkpoint, folder
        self._path = cache(self._make)

    def __call__(self) -> Path | None:
        return self._path()

    def _make(self) -> Path | None:
        try:
            exporting.to_onnx(self._checkpoint, self._folder)
        except ExportError:
            return None  # the architecture cannot be exported here: the graph came from another tool
        return self._folder / GRAPH


@contextlib.contextmanager
def _fresh_export(checkpoint: Checkpoint, workspace: Workspace) -> Iterator[_Fresh]:
    with workspace.store.scratch(f"fresh-{checkpoint.key}") as folder:
        yield _Fresh(checkpoint, folder)


def _conversion(fresh: _Fresh, precision: str) -> Convert:
    from slmcheck.export.quantizing import quantized
    from slmcheck.parity.locating import load_graph

    wanted = exporting.PRECISIONS[precision]

    def convert(exclude: Sequence[str]) -> onnx.ModelProto:
        path = fresh()
        if path is None:
            raise ExportError("The checkpoint cannot be exported again.\nNothing to compare its export with.")
        return quantized(load_graph(path), wanted, exclude=exclude)

    return convert


def _chosen(examples: Sequence[Example]) -> list[Example]:
    """The longest examples and others evenly over the split."""
    sized = sorted(examples, key=lambda one: -len(one.prompt) - len(one.answer))
    longest, others = sized[:LONGEST], sized[LONGEST:]
    count = min(ROWS - LONGEST, len(others))
    return [*longest, *(others[place * len(others) // count] for place in range(count))]
