"""The contract fails where a trainer breaks it."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from slmcheck_lora import LoraTrainer

from slmcheck.records import DataSpec, Recipe
from slmcheck.testing import InterruptionError, TrainerContract, write_small_model
from slmcheck.testing.trainer_contract import Trained, examples
from slmcheck.training import TrainingJob, read_history


class LaxTrainer(LoraTrainer):
    def check(self, recipe) -> None:
        """Accepts everything."""


@pytest.fixture(scope="module")
def base_model(tmp_path_factory):
    return write_small_model(tmp_path_factory.mktemp("base-model"))


@pytest.fixture(scope="module")
def trained(base_model, tmp_path_factory) -> Trained:
    recipe = Recipe(
        name="contract/recipe",
        base_model=str(base_model),
        task="classification",
        trainer="contract",
        data=DataSpec(text_template="Thing: {thing}\nColour: {colour}", answer="colour"),
        options={"r": 2},
        learning_rate=1e-2,
        max_steps=4,
        eval_steps=4,
    )
    job = TrainingJob(
        recipe=recipe,
        train=examples(16),
        validation=examples(8, start=16),
        base_model=str(base_model),
        output_dir=tmp_path_factory.mktemp("work") / "publish",
        device="cpu",
        log_step=lambda point: None,
    )
    checkpoint = LoraTrainer().train(job)
    return Trained(job, checkpoint, read_history(job.output_dir / "history.jsonl"), ())


def test_an_adapter_that_was_not_trained_fails(trained, tmp_path) -> None:
    from safetensors.torch import load_file, save_file

    fresh = shutil.copytree(trained.checkpoint.path, tmp_path / "fresh")
    weights = load_file(fresh / "adapter_model.safetensors")
    save_file(
        {name: tensor * (0.0 if "lora_B" in name else 1.0) for name, tensor in weights.items()},
        fresh / "adapter_model.safetensors",
        metadata={"format": "pt"},
    )
    broken = replace(trained, checkpoint=replace(trained.checkpoint, path=fresh))
    with pytest.raises(AssertionError):
        TrainerContract().test_reloaded_weights_answer_as_the_trained_ones_did(broken)


def test_a_history_with_a_hole_fails(trained) -> None:
    broken = replace(trained, points=trained.points[:2] + trained.points[3:])
    with pytest.raises(AssertionError):
        TrainerContract().test_history_has_every_update_and_every_evaluation(broken)


def test_a_wrong_first_loss_fails(trained, base_model) -> None:
    first = replace(trained.points[0], validation_loss=trained.points[0].validation_loss * 1.01)
    with pytest.raises(AssertionError):
        TrainerContract().test_step_zero_is_the_base_model(
            replace(trained, points=(first, *trained.points[1:])), base_model
        )


def test_a_pickle_in_the_result_fails(trained, tmp_path) -> None:
    output = shutil.copytree(trained.job.output_dir, tmp_path / "publish")
    (output / "training_args.bin").write_bytes(b"\x80")
    with pytest.raises(AssertionError, match=r"training_args\.bin"):
        TrainerContract().test_the_result_holds_no_pickles(
            replace(trained, job=replace(trained.job, output_dir=output))
        )


def test_a_trainer_that_checks_nothing_fails(trained) -> None:
    class Contract(TrainerContract):
        trainer = LaxTrainer

    with pytest.raises(pytest.fail.Exception):
        Contract().test_an_unknown_option_is_refused_by_name(trained.job.recipe)


def test_the_small_model_is_the_same_every_time(base_model, tmp_path) -> None:
    again = write_small_model(tmp_path / "again")
    for file in base_model.iterdir():
        assert file.read_bytes() == (again / file.name).read_bytes()


def test_an_interruption_is_no_error_that_a_trainer_would_handle() -> None:
    assert InterruptionError.__bases__ == (Exception,)
