"""The contract on LoRA, and what only LoRA promises."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from peft import get_peft_model
from slmcheck_lora import LoraOptions, LoraTrainer
from slmcheck_lora.adapter import lora_config
from transformers import AutoModelForCausalLM

from slmcheck.errors import RecipeError
from slmcheck.records import DataSpec, Recipe
from slmcheck.testing import TrainerContract, write_small_model
from slmcheck.testing.trainer_contract import examples, mean_nll
from slmcheck.training import TrainingJob, read_history
from slmcheck.training.adapting import tied_names
from slmcheck.training.quiet import quiet_libraries


class TestLoraTrainer(TrainerContract):
    trainer = LoraTrainer
    options: ClassVar = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1}
    wrong_options = (
        {"r": 0},
        {"lora_alpha": 0},
        {"lora_dropout": 1.0},
        {"target_modules": []},
        {"init_lora_weights": False},
        {"init_lora_weights": "loftq"},
        {"use_rslora": "yes"},
    )


@pytest.fixture(scope="module")
def tied_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_model(tmp_path_factory.mktemp("tied"), tie_word_embeddings=True)


@pytest.fixture
def train(tied_model, tmp_path):
    """Trains two updates on a model with tied embeddings: `train(r=2)` takes options."""

    def run(**options):
        recipe = Recipe(
            name="suite/lora",
            base_model=str(tied_model),
            task="classification",
            trainer="lora",
            data=DataSpec(text_template="Thing: {thing}\nColour: {colour}", answer="colour"),
            options={"r": 2, **options},
            learning_rate=1e-2,
            max_steps=2,
            eval_steps=2,
        )
        job = TrainingJob(
            recipe=recipe,
            train=examples(16),
            validation=examples(8, start=16),
            base_model=str(tied_model),
            output_dir=tmp_path / "publish",
            device="cpu",
            log_step=lambda point: None,
        )
        return job, LoraTrainer().train(job)

    return run


@pytest.mark.parametrize(
    "targets", [["query"], ["q_proj", "query"], "query"], ids=["none matches", "one of two matches", "a plain name"]
)
def test_a_name_that_no_layer_has_is_refused_with_the_names_there_are(train, targets) -> None:
    with pytest.raises(RecipeError) as error:
        train(target_modules=targets)
    assert "options.target_modules names 'query', but no layer of" in str(error.value)
    assert "linear layers: down_proj, gate_proj, k_proj" in str(error.value)


def test_every_wrong_name_is_listed_at_once(train) -> None:
    with pytest.raises(RecipeError) as error:
        train(target_modules=["query", "q_proj", "key"], modules_to_save=["scores"])
    assert "'query', 'key'" in str(error.value)
    assert "options.modules_to_save names 'scores'" in str(error.value)


@pytest.mark.parametrize(
    "options",
    [{"target_modules": ["q_proj", "lm_head"]}, {"modules_to_save": ["embed_tokens"]}],
    ids=["head adapted", "embeddings saved"],
)
def test_layers_that_share_their_weights_are_refused(train, options) -> None:
    with pytest.raises(RecipeError, match="ties its head to its embeddings"):
        train(**options)


def test_head_and_embeddings_of_every_architecture_are_known(random_model) -> None:
    model = AutoModelForCausalLM.from_pretrained(random_model("gpt2"))
    assert tied_names(model) == {"wte", "lm_head"}


def test_a_layer_that_cannot_be_adapted_is_refused(train) -> None:
    with pytest.raises(RecipeError, match="peft refuses its options"):
        train(target_modules=["self_attn"])


def test_a_single_name_is_a_list_of_one(train) -> None:
    _, checkpoint = train(target_modules="q_proj")
    assert '"q_proj"' in (checkpoint.path / "adapter_config.json").read_text()


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({"init_lora_weights": "gaussian"}, 0.0),
        ({"use_rslora": True}, 0.0),
        ({"init_lora_weights": "pissa"}, 1e-4),
        ({"init_lora_weights": "olora"}, 1e-4),
        ({"init_lora_weights": "orthogonal"}, 1e-4),
    ],
)
def test_every_start_that_is_offered_begins_at_the_base_model(tied_model, options, tolerance) -> None:
    ids = torch.arange(3, 40)[None]
    model = AutoModelForCausalLM.from_pretrained(tied_model, dtype=torch.float32).eval()
    with torch.no_grad(), quiet_libraries():
        expected = model(ids).logits
        found = get_peft_model(model, lora_config(LoraOptions(r=4, **options))).eval()(ids).logits
    assert float((found - expected).abs().max()) <= tolerance


def test_an_adapter_that_changes_the_base_weights_reloads_as_it_was_trained(train) -> None:
    job, checkpoint = train(init_lora_weights="pissa")
    last = read_history(job.output_dir / "history.jsonl")[-1]
    assert mean_nll(checkpoint, job) == pytest.approx(last.validation_loss, rel=1e-3)


def test_layers_that_are_saved_in_full_reload_as_they_were_trained(train) -> None:
    job, checkpoint = train(modules_to_save=["down_proj"], target_modules=["q_proj"])
    last = read_history(job.output_dir / "history.jsonl")[-1]
    assert mean_nll(checkpoint, job) == pytest.approx(last.validation_loss, rel=1e-3)


def test_adapter_weights_are_float32_over_a_half_precision_base(tied_model) -> None:
    base = AutoModelForCausalLM.from_pretrained(tied_model, dtype=torch.bfloat16)
    with quiet_libraries():
        model = get_peft_model(base, lora_config(LoraOptions(r=2)))
    assert {weight.dtype for weight in model.parameters() if weight.requires_grad} == {torch.float32}


def test_the_configuration_is_the_same_in_every_process(train) -> None:
    _, checkpoint = train()
    targets = json.loads((checkpoint.path / "adapter_config.json").read_text())["target_modules"]
    assert targets == sorted(targets)


def test_a_rank_is_checked_together_with_the_rest(tied_model) -> None:
    recipe = Recipe(
        name="suite/lora",
        base_model=str(tied_model),
        task="sequence_classification",
        trainer="lora",
        data=DataSpec(),
        options={"r": 0, "lora_dropout": 1.5},
    )
    with pytest.raises(RecipeError, match="has 3 problems"):
        LoraTrainer().check(recipe)
    LoraTrainer().check(replace(recipe, options={}, task="generation"))
