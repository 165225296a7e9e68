"""Two realistic runs, a classification that regressed and a generation that is fine, and hostile text to plant."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any

import pytest

from slmcheck.records import (
    ConfusionRecord,
    Environment,
    ExampleEvidence,
    Finding,
    GapRecord,
    HistoryPoint,
    OutcomeRecord,
    Report,
    Resources,
    RunReport,
    ScoreRecord,
    TrendPoint,
    VerdictRecord,
)

TONE, FAQ = "phrase_tone/lora", "faq_answers/lora"
TONES = ("apologetic", "curious", "enthusiastic", "frustrated", "grateful", "worried")
TONE_TEST = "suites/phrase_tone/test_phrase_tone.py"
FAQ_TEST = "suites/faq_answers/test_faq_answers.py"
HOSTILE = (
    "<script>alert(1)</script>\x1b[31mred\u2028|````~~~</title></style>--><img src=x onerror=alert(2)>"
    "[x](javascript:alert(3))\n# h"
)
"""What a model may answer: markup, a terminal escape, a line separator, fences, a link."""

PHRASES = (
    ("I am grateful for your fourth letter of apology; might I have a boiler instead?", "frustrated", "grateful"),
    ("I'm happy for you, really, but that river's no place to swim alone after rain", "worried", "grateful"),
    ("Sorry, boss, I'll be useless tomorrow, my team's in the final and I'm flying!", "enthusiastic", "apologetic"),
    ("Third request: could the person in 4B stop frying fish at midnight?", "frustrated", "curious"),
    ("Tell me about the scar, there's got to be a story", "curious", "worried"),
    (
        "Exciting little scooter, but the wheel wobbled and now I'm too scared to let my son ride it.",
        "worried",
        "enthusiastic",
    ),
    ("Lights on, heating on, windows open, and I pay the bill.", "frustrated", "worried"),
    ("Was it my ladder that broke your window box? Then I owe you geraniums and an apology.", "apologetic", "curious"),
    ("People get so cross about the offside rule, so what is it exactly?", "curious", "frustrated"),
    ("The crowd sang every word back at us, what a rush!", "enthusiastic", "enthusiastic"),
    ("Anyone know why our floor has a 13b and no 13?", "curious", "curious"),
    ("Thanks to you I actually understand recursion", "grateful", "grateful"),
)


def history(*, points: int, floor: float, overfits: bool) -> tuple[HistoryPoint, ...]:
    """Losses of a training as they look: noisy updates, a validation loss that turns where the run overfits."""
    found = []
    for index in range(points):
        done = index / (points - 1)
        train = floor * 0.45 + 2.1 * math.exp(-4.2 * done) + 0.05 * math.sin(index * 2.3)
        validation = floor + 1.9 * math.exp(-5.0 * done) + (0.55 * max(done - 0.55, 0) if overfits else 0)
        found.append(
            HistoryPoint(
                step=index * 10,
                epoch=round(3 * done, 3),
                train_loss=None if index == 0 else round(train, 4),
                validation_loss=round(validation, 4),
                train_subset_loss=round(validation - 0.04 - 0.42 * done * (1.4 if overfits else 0.3), 4),
                learning_rate=2e-4 * 0.5 * (1 + math.cos(math.pi * done)),
                seconds=index * 4.1,
            )
        )
    return tuple(found)


def tone_examples() -> tuple[ExampleEvidence, ...]:
    return tuple(
        ExampleEvidence(
            id=f"{index * 7919 + 40503:016x}",
            prompt=f"Phrase: {phrase}\nTone:",
            reference=reference,
            answer=answer,
            old_answer=reference if index != 7 else "curious",
            correct=answer == reference,
            old_correct=index != 7,
            slices=("short",) if len(phrase.split()) < 10 else ("long",),
        )
        for index, (phrase, reference, answer) in enumerate(PHRASES)
    )


def _verdict(suite: str, test: str, claim: str, **fields: Any) -> VerdictRecord:
    key = "9f1c2ab4" if suite == TONE else "04be77d1"
    defaults: dict[str, Any] = {"n": 480, "unit": "share", "split": "test", "run_key": key * 8, "proven": True}
    state = fields.get("state", "pass")
    defaults |= {"holds": state != "fail", "kind": "level"}
    return VerdictRecord(**(defaults | {"run": "lora", "test": test, "claim": claim, "state": "pass"} | fields))


def tone_verdicts() -> tuple[VerdictRecord, ...]:
    test = f"{TONE_TEST}::test_"
    return (
        _verdict(
            TONE, f"{test}accuracy[run=lora]", "lora.accuracy >= 0.8",
            metric="accuracy", value=0.846, low=0.811, high=0.876, target=0.80, primary=True,
            lines=("lora.accuracy 0.846 >= 0.800, proven: 95 % CI 0.811 .. 0.876, n=480",),
        ),
        _verdict(
            TONE, f"{test}accuracy_does_not_regress[run=lora]", "lora.accuracy >= baseline.accuracy - 0.01",
            metric="accuracy", kind="no_worse", state="fail", value=0.846, low=0.811, high=0.876, confidence=0.90,
            target=0.898, target_name="release-1.4.accuracy", margin=0.01, change=-0.052, change_low=-0.078,
            change_high=-0.026, p_value=0.0006, paired=True, primary=True, seed_sd=0.005,
            lines=(
                "lora.accuracy 0.846 vs release-1.4 0.898: change -5.2 points, 90 % CI -7.8 .. -2.6 (paired, n=480)",
                "REGRESSION: the drop is real (CI below 0) and larger than the 1 point allowed",
                "42 examples got worse, 17 got better",
                "next: slmcheck compare release-1.4 phrase_tone/lora --metric accuracy",
            ),
            notes=("assuming seed sd 0.5 points",),
            examples=tone_examples()[:3],
        ),
        _verdict(
            TONE, f"{test}f1_does_not_regress[run=lora]", "lora.f1 >= baseline.f1 - 0.02",
            metric="f1", kind="no_worse", state="inconclusive", proven=False, value=0.881, low=0.849, high=0.907,
            confidence=0.90, target=0.887, target_name="release-1.4", margin=0.02, change=-0.006, change_low=-0.027,
            change_high=0.015, p_value=0.32, paired=True, seed_sd=0.006,
            lines=("INCONCLUSIVE  change -0.6 points, 90 % CI -2.7 .. +1.5, allowed 2.0: 480 examples cannot tell;"
                   " about 1,300 would",),
        ),
        _verdict(
            TONE, f"{test}beats_the_base_model[run=lora]", "lora.accuracy > lora.base.accuracy",
            metric="accuracy", kind="better", value=0.846, low=0.811, high=0.876, confidence=0.90, target=0.275,
            target_name="lora.base.accuracy", change=0.571, change_low=0.532, change_high=0.608, p_value=1e-12,
            paired=True,
            lines=("proven: better by 57.1 points, 90 % CI +53.2 .. +60.8 (paired, n=480)",),
        ),
        _verdict(
            TONE, f"{test}short_phrases[run=lora]", "lora.slice('short').accuracy >= 0.85",
            metric="accuracy", state="fail", proven=False, value=0.836, low=0.764, high=0.890, target=0.85,
            slice="short", n=134,
            lines=("WEAK FAIL: accuracy 0.836 < 0.850, but not proven: 95 % CI 0.764 .. 0.890, n=134",),
            examples=tone_examples()[3:6],
        ),
        _verdict(
            TONE, f"{test}does_not_overfit[run=lora]", "lora.gap('accuracy') <= 0.1",
            metric="gap(accuracy)", value=0.088, low=0.051, high=0.124, target=0.10, proven=False,
            higher_is_better=False, lines=("WEAK PASS: gap 8.8 points <= 10.0, not proven: 95 % CI 5.1 .. 12.4",),
        ),
        _verdict(
            TONE, f"{test}onnx_agrees[run=lora]", "lora.onnx('fp32').agreement >= 0.99",
            metric="agreement", run='lora.onnx("fp32")', value=0.998, low=0.988, high=1.0, target=0.99, proven=False,
            lines=("WEAK PASS: agreement 0.998 >= 0.990, not proven: 95 % CI 0.988 .. 1.000, n=480",),
        ),
    )  # fmt: skip


def faq_verdicts() -> tuple[VerdictRecord, ...]:
    test = f"{FAQ_TEST}::test_"
    return (
        _verdict(
            FAQ, f"{test}rouge[run=lora]", "lora.rougeL >= 0.4",
            metric="rougeL", value=0.462, low=0.431, high=0.493, target=0.40, n=300, primary=True,
            lines=("lora.rougeL 0.462 >= 0.400, proven: 95 % CI 0.431 .. 0.493, n=300",),
        ),
        _verdict(
            FAQ, f"{test}bleu_does_not_regress[run=lora]", "lora.bleu >= baseline.bleu - 0.5",
            metric="bleu", kind="no_worse", value=31.24, low=28.9, high=33.6, confidence=0.90, unit="points",
            target=30.6, target_name="release-1.4", margin=0.5, change=0.64, change_low=-0.31, change_high=1.59,
            paired=True, n=300, p_value=0.87, lines=("proven: no more than 0.3 points worse (limit 0.5)",),
        ),
        _verdict(
            FAQ, f"{test}perplexity[run=lora]", "lora.perplexity <= baseline.perplexity * 1.02",
            metric="perplexity", kind="no_worse", value=6.431, low=6.02, high=6.87, confidence=0.90, unit="ratio",
            target=6.512, target_name="release-1.4", margin=0.130, change=-0.081, change_low=-0.171, change_high=0.009,
            paired=True, n=300, p_value=0.9, higher_is_better=False,
            lines=("proven: no more than 0.1 % worse (limit 2 %)",),
        ),
        _verdict(
            FAQ, f"{test}exact_match[run=lora]", "lora.exact_match >= baseline.exact_match - 0.02",
            metric="exact_match", kind="no_worse", state="accepted", proven=False, value=0.207, low=0.165, high=0.256,
            margin=0.02, n=300, lines=("no baseline yet: this score is accepted as one at the end of the session",),
        ),
        _verdict(
            FAQ, f"{test}size[run=lora]", "lora.onnx('int8').size_bytes <= 4000000",
            metric="size_bytes", run='lora.onnx("int8")', kind="exact", value=3_412_992, target=4_000_000,
            unit="bytes", n=0, higher_is_better=False, lines=("3.4 MB <= 4.0 MB",),
        ),
    )  # fmt: skip


def tone_run() -> RunReport:
    counts = ((69, 1, 2, 3, 4, 1), (1, 72, 1, 2, 0, 4), (2, 1, 70, 0, 6, 1), (3, 4, 1, 60, 5, 7), (3, 0, 4, 1, 71, 1),
              (1, 4, 3, 5, 2, 64))  # fmt: skip
    return RunReport(
        name=TONE, key="9f1c2ab4" * 8, base_model="slmcheck/tiny", trainer="lora", task="classification",
        environment=Environment(device="cuda", dtype="bfloat16", versions={"torch": "2.13.0"}), made_elsewhere=True,
        created="2026-03-02T09:14:07Z", data={"train": 957, "validation": 169, "test": 480},
        history=history(points=40, floor=0.41, overfits=True), best_step=220, last_step=390, stopped_early=True,
        resources=Resources(seconds=161.3, tokens_per_second=18_240.0, peak_memory_bytes=912_000_000,
                            peak_gpu_memory_bytes=1_480_000_000, trained_parameters=98_304, total_parameters=2_310_144),
        engine="padded batches, sdpa attention",
        hyperparameters={"learning_rate": 2e-4, "lr_scheduler_type": "cosine", "num_train_epochs": 3.0,
                         "per_device_train_batch_size": 16, "options": {"r": 16, "lora_alpha": 32}},
        scores=(
            ScoreRecord(metric="accuracy", value=0.846, low=0.811, high=0.876, n=480, unit="share"),
            ScoreRecord(metric="f1", value=0.881, low=0.849, high=0.907, n=480, unit="share"),
            ScoreRecord(metric="loss", value=0.482, low=0.431, high=0.533, n=480, unit="nats", higher_is_better=False),
            ScoreRecord(metric="accuracy", value=0.836, low=0.764, high=0.890, n=134, unit="share", slice="short"),
            ScoreRecord(metric="accuracy", value=0.850, low=0.808, high=0.884, n=346, unit="share", slice="long"),
            ScoreRecord(metric="accuracy", value=0.889, low=0.813, high=0.937, n=99, unit="share", slice="review"),
            ScoreRecord(metric="accuracy", value=0.792, low=0.705, high=0.858, n=106, unit="share", slice="chat"),
        ),
        base_scores=(
            ScoreRecord(metric="accuracy", value=0.275, low=0.237, high=0.317, n=480, unit="share"),
            ScoreRecord(metric="f1", value=0.214, low=0.18, high=0.25, n=480, unit="share"),
            ScoreRecord(metric="loss", value=2.310, low=2.2, high=2.4, n=480, unit="nats", higher_is_better=False),
            ScoreRecord(metric="accuracy", value=0.284, low=0.214, high=0.365, n=134, unit="share", slice="short"),
        ),
        trivial_scores=(
            ScoreRecord(metric="accuracy (majority)", value=0.167, low=0.136, high=0.203, n=480, unit="share"),
            ScoreRecord(metric="accuracy (TF-IDF)", value=0.731, low=0.69, high=0.769, n=480, unit="share"),
        ),
        gaps=(
            GapRecord(metric="accuracy", train=0.934, evaluation=0.846, gap=0.088, low=0.051, high=0.124,
                      base_gap=0.004, beyond_base=0.084, beyond_base_low=0.046, beyond_base_high=0.121, unit="share",
                      n_train=480, n_evaluation=480),
            GapRecord(metric="loss", train=0.208, evaluation=0.482, gap=0.274, low=0.214, high=0.334, base_gap=0.011,
                      beyond_base=0.263, beyond_base_low=0.2, beyond_base_high=0.325, unit="nats", n_train=480,
                      n_evaluation=480),
        ),
        parity=(
            ScoreRecord(metric="agreement (fp32)", value=0.998, low=0.988, high=1.0, n=480, unit="share"),
            ScoreRecord(metric="largest logit difference (fp32)", value=3.1e-5, n=480),
        ),
        confusion=ConfusionRecord(labels=TONES, counts=counts),
        changes=("data/train.jsonl: 118 rows were removed, all of source 'letter'.", "num_train_epochs: 2 → 3.",
                 "torch: 2.12.1 → 2.13.0."),
        trend=tuple(
            TrendPoint(label=label, metric="accuracy", value=value, low=value - 0.03, high=value + 0.028, unit="share",
                       created=f"2026-0{month}-01T00:00:00Z")
            for month, (label, value) in enumerate((("release-1.2", 0.871), ("release-1.3", 0.884),
                                                    ("release-1.4", 0.898)), start=1)
        ),
        examples=tone_examples(),
        rendered_row="Phrase: Thanks to you I actually understand recursion\nTone:[[ grateful</s>]]",
        findings=(
            Finding(cause="overfitting", severity="problem",
                    summary="The validation loss was lowest at step 220 and rose by 0.13 until step 390.",
                    evidence=("The gap in accuracy is 8.8 points, 8.4 beyond the base model's own.",
                              "Training rows are answered with 0.21 nats, test rows with 0.48."),
                    remedy="Train shorter or regularise: num_train_epochs 2, lora_dropout 0.1.",
                    recipe_patch={"num_train_epochs": 2, "options": {"lora_dropout": 0.1}},
                    next_experiment="slmcheck diagnose phrase_tone/lora --try"),
            Finding(cause="label-noise", severity="warning",
                    summary="14 training rows contradict the model and their neighbours.",
                    evidence=("Most of them are sarcastic thanks labelled grateful.",),
                    remedy="Read them: slmcheck data check suites/phrase_tone/lora.yaml --suspects"),
        ),
        notes=("trained on cuda, torch 2.13.0; this machine: cpu, torch 2.13.0",),
    )  # fmt: skip


def faq_run() -> RunReport:
    return RunReport(
        name=FAQ, key="04be77d1" * 8, base_model="slmcheck/tiny", trainer="lora", task="generation",
        environment=Environment(versions={"torch": "2.13.0"}), created="2026-03-02T09:20:51Z",
        data={"train": 612, "validation": 108, "test": 300}, history=history(points=40, floor=1.62, overfits=False),
        best_step=390, last_step=390,
        resources=Resources(seconds=96.0, tokens_per_second=9_120.0, peak_memory_bytes=688_000_000,
                            trained_parameters=98_304, total_parameters=2_310_144),
        scores=(
            ScoreRecord(metric="rougeL", value=0.462, low=0.431, high=0.493, n=300, unit="share"),
            ScoreRecord(metric="bleu", value=31.24, low=28.9, high=33.6, n=300, unit="points"),
            ScoreRecord(metric="perplexity", value=6.431, low=6.02, high=6.87, n=300, unit="ratio",
                        higher_is_better=False),
            ScoreRecord(metric="exact_match", value=0.207, low=0.165, high=0.256, n=300, unit="share"),
        ),
        base_scores=(
            ScoreRecord(metric="rougeL", value=0.121, low=0.11, high=0.132, n=300, unit="share"),
            ScoreRecord(metric="bleu", value=1.92, low=1.4, high=2.5, n=300, unit="points"),
            ScoreRecord(metric="perplexity", value=88.41, low=80.0, high=97.0, n=300, unit="ratio",
                        higher_is_better=False),
        ),
        gaps=(GapRecord(metric="loss", train=1.702, evaluation=1.861, gap=0.159, low=0.08, high=0.238, base_gap=0.02,
                        beyond_base=0.139, unit="nats", n_train=300, n_evaluation=300),),
        examples=(
            ExampleEvidence(id="7d1f", prompt="Question: length of a normal loan?\nAnswer:",
                            reference="Books are lent for four weeks and magazines for one week.",
                            answer="Books are lent for four weeks and magazines for two weeks."),
            ExampleEvidence(id="8a02", prompt="Question: dropped ur book in the bath, its ruined\nAnswer:",
                            reference="Show damaged books at the desk; you pay the new price plus 4 euros.",
                            answer="Show damaged books at the desk; you pay the new price plus 4 euros."),
        ),
        rendered_row="Question: length of a normal loan?\nAnswer:[[ Books are lent for four weeks.</s>]]",
    )  # fmt: skip


def make_report(**changes: Any) -> Report:
    """A session under the release policy in which one suite regressed."""
    verdicts = tone_verdicts() + faq_verdicts()
    failed = {verdict.test: verdict.lines[0] for verdict in verdicts if not verdict.holds}
    report = Report(
        created="2026-03-02T09:24:10Z", slmcheck_version="0.1.0", policy="release",
        environment=Environment(versions={"torch": "2.13.0"}), command="slmcheck run suites --slm-gate=release",
        tests={"passed": len(verdicts) - len(failed), "failed": len(failed)},
        outcomes=tuple(
            OutcomeRecord(test=verdict.test or "", outcome="failed" if verdict.test in failed else "passed",
                          message=failed.get(verdict.test, ""))
            for verdict in verdicts
        ),
        verdicts=verdicts, runs=(tone_run(), faq_run()),
        plan=("phrase_tone: 480 examples, smallest drop visible 3.6 points of accuracy",
              "faq_answers: 300 examples, smallest drop visible 1.2 points of BLEU"),
        holm="2 of 4 regression checks failed; 0.2 expected by chance at 5 %; 1 survives Holm.",
        next_steps=("See what changed: slmcheck compare release-1.4 phrase_tone/lora --metric accuracy",
                    "Try the remedy: slmcheck diagnose phrase_tone/lora --try",
                    "Accept the first baseline: slmcheck baseline accept faq_answers/lora"),
        git={"commit": "4be1f0c2a77d", "branch": "shorter-letters"},
    )  # fmt: skip
    return dataclasses.replace(report, **changes)


def make_passing_report() -> Report:
    """The same session as it looks when everything is good."""
    report = make_report()
    verdicts = tuple(
        verdict if verdict.state == "pass" else dataclasses.replace(verdict, state="pass", holds=True, proven=True)
        for verdict in report.verdicts
    )
    outcomes = tuple(dataclasses.replace(outcome, outcome="passed", message="") for outcome in report.outcomes)
    return dataclasses.replace(report, verdicts=verdicts, outcomes=outcomes, tests={"passed": len(outcomes)})


def plant(record: Any, text: str, kind: Any = None) -> Any:
    """The record with `text` added to every string that is not one of a closed set."""
    kind = type(record) if kind is None else kind
    if record is None or typing.get_origin(kind) is typing.Literal:
        return record
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        (only,) = [argument for argument in typing.get_args(kind) if argument is not type(None)]
        return plant(record, text, only)
    if dataclasses.is_dataclass(record):
        hints = typing.get_type_hints(type(record))
        fields = {field.name: plant(getattr(record, field.name), text, hints[field.name])
                  for field in dataclasses.fields(record)}  # fmt: skip
        return dataclasses.replace(record, **fields)
    if isinstance(record, str):
        return f"{record}{text}"
    if isinstance(record, tuple):
        return tuple(plant(item, text, typing.get_args(kind)[0] if typing.get_args(kind) else None) for item in record)
    if isinstance(record, Mapping):
        return {plant(key, text): plant(item, text) for key, item in record.items()}
    return record


@pytest.fixture
def report() -> Report:
    return make_report()


@pytest.fixture
def passing_report() -> Report:
    return make_passing_report()


@pytest.fixture
def hostile_report() -> Report:
    return plant(make_report(), HOSTILE)


@pytest.fixture(scope="module")
def module_report() -> Report:
    return make_report()


@pytest.fixture(scope="module")
def module_hostile_report() -> Report:
    return plant(make_report(), HOSTILE)
