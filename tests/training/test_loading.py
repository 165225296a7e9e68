from __future__ import annotations

import pytest
import torch

from slmcheck.errors import CheckpointError, TrainingError
from slmcheck.training.loading import load_base_model, torch_device


def test_a_device_that_is_not_there_is_said(make_job) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has the device that must be missing")
    with pytest.raises(TrainingError, match="asked to train on 'cuda'") as error:
        torch_device(make_job(device="cuda"))
    assert "--slm-device=cpu" in str(error.value)


def test_weights_that_are_trained_are_float32(make_job) -> None:
    model, tokenizer = load_base_model(make_job(bf16=True), frozen=False)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert tokenizer.eos_id == 2


def test_threads_are_those_of_the_recipe(make_job) -> None:
    before = torch.get_num_threads()
    load_base_model(make_job(threads=2), frozen=True)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


def test_generators_are_seeded_before_adapters_draw_their_weights(make_job) -> None:
    load_base_model(make_job(seed=5), frozen=True)
    one = torch.rand(3)
    torch.rand(10)
    load_base_model(make_job(seed=5), frozen=True)
    assert torch.equal(one, torch.rand(3))


def test_a_base_model_with_pickled_weights_only_is_refused(make_job, tmp_path) -> None:
    folder = tmp_path / "pickled"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(CheckpointError, match="pickled"):
        load_base_model(make_job(base_model=str(folder)), frozen=True)


def test_a_base_model_without_weights_is_refused(make_job, tmp_path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError):
        load_base_model(make_job(base_model=str(tmp_path)), frozen=True)
