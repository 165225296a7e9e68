"""A report as its renderings read it: verdicts under the full name of their run, examples marked right or wrong.

A verdict names the run as the suite does, by its stem (`lora`, `lora.onnx("int8")`); two suites may share a stem.
"""

from __future__ import annotations

import re
from dataclasses import replace

from slmcheck.records import ExampleEvidence, Report, RunReport, VerdictRecord

_VARIANT_SIGNS = re.compile(r"""[("')]+""")
_SLICE = re.compile(r"""\.slice\((["']).*?\1\)""")
_CLASSES = ("classification", "sequence_classification")


def prepare(report: Report) -> Report:
    """The report with every verdict under its run; doing it twice changes nothing."""
    runs = tuple(replace(run, examples=_marked(run.examples, run.task)) for run in report.runs)
    return replace(report, runs=runs, verdicts=tuple(_placed(verdict, runs) for verdict in report.verdicts))


def _placed(verdict: VerdictRecord, runs: tuple[RunReport, ...]) -> VerdictRecord:
    run = _run_of(verdict, runs)
    if run is None:
        return verdict
    stem = run.name.rpartition("/")[2]
    variant = _VARIANT_SIGNS.sub(" ", verdict.run.removeprefix(run.name).removeprefix(stem).lstrip(".")).strip()
    target = verdict.target_name
    if target is not None:
        target = target.removesuffix(f".{verdict.metric}")
        target = _SLICE.sub("", target) if verdict.slice else target  # the gate's own name says which slice
        target = "base model" if target in (f"{stem}.base", f"{run.name}.base") else target
    return replace(
        verdict,
        run=run.name,
        metric=f"{verdict.metric} ({variant})" if variant else verdict.metric,
        target_name=target,
        examples=_marked(verdict.examples, run.task),
    )


def _run_of(verdict: VerdictRecord, runs: tuple[RunReport, ...]) -> RunReport | None:
    """The run with the verdict's key, else the one its name begins with."""
    named = [
        run
        for run in runs
        if any(
            verdict.run == name or verdict.run.startswith(f"{name}.")
            for name in (run.name, run.name.rpartition("/")[2])
        )
    ]
    keyed = [run for run in named or runs if run.key == verdict.run_key]
    return next(iter(keyed or named), None)


def _marked(examples: tuple[ExampleEvidence, ...], task: str) -> tuple[ExampleEvidence, ...]:
    """Examples of a classification with what is right said; other tasks have no right and wrong."""
    return tuple(_judged(example) for example in examples) if task in _CLASSES else examples


def _judged(example: ExampleEvidence) -> ExampleEvidence:
    accepted = {reference.strip() for reference in example.reference.split(" | ")} | {example.reference.strip()}
    correct, old = example.correct, example.old_correct
    if correct is None:
        correct = example.answer.strip() in accepted
    if old is None and example.old_answer is not None:
        old = example.old_answer.strip() in accepted
    return replace(example, correct=correct, old_correct=old)
