"""Damaged and foreign graphs are errors; onnxruntime itself reads many of them without a word."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from slmcheck.backends import PaddedBatch, TokenTree, load
from slmcheck.backends.onnx_folder import read_facts, write_facts
from slmcheck.errors import CheckpointError, PredictionError
from slmcheck.records import Checkpoint
from slmcheck.storage.files import sha256_of_file


@pytest.fixture
def graph(exported_model, tmp_path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(exported_model[1], tmp_path / "graph"))


@pytest.fixture
def rewrite(graph) -> Callable[[Callable[..., None]], Path]:
    """Change the graph and describe it as if it had been exported so."""

    def change(edit: Callable[..., None]) -> Path:
        import hashlib
        from dataclasses import replace

        import onnx

        facts, file = read_facts(graph), graph / "model.onnx"
        model = onnx.load(file)
        edit(model)
        onnx.save(model, file)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        write_facts(
            graph,
            replace(
                facts,
                sizes={**facts.sizes, "model.onnx": file.stat().st_size},
                sha256={**facts.sha256, "model.onnx": digest},
            ),
        )
        return graph

    return change


def loaded(folder: Path, threads: int = 1):
    return load(Checkpoint(kind="onnx", path=folder, key="k"), threads=threads)


def test_it_says_what_it_is(graph):
    model = loaded(graph, threads=2)
    assert (model.backend, model.context_tokens, model.vocabulary_size) == ("onnxruntime", 128, 260)
    assert model.workers == 2
    assert set(model.environment.versions) == {"onnxruntime", "tokenizers"}


def test_rows_do_not_depend_on_the_batch(graph):
    model = loaded(graph)
    rng = np.random.default_rng(0)
    trees = [
        TokenTree.sequence(rng.integers(4, 260, size=length).tolist(), range(1, length)) for length in (5, 40, 17, 2)
    ]
    for tree, values in zip(trees, model.log_probabilities(trees), strict=True):
        np.testing.assert_allclose(values, model.log_probabilities([tree])[0], atol=1e-5, rtol=0)


def test_rows_are_read_piece_by_piece_where_logits_would_take_too_much(graph, monkeypatch):
    from slmcheck.backends import onnxruntime

    model = loaded(graph)
    tokens, parents = [9, 8, 7, 30, 31, 32, 33, 34, 35, 5, 6, 9], [*range(-1, 8), 8, 9, 9]
    asked, targets = [8, 9, 10, 9, 11, 8, 2], [5, 6, 7, 9, 11, 20, 30]
    tree = TokenTree(*(np.asarray(part, dtype=np.int64) for part in (tokens, parents, asked, targets)))
    trees = [tree, TokenTree.sequence([4, 5, 6, 7], [1, 3])]
    expected, prompts = model.log_probabilities(trees), [[1, 50, 60, 70, 80], [1, 9]]
    logits = model.decoder(rows=2, length=9).add(prompts)
    monkeypatch.setattr(onnxruntime, "LOGITS", 2 * 2 * 260)
    for found, whole in zip(model.log_probabilities(trees), expected, strict=True):
        np.testing.assert_allclose(found, whole, atol=1e-5, rtol=0)
    np.testing.assert_allclose(model.decoder(rows=2, length=9).add(prompts), logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("damage", ["half", "junk", "empty"])
def test_a_damaged_graph_is_named(graph, damage):
    file = graph / "model.onnx"
    content = file.read_bytes()
    file.write_bytes({"half": content[: len(content) // 2], "junk": b"junk", "empty": b""}[damage])
    with pytest.raises(CheckpointError, match=r"model\.onnx is damaged"):
        loaded(graph)


def test_weights_zeroed_in_place_are_seen(graph):
    file = graph / "model.onnx"
    content = bytearray(file.read_bytes())
    content[-3000:-2000] = bytes(1000)
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.onnx is damaged"):
        loaded(graph)


def test_a_missing_file_is_named(graph):
    (graph / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is missing"):
        loaded(graph)


def test_a_folder_of_another_tool_is_refused(graph):
    (graph / "export.json").unlink()
    with pytest.raises(CheckpointError, match=r"no exported model.*export\.json"):
        loaded(graph)


def test_a_description_that_cannot_be_read_is_refused(graph):
    (graph / "export.json").write_text(json.dumps({"format": 9, "what": 1}), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"export\.json cannot be read"):
        loaded(graph)


def test_a_graph_for_a_newer_onnxruntime_is_refused(rewrite):
    def newer(model) -> None:
        model.ir_version = 99

    with pytest.raises(CheckpointError, match=r"needs ONNX IR version 99; onnxruntime \S+ knows \d+(?s:.)*Upgrade"):
        loaded(rewrite(newer))


def test_an_operator_that_onnxruntime_lacks_is_named(rewrite):
    def foreign(model) -> None:
        model.graph.node[40].op_type = "Nonsense"

    with pytest.raises(CheckpointError, match="Nonsense"):
        loaded(rewrite(foreign))


def test_other_names_are_refused(rewrite):
    def rename(model) -> None:
        model.graph.output[0].name = "scores"
        for node in model.graph.node:
            for place, name in enumerate(node.output):
                if name == "logits":
                    node.output[place] = "scores"

    with pytest.raises(
        CheckpointError, match=r"(?s)logits +float \(rows, tokens, vocabulary\) +missing.*scores +nothing +float"
    ):
        loaded(rewrite(rename))


@pytest.mark.parametrize("token", [-1, 260])
def test_ids_outside_the_vocabulary_are_refused(graph, token):
    with pytest.raises(PredictionError, match=r"do not fit the 260 of the vocabulary"):
        loaded(graph).logits(PaddedBatch.of([[1, token, 5]], pad_id=0, pad_left=False))


def test_a_text_beyond_the_context_is_refused(graph):
    with pytest.raises(PredictionError, match=r"A text of 129 tokens does not fit the context of 128"):
        loaded(graph).logits(PaddedBatch.of([[5] * 129], pad_id=0, pad_left=False))


def test_a_graph_that_counts_its_mask_from_the_left_is_asked_row_by_row(graph):
    from dataclasses import replace

    plain = loaded(graph)
    facts = read_facts(graph)
    write_facts(graph, replace(facts, settings={**facts.settings, "pads_left": "false"}))
    other = loaded(graph)
    assert (plain.pads_left, other.pads_left) == (True, False)
    prompts, tokens = [[1, 50, 60, 70, 80], [1, 9]], np.asarray([30, 31])
    found = []
    for model in (plain, other):
        decoder = model.decoder(rows=2, length=9)
        found.append([decoder.add(prompts), decoder.step(tokens), decoder.step(tokens[::-1])])
        decoder.drop(0)
        found[-1].append(decoder.step(tokens[:1]))
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(two, one, atol=1e-5)
    trees = [TokenTree.sequence(ids, range(1, len(ids))) for ids in ([1, 5, 6, 7], [1, 90, 3, 4, 5, 6])]
    for one, two in zip(plain.log_probabilities(trees), other.log_probabilities(trees), strict=True):
        np.testing.assert_allclose(two, one, atol=1e-5)


def test_rotary_factors_that_change_with_the_length_make_the_decoder_read_all_again(graph):
    file = graph / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    rope = {"rope_type": "longrope", "original_max_position_embeddings": 6}
    file.write_text(json.dumps({**config, "rope_parameters": rope}), encoding="utf-8")
    content = json.loads((graph / "export.json").read_text(encoding="utf-8"))
    content["sha256"]["config.json"], content["sizes"]["config.json"] = sha256_of_file(file), file.stat().st_size
    (graph / "export.json").write_text(json.dumps(content), encoding="utf-8")
    model = loaded(graph)
    assert (model.long_from, model.rows_alone) == (6, True)
    reads: list[int] = []
    run = model.run

    def counting(ids, mask, positions, past):
        reads.append(ids.shape[1])
        return run(ids, mask, positions, past)

    model.run = counting
    decoder = model.decoder(rows=1, length=12)
    decoder.add([[1, 5, 6, 7]])
    for token in (8, 9, 10, 11):
        decoder.step(np.asarray([token]))
    assert reads == [4, 1, 1, 7, 1]
