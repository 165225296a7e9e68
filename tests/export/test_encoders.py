"""Encoders with a classification head are exported to a plain graph that answers alone and in padded batches."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from slmcheck.errors import CheckpointError
from slmcheck.export import to_onnx
from slmcheck.records import Checkpoint
from slmcheck.testing.small_model import write_byte_tokenizer

ENCODERS = {
    "bert": {},
    "distilbert": {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4},
    "roberta": {},
    "modernbert": {"cls_token_id": 1, "sep_token_id": 2},
}


def write_encoder(folder: Path, family: str) -> Checkpoint:
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    sizes = {
        "vocab_size": 260,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 64,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "initializer_range": 0.15,
        "num_labels": 3,
    }
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **{**sizes, **ENCODERS[family]})
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    write_byte_tokenizer(folder)
    return Checkpoint(kind="model", path=folder, key=family)


@pytest.mark.slow
@pytest.mark.parametrize("family", ENCODERS)
def test_the_graph_answers_as_the_model_whatever_stands_beside_a_row(family, tmp_path):
    import torch
    from transformers import AutoModelForSequenceClassification

    from slmcheck.backends.onnx_session import open_session

    source = write_encoder(tmp_path / "model", family)
    exported = to_onnx(source, tmp_path / "graph")
    model = AutoModelForSequenceClassification.from_pretrained(source.path).eval()
    session = open_session(exported.path / "model.onnx")
    assert [one.name for one in session.get_inputs()] == ["input_ids", "attention_mask"]
    rows = [np.arange(5, 5 + length) for length in (3, 40, 17)]
    ids, mask = np.zeros((3, 45), dtype=np.int64), np.zeros((3, 45), dtype=np.int64)
    for place, row in enumerate(rows):
        ids[place, : len(row)], mask[place, : len(row)] = row, 1
    (batched,) = session.run(["logits"], {"input_ids": ids, "attention_mask": mask})
    for place, row in enumerate(rows):
        with torch.no_grad():
            alone = model(input_ids=torch.tensor(row)[None]).logits.numpy()
        np.testing.assert_allclose(batched[place : place + 1], alone, atol=1e-4)
    facts = json.loads((exported.path / "export.json").read_text(encoding="utf-8"))
    assert facts["settings"]["kind"] == "classifier"
    assert len(json.loads(facts["settings"]["labels"])) == 3


@pytest.mark.slow
def test_an_encoder_is_smaller_in_eight_bits(tmp_path):
    source = write_encoder(tmp_path / "model", "distilbert")
    sizes = [to_onnx(source, tmp_path / name, name).path / "model.onnx" for name in ("fp32", "int8")]
    assert sizes[1].stat().st_size < sizes[0].stat().st_size


def test_a_classifier_without_its_head_is_refused(tmp_path):
    from safetensors.numpy import load_file, save_file

    source = write_encoder(tmp_path / "model", "distilbert")
    file = source.path / "model.safetensors"
    kept = {name: value for name, value in load_file(file).items() if not name.startswith("classifier.")}
    save_file(kept, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"2 weights of .* are missing: classifier\.bias"):
        to_onnx(source, tmp_path / "graph")
