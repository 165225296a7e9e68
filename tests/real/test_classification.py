"""Messages and comments are sorted into classes better than by the base model and by the most frequent class."""

from __future__ import annotations

import pytest
from sklearn import metrics as sklearn

from slmcheck import Run
from slmcheck.metrics import majority
from tests.real.conftest import OpenRun
from tests.real.direct import answers_of, references_of
from tests.real.learning import validation_losses

pytestmark = [pytest.mark.real, pytest.mark.slow]

RECIPES = ["sms_spam/lora", "sms_spam/full", "go_emotions/lora"]


@pytest.fixture(params=RECIPES)
def classifier(request: pytest.FixtureRequest, open_real: OpenRun) -> Run:
    return open_real(request.param)


def test_the_validation_loss_falls(classifier: Run) -> None:
    losses = validation_losses(classifier)
    assert min(losses) < 0.8 * losses[0]
    assert losses[-1] < losses[0]


def test_it_beats_the_most_frequent_class(classifier: Run) -> None:
    predictions = majority(classifier.splits.train, classifier.examples())
    truth, answers = references_of(predictions), answers_of(predictions)
    by_chance = float(sklearn.balanced_accuracy_score(truth, answers))
    assert classifier.balanced_accuracy.at_least(by_chance, confidence=0.95)
    assert classifier.f1.at_least(float(sklearn.f1_score(truth, answers, average="macro")), confidence=0.95)


def test_it_beats_the_base_model(classifier: Run) -> None:
    assert classifier.balanced_accuracy.better_than(classifier.base.balanced_accuracy, confidence=0.95)
    assert classifier.f1.better_than(classifier.base.f1, confidence=0.95)


def test_scores_are_those_of_scikit_learn_to_the_last_digit(classifier: Run) -> None:
    predictions = classifier.predictions()
    truth, answers = references_of(predictions), answers_of(predictions)
    assert float(classifier.accuracy) == sklearn.accuracy_score(truth, answers)
    assert float(classifier.f1) == sklearn.f1_score(truth, answers, average="macro")
    assert float(classifier.mcc) == sklearn.matthews_corrcoef(truth, answers)
    assert float(classifier.balanced_accuracy) == sklearn.balanced_accuracy_score(truth, answers)


def test_the_scores_of_the_base_model_are_those_of_scikit_learn(classifier: Run) -> None:
    predictions = classifier.base.predictions()
    truth, answers = references_of(predictions), answers_of(predictions)
    assert float(classifier.base.accuracy) == sklearn.accuracy_score(truth, answers)
    assert float(classifier.base.f1) == sklearn.f1_score(truth, answers, average="macro", zero_division=0)
    assert float(classifier.base.mcc) == sklearn.matthews_corrcoef(truth, answers)


def test_a_second_opening_trains_and_predicts_nothing(classifier: Run, reopened: OpenRun) -> None:
    first = (classifier.f1, classifier.base.f1)
    again = reopened(classifier.recipe.name)
    assert again.record.created == classifier.record.created
    assert (float(again.f1), float(again.base.f1)) == tuple(map(float, first))
    assert again.predictions() == classifier.predictions()


def test_all_weights_are_trained_in_full_and_few_with_lora(open_real: OpenRun) -> None:
    lora, full = open_real("sms_spam/lora").resources, open_real("sms_spam/full").resources
    assert full.trained_parameters == full.total_parameters == 260_032
    assert lora.total_parameters == 260_032 + (lora.trained_parameters or 0)
