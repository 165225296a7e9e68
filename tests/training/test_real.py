"""The loop on a real model and real data."""

from __future__ import annotations

import pytest

from slmcheck.data import load_splits
from slmcheck.records import DataSpec, Recipe
from slmcheck.training import train_in_child

pytestmark = pytest.mark.real


def test_a_real_model_learns_to_tell_spam(real_data, tmp_path) -> None:
    rows = real_data / "data" / "sms_spam"
    recipe = Recipe(
        name="sms/lora",
        base_model=str(real_data / "models" / "stories260k"),
        task="classification",
        trainer="lora",
        data=DataSpec(
            train=(f"{rows}/train.jsonl[:300]",),
            validation=(f"{rows}/validation.jsonl[:60]",),
            text_template="Text: {text}\nLabel: {label}",
            answer="label",
        ),
        learning_rate=3e-3,
        per_device_train_batch_size=16,
        max_steps=30,
        eval_steps=10,
    )
    splits = load_splits(recipe)
    result = train_in_child(recipe, splits.train, splits.validation, tmp_path, base_model=recipe.base_model)
    losses = {point.step: point.validation_loss for point in result.history if point.validation_loss is not None}
    assert losses[0] > 5.0
    assert losses[result.best_step] < 0.3
    assert result.findings == ()
    assert result.engine == "flat batches, attention by rows"
