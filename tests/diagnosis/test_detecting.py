"""Each cause is named where its fault is planted, and the healthy run has none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slmcheck.diagnosis import Answers, Continued, diagnose, flattened
from slmcheck.records import Finding, Resources
from tests.diagnosis.conftest import FALLING, always, answers, history, row_history


def causes(seen) -> list[str]:
    return [finding.cause for finding in diagnose(seen)]


def first(seen) -> Finding:
    return diagnose(seen)[0]


def named(seen, cause) -> Finding:
    return next(finding for finding in flattened(diagnose(seen)) if finding.cause == cause)


def test_a_healthy_run_has_neither_problem_nor_warning(healthy):
    assert [finding for finding in diagnose(healthy) if finding.severity != "note"] == []


def test_a_loss_above_its_start_is_a_learning_rate_too_high(healthy):
    exploded = [2.0] * 10 + [6.0] * 20 + [4.0] * 70
    seen = replace(healthy, history=history(exploded, [2.0, 6.0, 4.0, 4.0, 4.0]), evaluation=healthy.base)
    cause = first(seen)
    assert (cause.cause, cause.severity) == ("learning-rate-too-high", "problem")
    assert cause.recipe_patch == {"learning_rate": 2e-4, "warmup_ratio": 0.05}
    assert "no-better-than-trivial" in [one.cause for one in cause.consequences]


def test_single_steep_gradients_are_a_warning(healthy):
    points = [replace(one, gradient_norm=500.0 if one.step == 40 else one.gradient_norm) for one in healthy.history]
    assert (first(replace(healthy, history=tuple(points))).severity) == "warning"


def test_steep_gradients_and_one_answer_everywhere_are_a_learning_rate_too_high(healthy):
    points = [replace(one, gradient_norm=500.0 if one.step == 40 else one.gradient_norm) for one in healthy.history]
    collapsed = always(healthy.splits.test, "glad")
    cause = first(replace(healthy, history=tuple(points), evaluation=collapsed))
    assert (cause.cause, cause.severity) == ("learning-rate-too-high", "problem")
    assert cause.consequences[0].cause == "majority-collapse"


def test_a_loss_that_hardly_fell_is_a_learning_rate_too_low(healthy):
    flat = [2.0 - 0.001 * n for n in range(100)]
    rows, test = healthy.splits.train, healthy.splits.test
    seen = replace(
        healthy,
        history=history(flat, [2.0, 2.0, 1.9, 1.9, 1.9]),
        train=answers(rows, 0.52),
        evaluation=answers(test, 0.5),
    )
    assert first(seen).cause == "learning-rate-too-low"
    assert first(seen).recipe_patch == {"learning_rate": 5e-3}


def test_a_loss_that_still_fell_after_few_updates_is_a_training_too_short(healthy):
    short = [2.0 - 0.02 * n for n in range(60)]
    rows, test = healthy.splits.train, healthy.splits.test
    seen = replace(
        healthy, history=history(short, [2.0, 1.6, 1.2, 1.0]), train=answers(rows, 0.55), evaluation=answers(test, 0.5)
    )
    assert first(seen).cause == "still-learning"
    assert first(seen).recipe_patch["num_train_epochs"] == 9.0


def test_a_loss_that_stood_still_without_learning_is_a_plateau(healthy):
    rows, test = healthy.splits.train, healthy.splits.test
    seen = replace(healthy, train=answers(rows, 0.6), evaluation=answers(test, 0.58), base=None, trivial={})
    assert causes(seen) == ["plateau"]
    assert first(seen).recipe_patch == {"options.r": 32}


def test_one_answer_everywhere_is_a_collapse(healthy):
    seen = replace(healthy, evaluation=always(healthy.splits.test, "glad"), train=always(healthy.splits.train, "glad"))
    assert first(seen).cause == "majority-collapse"
    assert {"no-better-than-trivial"} <= {one.cause for one in first(seen).consequences}


def test_a_gap_with_a_rising_validation_loss_is_overfitting(healthy):
    seen = replace(
        healthy,
        train=answers(healthy.splits.train, 1.0),
        evaluation=answers(healthy.splits.test, 0.7),
        history=history(FALLING, [2.0, 0.8, 0.5, 0.7, 0.9]),
        rows=row_history(healthy.splits.train, healthy.splits.validation, rise=0.4),
    )
    cause = first(seen)
    assert cause.cause == "overfitting"
    assert cause.recipe_patch["options.r"] == 8
    assert cause.recipe_patch["num_train_epochs"] == 1.0
    assert {number.name for number in cause.numbers} >= {"gap in accuracy", "divergence step"}


def test_a_gap_with_a_small_rise_is_either_overfitting_or_noise(healthy):
    seen = replace(
        healthy,
        train=answers(healthy.splits.train, 1.0),
        evaluation=answers(healthy.splits.test, 0.75),
        history=history(FALLING, [2.0, 0.8, 0.50, 0.51, 0.53]),
        rows=row_history(healthy.splits.train, healthy.splits.validation, rise=0.03),
    )
    assert first(seen).cause == "overfitting-or-noisy-labels"
    assert first(seen).severity == "warning"


def test_a_gap_without_a_rise_is_harmless(healthy):
    seen = replace(healthy, train=answers(healthy.splits.train, 1.0), evaluation=answers(healthy.splits.test, 0.75))
    assert named(seen, "harmless-memorising").severity == "note"
    assert "overfitting" not in causes(seen)


def test_labels_that_nobody_can_tell_from_the_text_carry_nothing(healthy):
    test = healthy.splits.test
    seen = replace(
        healthy,
        train=answers(healthy.splits.train, 0.95),
        evaluation=answers(test, 0.5),
        trivial={**healthy.trivial, "tf-idf": answers(test, 0.5)},
        rows=row_history(healthy.splits.train, healthy.splits.validation, online=0.5),
    )
    assert first(seen).cause == "labels-without-information"


def test_an_evaluation_far_below_the_first_epoch_is_rendered_differently(healthy):
    seen = replace(
        healthy,
        evaluation=answers(healthy.splits.test, 0.55),
        rows=row_history(healthy.splits.train, healthy.splits.validation, online=0.85),
    )
    assert first(seen).cause == "evaluation-rendered-differently"
    assert "They first differ in word 2" in first(seen).evidence[3]


def test_a_run_below_its_base_model_is_said(healthy):
    seen = replace(healthy, base=answers(healthy.splits.test, 0.95))
    assert first(seen).cause == "worse-than-base"


def test_a_run_below_tf_idf_is_a_warning(healthy):
    seen = replace(healthy, trivial={**healthy.trivial, "tf-idf": answers(healthy.splits.test, 0.9)})
    assert (first(seen).cause, first(seen).severity) == ("no-better-than-trivial", "warning")


def test_stored_weights_with_another_loss_are_no_longer_those_that_were_trained(healthy):
    now = [replace(one, nll=3.0, tokens=2) for one in answers(healthy.splits.validation, 1.0).predictions]
    seen = replace(healthy, reloaded=Answers(predictions=tuple(now), values=np.zeros(len(now))))
    assert first(seen).cause == "checkpoint-differs"
    same = [replace(one, nll=1.0, tokens=2) for one in now]
    assert causes(replace(healthy, reloaded=Answers(predictions=tuple(same), values=np.zeros(len(same))))) == []


def test_a_mistaken_label_is_shown_as_a_pair(healthy):
    test = healthy.splits.test
    wrong = answers(test, 1.0)
    changed = [
        replace(one, prediction="sad") if one.reference == "glad" and n % 4 == 0 else one
        for n, one in enumerate(wrong.predictions)
    ]
    values = np.array([float(one.prediction == one.reference) for one in changed])
    seen = replace(healthy, evaluation=Answers(predictions=tuple(changed), values=values))
    assert named(seen, "confused-labels").summary == "'glad' is taken for 'sad' in 75 of 150 rows."


def test_a_slice_that_is_weaker_beyond_chance_is_named(healthy):
    found = answers(healthy.splits.test, 1.0)
    short = [
        replace(one, row={**one.row, "source": "chat" if n % 5 == 0 else "mail"})
        for n, one in enumerate(found.predictions)
    ]
    values = np.array([0.0 if n % 15 == 0 else 1.0 for n in range(len(short))])
    seen = replace(healthy, evaluation=Answers(predictions=tuple(short), values=values))
    weak = named(seen, "weak-slices")
    assert weak.summary.startswith("1 of")
    assert "'source chat'" in weak.summary


def test_probabilities_above_the_accuracy_are_overconfident(healthy):
    seen = replace(healthy, evaluation=answers(healthy.splits.test, 0.75, sure=0.99))
    sure = named(seen, "overconfident")
    assert sure.recipe_patch == {"label_smoothing": 0.1}
    assert "24 points surer" in sure.summary


def test_prompts_that_flip_answers_when_changed_are_noticed(healthy):
    test = healthy.splits.test[:100]
    same = healthy.evaluation.of(frozenset(row.id for row in test))
    seen = replace(healthy, changed_prompts={"case": answers(test, 0.5), "typing errors": same})
    sensitive = named(seen, "prompt-sensitive")
    assert "by case" in sensitive.summary
    assert len(sensitive.evidence) == 1


def test_texts_that_are_recited_are_memorised(healthy):
    told = Continued(train=np.ones(32), held_out=np.zeros(32), examples=("train-1",))
    assert named(replace(healthy, continued=told), "memorised-rows").examples == ("train-1",)


def test_generations_that_end_by_their_length_never_stop(healthy):
    found = [
        replace(one, finished=False, prediction=one.reference + " and so on") for one in healthy.evaluation.predictions
    ]
    seen = replace(healthy, evaluation=Answers(predictions=tuple(found), values=healthy.evaluation.values))
    assert first(seen).cause == "answers-never-stop"
    cut = [replace(one, prediction=one.reference[:1]) for one in found]
    seen = replace(healthy, evaluation=Answers(predictions=tuple(cut), values=healthy.evaluation.values))
    assert first(seen).recipe_patch == {"evaluation.max_new_tokens": 256}


def test_answers_that_cannot_be_read_are_a_problem(healthy):
    broken = np.array([float(n % 2) for n in range(len(healthy.splits.test))])
    assert first(replace(healthy, unparsable=broken)).cause == "unparsable-answers"


@pytest.mark.parametrize(
    ("resources", "cause"),
    [
        (Resources(peak_memory_bytes=95), "memory-near-limit"),
        (Resources(seconds=100.0, waited_seconds=30.0), "slow-data-loading"),
        (Resources(seconds=100.0, cpu_seconds=20.0), "low-utilisation"),
    ],
)
def test_what_a_training_wastes_is_said(healthy, resources, cause):
    assert causes(replace(healthy, resources=resources, machine_bytes=100)) == [cause]


def test_a_training_without_memory_gets_smaller_batches(healthy):
    seen = replace(healthy, failure="tone/lora: killed: out of memory.", failure_kind="TrainingKilledError")
    cause = first(seen)
    assert cause.cause == "out-of-memory"
    assert cause.recipe_patch == {
        "gradient_checkpointing": True,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 8,
    }


def test_a_loss_that_became_nan_is_told_as_it_was_told_then(healthy):
    seen = replace(healthy, failure="tone/lora: the loss became nan at update 7.", failure_kind="NonFiniteLossError")
    assert first(seen).summary == "tone/lora: the loss became nan at update 7."


def test_leaked_rows_carry_the_score_on_clean_rows(healthy):
    known = [replace(row, prompt=healthy.splits.train[n].prompt) for n, row in enumerate(healthy.splits.test[:60])]
    test = (*known, *healthy.splits.test[60:])
    values = np.array([1.0] * 60 + list(answers(test[60:], 0.5).values))
    found = Answers(predictions=answers(test, 1.0).predictions, values=values)
    seen = replace(healthy, splits=replace(healthy.splits, test=test), evaluation=found)
    leak = first(seen)
    assert (leak.cause, leak.severity) == ("leaked-rows", "problem")
    clean = next(number for number in leak.numbers if number.name == "accuracy on clean rows")
    assert clean.value == pytest.approx(0.5)


def test_what_was_not_observed_is_not_judged(healthy):
    blind = replace(healthy, evaluation=None, train=None, base=None, trivial={}, history=(), rows=None)
    assert causes(blind) == []
