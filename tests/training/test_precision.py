from __future__ import annotations

from dataclasses import replace

import pytest

from slmcheck.training.precision import precision_note, training_dtype


@pytest.mark.parametrize(
    ("fields", "device", "dtype"),
    [
        ({}, "cuda", "float32"),
        ({"bf16": True}, "cuda", "bfloat16"),
        ({"fp16": True}, "cuda", "float16"),
        ({"bf16": True}, "cpu", "float32"),
        ({"fp16": True}, "mps", "float32"),
    ],
)
def test_half_precision_is_for_gpus(recipe, fields, device, dtype) -> None:
    assert training_dtype(replace(recipe, **fields), device) == dtype


def test_a_wish_that_is_not_followed_is_said(recipe) -> None:
    assert precision_note(replace(recipe, bf16=True), "cpu") == (
        "'bf16: true' applies to GPUs; on cpu this run was trained in float32."
    )
    assert precision_note(replace(recipe, bf16=True), "cuda") is None
    assert precision_note(recipe, "cpu") is None
