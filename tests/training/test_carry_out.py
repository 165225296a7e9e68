from __future__ import annotations

import json
from dataclasses import replace

import pytest

from slmcheck.errors import RecipeError, UnknownPluginError
from slmcheck.training import carry_out, find_trainer, training_environment
from slmcheck.training.jobs import OUTCOME
from slmcheck.training.result import read_result


def test_trainers_are_found_by_name() -> None:
    assert type(find_trainer("lora")).__name__ == "LoraTrainer"


def test_an_unknown_trainer_names_those_that_are_installed() -> None:
    with pytest.raises(UnknownPluginError, match="Did you mean 'lora'"):
        find_trainer("lroa")


def test_the_environment_follows_what_is_really_done(recipe) -> None:
    found = training_environment(replace(recipe, bf16=True, threads=3), "cpu")
    assert (found.device, found.dtype, found.threads) == ("cpu", "float32", 3)
    assert training_environment(replace(recipe, bf16=True), "cuda").dtype == "bfloat16"


def test_a_job_leaves_everything_that_a_result_is_read_from(make_job) -> None:
    job = make_job(bf16=True)
    carry_out(job)
    result = read_result(job.output_dir, job.output_dir.parent / OUTCOME)
    assert sorted(path.name for path in job.output_dir.iterdir()) == [
        "adapter",
        "env.json",
        "history.jsonl",
        "rows.npz",
    ]
    assert json.loads((job.output_dir / "env.json").read_text())["device"] == "cpu"
    assert result.checkpoint.path == job.output_dir / "adapter"
    assert [point.step for point in result.history] == list(range(7))
    assert result.last_step == 6
    assert result.engine == "flat batches, attention by rows"
    assert result.notes[0].startswith("'bf16: true' applies to GPUs")
    assert result.resources.tokens > 0
    assert result.resources.tokens_per_second > 0
    assert result.resources.peak_memory_bytes > 50 * 2**20
    assert result.resources.trained_parameters < result.resources.total_parameters
    assert result.resumed_from is None


def test_a_recipe_that_its_trainer_refuses_is_not_started(make_job) -> None:
    with pytest.raises(RecipeError, match="optim"):
        carry_out(make_job(optim="adamw"))
