from __future__ import annotations

import math
from pathlib import Path

import pytest

from slmcheck.errors import DataError
from slmcheck.inference import read_saved_predictions

FROZEN = Path(__file__).parent / "frozen" / "v1" / "predictions.jsonl"


def test_saved_predictions_of_the_first_form_are_opened() -> None:
    classified, generated, document = read_saved_predictions(FROZEN)
    assert (classified.id, classified.prediction, classified.references) == ("17", "spam", ("ham",))
    assert (classified.options, classified.option_scores) == (("spam", "ham"), (-0.25, -1.25))
    assert classified.option_probabilities == pytest.approx((1 / (1 + math.exp(-1)), 1 / (1 + math.e)))
    assert (classified.prompt, classified.group) == ("Grüße", "g")
    assert (generated.references, generated.finished) == (("a text", "another"), False)
    assert (document.prediction, document.nll, document.tokens) == (None, 12.5, 4)
    assert (document.bytes, document.words) == (10, 2)


def test_a_field_of_a_later_form_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "later.jsonl"
    path.write_text('{"id": "1", "prediction": "a", "reference": "a", "colour": "blue"}\n')
    with pytest.raises(DataError, match=r"later.jsonl:1: unknown field 'colour' \(known: bytes, .*words\)"):
        read_saved_predictions(path)
