"""Each check flags the fault that it is for, planted here, and says nothing of the sound model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.nn import functional

from slmcheck.errors import CheckpointError
from slmcheck.training.batches import FlatPositionsCollator, feature_of
from slmcheck.training.job_rows import rows_of
from slmcheck.training.label_loss import learned_tokens
from slmcheck.training.loading import load_base_model
from slmcheck.training.model_checks import (
    Probe,
    check_after,
    check_before,
    check_vocabulary,
    is_affordable,
    refuse_unknown_tokens,
)

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")


def update_losses(model: nn.Module) -> Callable:
    """The loss terms of an update, as they should be computed."""

    def losses(batches):
        count = sum(int((batch["labels"][:, 1:] != -100).sum()) for batch in batches)
        for batch in batches:
            yield learned_tokens(model, batch).nll().sum() / count

    return losses


@pytest.fixture
def probe(make_job) -> Probe:
    job = make_job()
    base, tokenizer = load_base_model(job, frozen=True)
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", r=2, target_modules="all-linear"))
    features = [feature_of(row) for row in rows_of(job, tokenizer).train[:8]]
    collate = FlatPositionsCollator()
    return Probe(
        model=model,
        together=collate(features),
        apart=[collate([feature]) for feature in features],
        loss=update_losses(model),
        learning_rate=1e-3,
    )


def causes(findings) -> list[str]:
    return [finding.cause for finding in findings]


def test_a_sound_model_has_no_findings(probe) -> None:
    assert check_before(probe) == ()


def test_the_checks_leave_weights_generator_and_mode_as_they_were(probe) -> None:
    before = {name: weight.detach().clone() for name, weight in probe.model.named_parameters()}
    probe.model.eval()
    torch.manual_seed(3)
    check_before(probe)
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(1))
    assert all(torch.equal(weight, before[name]) for name, weight in probe.model.named_parameters())
    assert all(weight.grad is None for weight in probe.model.parameters())
    assert not probe.model.training


def test_weights_of_another_tokenizer_are_found(probe) -> None:
    with torch.no_grad():
        probe.model.get_base_model().lm_head.weight.mul_(200)
    assert "base-loss-implausible" in causes(check_before(probe))


def test_an_adapter_on_few_layers_is_found(make_job, probe) -> None:
    base, _ = load_base_model(make_job(), frozen=True)
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"]))
    found = check_before(replace(probe, model=model, loss=update_losses(model)))
    assert causes(found) == ["few-layers-adapted"]
    assert found[0].summary == "The adapter sits on 2 of 14 linear layers."


def test_dropout_in_evaluation_is_found(probe) -> None:
    model = probe.model.get_base_model().model
    model.norm.register_forward_hook(lambda module, inputs, output: functional.dropout(output, 0.3, training=True))
    assert "evaluation-not-deterministic" in causes(check_before(probe))


def test_an_evaluation_that_changes_the_weights_is_found(probe) -> None:
    weight = probe.model.get_base_model().model.layers[0].mlp.down_proj.base_layer.weight

    def repack(*_: object) -> None:
        if not torch.is_grad_enabled():  # as a library that packs weights in its first evaluation
            weight.data = weight.data.roll(7)

    probe.model.register_forward_pre_hook(repack)
    assert "evaluation-changes-training" in causes(check_before(probe))


def test_a_mean_of_means_is_found(probe) -> None:
    def means(batches):
        for index, batch in enumerate(batches):  # rows of unequal length weigh the same, and one of them more
            yield learned_tokens(probe.model, batch).nll().mean() * (3 if index == 0 else 1)

    assert "accumulation-changes-gradient" in causes(check_before(replace(probe, loss=means)))


def test_a_cut_graph_is_found(probe) -> None:
    layers = probe.model.get_base_model().model.layers
    layers[0].register_forward_hook(lambda module, inputs, output: output.detach())
    (found,) = [finding for finding in check_before(probe) if finding.cause == "graph-cut"]
    assert found.summary == "14 of 28 trained tensors get no gradient."


def test_updates_that_vanish_in_coarse_weights_are_found(probe) -> None:
    for name, weight in probe.model.named_parameters():
        if ".lora_A." in name:
            weight.data = weight.data.mul(20).to(torch.bfloat16)
        elif ".lora_B." in name:
            weight.data = weight.data.add(1.0).to(torch.bfloat16)
    found = check_before(replace(probe, learning_rate=1e-4))
    assert "updates-vanish" in causes(found)


def test_tokens_without_embedding_are_found(probe) -> None:
    assert check_vocabulary(probe.model, 259) is None
    assert (
        check_vocabulary(probe.model, 261).summary == "The tokenizer has 261 tokens, the model has embeddings for 259."
    )


def test_rows_with_a_token_that_the_model_does_not_know_are_refused(probe) -> None:
    refuse_unknown_tokens(probe.model, 258, "base")
    with pytest.raises(CheckpointError, match="token with number 259, and 'base' has 259 embeddings"):
        refuse_unknown_tokens(probe.model, 259, "base")


def test_a_fresh_adapter_is_found_without_effect(probe) -> None:
    (found,) = check_after(probe.model, probe.together)
    assert found.cause == "adapter-without-effect"
    assert "14 of its second matrices are zero" in found.evidence[1]


def test_a_trained_adapter_has_an_effect(probe) -> None:
    for name, weight in probe.model.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(weight)
    assert check_after(probe.model, probe.together) == ()


def test_weights_that_are_not_finite_are_found(probe) -> None:
    for name, weight in probe.model.named_parameters():
        if "layers.0.self_attn.q_proj.lora_B" in name:
            weight.data[0, 0] = float("nan")
    assert "weights-not-finite" in causes(check_after(probe.model, probe.together))


def test_the_checks_of_large_models_are_left_out(probe) -> None:
    assert is_affordable(probe.model, 500, "cpu")
    assert not is_affordable(probe.model, 500_000_000, "cpu")
