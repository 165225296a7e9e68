"""A comparison of an export with its model as lines of a terminal and as JSON."""

from __future__ import annotations

from collections.abc import Sequence

from slmcheck.backends.environment import processor_name
from slmcheck.cli.output import indented, table
from slmcheck.cli.scores import score_document, score_row
from slmcheck.evaluation.agreeing import Parity
from slmcheck.gates import Score
from slmcheck.parity import Condition, Parting, Served
from slmcheck.records import Json, to_json

SHOWN = 5
"""Partings that are listed."""


def parity_text(found: Parity) -> str:
    """Scores, conditions, greedy texts, metrics of the task, and the judgement last."""
    parts = [_scores("the export against the model that it was made of", found.scores)]
    if found.judgement is None:
        return f"{table([score_row(score) for score in found.scores], header=_HEADER)}\n\nexport: {found.folder}"
    if found.merged:
        parts.append(
            _scores("that model, the adapter merged into its base model, against both as trained", found.merged)
        )
    if found.served is not None:
        parts.insert(0, _served(found.served))
    parts.append(_conditions(found.conditions))
    if any(score.metric.name == "divergence" for score in found.scores):
        parts.append(_partings(found.partings))
    if found.equivalences:
        lines = "\n".join(repr(verdict)[1:-1].partition("): ")[2] for verdict in found.equivalences)
        parts.append(f"metrics of the task, equivalent to their margins (two one-sided tests)\n{indented(lines)}")
    parts.append(_judgement(found))
    parts.append(f"measured on: {processor_name()}; on another device: selfcheck/selfcheck.py of slmcheck export")
    parts.append(f"export: {found.folder}")
    return "\n\n".join(parts)


_HEADER = ("score", "value", "95 % interval", "n", "of")


def _scores(title: str, scores: Sequence[Score]) -> str:
    rows = [(score.metric.name, *_numbers(score), f"{score.n:,}") for score in scores]
    return f"{title}\n{indented(table(rows, header=('score', 'value', '95 % interval', 'examples')))}"


def _numbers(score: Score) -> tuple[str, str]:
    """Value and interval; distances as small as rounding keep their digits."""
    if score.metric.unit == "share":
        _, value, bounds, *_ = score_row(score)
        return value, bounds
    form = ".7g" if score.metric.name == "perplexity_ratio" else ".3g"
    interval = score.interval
    return f"{float(score):{form}}", "none" if interval is None else f"{interval[0]:{form}} .. {interval[1]:{form}}"


def _served(served: Served) -> str:
    others = served.token_differences
    lines = [
        f"token ids of {served.prompts} prompts: {len(others) or 'none'} read otherwise than by Hugging Face",
        *(f"  {one}" for one in others[:SHOWN]),
        f"EOS ids: expected {list(served.eos_expected)}, found {list(served.eos_found)}",
        f"longest prompt and answer: {served.longest_needed} tokens, max_length {served.longest_allowed}",
        f"search settings: {', '.join(f'{name} {value:g}' for name, value in served.search) or 'greedy'}",
        "texts: not written, the prompts are others already"
        if served.texts is None
        else f"texts: {served.same_texts} of {served.texts} the same",
        *(f"  {name}: {own!r}, the folder {other!r}" for name, own, other in served.parted[:SHOWN]),
    ]
    return "the GenAI folder with its own tokenizer and generator\n" + indented("\n".join(lines))


def _conditions(conditions: Sequence[Condition]) -> str:
    rows = [
        (one.name, one.skipped, "", "", "", "")
        if one.skipped is not None
        else (
            one.name,
            f"{one.rows}",
            f"{one.padding:,}",
            f"{one.logit_max:.3g}",
            f"{one.kl:.3g}",
            "" if one.moved is None else f"{one.moved:.3g}",
        )
        for one in conditions
    ]
    header = ("asked", "rows", "padding", "logit_max", "kl", "moved by the batch")
    return f"a sample of rows asked in every way\n{indented(table(rows, header=header))}"


def _partings(partings: Sequence[Parting]) -> str:
    if not partings:
        return "greedy texts: none part"
    beyond = [one for one in partings if not one.is_rounding]
    rows = [
        (
            one.example_id,
            "only beside other rows" if one.step is None else f"{one.step}",
            "" if one.margin is None else f"{one.margin:.3g}",
            "" if one.difference is None else f"{one.difference:.3g}",
            "" if one.is_rounding else "beyond rounding",
        )
        for one in [*beyond, *(one for one in partings if one.is_rounding)][:SHOWN]
    ]
    header = ("example", "first token that differs", "margin of the reference", "logit difference", "")
    more = f"\n  {len(partings) - SHOWN} more" if len(partings) > SHOWN else ""
    title = f"greedy texts: {len(partings)} part, {len(beyond)} of them beyond rounding"
    return f"{title}\n{indented(table(rows, header=header))}{more}"


def _judgement(found: Parity) -> str:
    judgement = found.judgement
    assert judgement is not None
    if judgement:
        return f"PASS  {len(judgement.checks)} checks are within the tolerances of {found.precision}"
    lines = "\n".join(f"{check.text}\n    {check.says}" if check.says else check.text for check in judgement.failed)
    count = f"{len(judgement.failed)} of {len(judgement.checks)} checks"
    return f"FAIL  {count} are beyond the tolerances of {found.precision}\n{indented(lines)}"


def parity_document(found: Parity) -> dict[str, Json]:
    """Everything that the text says, for programs."""
    judgement = found.judgement
    return {
        "run": found.run,
        "precision": found.precision,
        "folder": str(found.folder),
        "processor": processor_name(),
        "scores": [score_document(score) for score in found.scores],
        "merged": [score_document(score) for score in found.merged],
        "conditions": [to_json(one) for one in found.conditions],
        "partings": [{**_mapping(to_json(one)), "is_rounding": one.is_rounding} for one in found.partings],
        "served": None if found.served is None else to_json(found.served),
        "equivalences": [to_json(verdict.record) for verdict in found.equivalences],
        "passed": None if judgement is None else bool(judgement),
        "checks": []
        if judgement is None
        else [{**_mapping(to_json(check)), "passed": check.passed} for check in judgement.checks],
    }


def _mapping(value: Json) -> dict[str, Json]:
    assert isinstance(value, dict)
    return value
