"""The sentences of verdicts: the first line is the whole truth, the last one the command to run next."""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import dataclass

from slmcheck.gates.changes import Comparison
from slmcheck.gates.claims import ChangeClaim, LevelClaim
from slmcheck.gates.evidence import Measurement
from slmcheck.gates.levels import Level
from slmcheck.gates.units import Units, count, percent
from slmcheck.records import ClaimKind, VerdictState
from slmcheck.statistics import examples_needed, normal_quantile, provable_margin

_NAMED_EXAMPLES = 5
_FARTHEST_REACH = 100.0
"""Nobody collects ten thousand times the examples: closer to its threshold than this no number is named."""
_OF_A_RUN = re.compile(r"\.(base|onnx\(.*\))$")


@dataclass(frozen=True, kw_only=True)
class Told:
    """A judged change, as its explanation needs it."""

    claim: ChangeClaim
    comparison: Comparison
    kind: ClaimKind
    state: VerdictState
    proven: bool
    margin: float
    alpha: float

    @property
    def units(self) -> Units:
        """Formats of the metric."""
        return Units(self.claim.new.metric)


def level_lines(
    claim: LevelClaim, level: Level | None, confidence: float, *, satisfied: bool, proven: bool
) -> tuple[str, ...]:
    """Explanation of a level, without the command to run next."""
    new = claim.new
    numbers = [new.value, claim.threshold]
    if level is not None:
        numbers += [level.low, level.high]
    value, threshold, *bounds = Units(new.metric).values(*numbers)
    relation = _relation(new, satisfied, claim.strict)
    head = f"{state_word('pass' if satisfied else 'fail', proven)}  {new.label} {value} {relation} {threshold}"
    if new.metric.exact:
        return (f"{head} (exact, no sampling error)",)
    size = f"n={new.n:,}{_seeds_of(new)}"
    if level is None:
        return (f"{head}, not proven: nothing is known of its uncertainty, {size}",)
    interval = f"{percent(confidence)} CI {bounds[0]} .. {bounds[1]}, {size}"
    if proven:
        return (f"{head}, proven: {interval}", *level.notes)
    words = "not proven" if satisfied else "but not proven"
    return (f"{head}, {words}: {interval}", _level_advice(claim, level, confidence), *level.notes)


def _level_advice(claim: LevelClaim, level: Level, confidence: float) -> str:
    """How many examples would settle a level that the interval contains."""
    new = claim.new
    distance = abs(new.value - claim.threshold)
    reach = abs(new.value - (level.low if new.value >= claim.threshold else level.high))
    sentence = f"the interval contains {Units(new.metric).values(claim.threshold)[0]}: {new.n:,} examples cannot tell"
    if reach == 0.0 or distance * _FARTHEST_REACH < reach:
        return sentence
    quantile = normal_quantile(0.5 + 0.5 * confidence)
    needed = new.n * (reach / distance * (quantile + normal_quantile(0.8)) / quantile) ** 2
    return f"{sentence}; about {count(needed)} would"


def change_lines(told: Told) -> tuple[str, ...]:
    """Explanation of a change, without the command to run next."""
    if told.kind == "no_worse":
        lines = _no_worse_lines(told)
    elif told.kind == "equivalent":
        lines = _equivalent_lines(told)
    else:
        lines = _better_lines(told)
    return (*lines, *_seed_lines(told), *_mover_lines(told))


def _no_worse_lines(told: Told) -> list[str]:
    units, estimate = told.units, told.comparison.estimate
    allowed = units.with_unit(_size(told, -told.margin))
    if told.state == "fail":
        reason = f"larger than the {allowed} allowed" if told.margin > 0 else "no drop is allowed"
        return [
            f"FAIL  {_scores(told)}: {_change(told)} ({_design(told)})",
            f"REGRESSION: the drop is real (CI {_worse_side(told)} 0) and {reason}",
        ]
    detail = f"{_scores(told)}: {_change(told)} ({_design(told)})"
    if told.state == "pass":
        low = float(estimate.low)
        if low > 0.0:
            text = (
                f"proven: at least {units.sizes(_size(told, low))[0]}{units.unit} better (limit {_limit(told)} worse)"
            )
        else:
            shown, limit = units.sizes(_size(told, low), _size(told, -told.margin))
            text = f"proven: no more than {shown}{units.unit} worse (limit {limit})"
        return [f"PASS  {text}", detail]
    head = f"INCONCLUSIVE  {_change(told)}, allowed {_limit(told)}: {told.comparison.n:,} examples cannot tell"
    scores = f"{_scores(told)} ({_design(told)})"
    needed = examples_needed(
        told.comparison.example_variance,
        told.margin,
        seed_variance=told.comparison.seeds.variance.variance,
        alpha=told.alpha,
    )
    if needed is not None and told.comparison.paired and needed <= told.comparison.n:
        reach = told.units.sizes(_size(told, float(told.comparison.estimate.low)))[0] + told.units.unit
        # The variance of examples that did not move says nothing of how many would settle it.
        return [head, scores, f"hardly an example moved; these examples can prove a margin of {reach}"]
    if needed is not None and told.comparison.paired:
        return [f"{head}; about {count(needed)} would", scores]
    return [head, scores, _provable(told)]


def _provable(told: Told) -> str:
    """What these examples could prove, where no number of examples proves the margin that was asked for."""
    comparison = told.comparison
    margin = provable_margin(
        comparison.example_variance,
        comparison.n,
        seed_variance=comparison.seeds.variance.variance,
        alpha=told.alpha,
    )
    if math.isinf(margin):
        return "one example, or one group of examples, says nothing of how much examples vary"
    shown = told.units.sizes(_size(told, -margin))[0] + told.units.unit
    reason = "a margin of 0 is never proven by a model that did not change"
    if told.margin > 0:
        reason = "more examples alone cannot prove it: training seeds vary as much"
        if not comparison.paired:
            reason = "unpaired examples tell little"
    return f"{reason}; these examples can prove a margin of {shown}"


def _better_lines(told: Told) -> list[str]:
    asked = told.units.with_unit(_size(told, -told.margin)) if told.kind == "better_by" else ""
    what = f"better by {asked}" if asked else "better"
    if told.state == "pass":
        text = f"proven {what}" if told.proven else f"{what}, but not proven"
    else:
        text = f"not {what}, proven" if told.proven else f"not {what}, but not proven"
    word = state_word(told.state, told.proven)
    return [f"{word}  {_scores(told)}: {_change(told)}: {text} ({_design(told)})"]


def _equivalent_lines(told: Told) -> list[str]:
    within = told.units.with_unit(told.margin)
    if told.state == "pass":
        text = f"proven within {within}" if told.proven else f"within {within}, but not proven"
    else:
        text = f"not within {within}, proven" if told.proven else f"not within {within}, but not proven"
    word = state_word(told.state, told.proven)
    return [f"{word}  {_scores(told)}: {_change(told)}: {text} ({_design(told)})"]


def exact_line(claim: ChangeClaim, target: float, *, satisfied: bool) -> str:
    """Explanation of a comparison of two measurements without sampling error."""
    new, old = claim.new, claim.old
    units = Units(new.metric)
    word = state_word("pass" if satisfied else "fail", True)
    if claim.equivalent_within is not None:
        value, before = units.values(new.value, old.value)
        within = "within" if satisfied else "not within"
        return (
            f"{word}  {new.label} {value} vs {old.source.name} {before}: {within} {claim.equivalent_within:g} (exact)"
        )
    value, before, limit = units.values(new.value, old.value, target)
    relation = _relation(new, satisfied, claim.strict)
    return f"{word}  {new.label} {value} {relation} {limit} ({old.source.name} {before}; exact, no sampling error)"


_SHOW = "next: slmcheck report latest --format html"


def next_steps(new: Measurement, old: Measurement | None, *, reported: bool) -> tuple[str, ...]:
    """The commands that tell more, each on a line of its own that can be pasted behind its word; `next:` comes last.

    Args:
        new: What is judged.
        old: What it is compared with; None for a number.
        reported: Whether a session writes a report that a command can show.
    """
    run, show = shlex.quote(_run_of(new)), (_SHOW,) if reported else ()
    if old is None or (old.source.run_key is None and not old.source.is_baseline):
        return show
    if old.source.is_baseline:
        return f"accept: slmcheck baseline accept {run}", f"next: slmcheck baseline diff {run}"
    before = shlex.quote(_run_of(old))
    if before == run:
        return show if old.source.checkpoint_key == new.source.checkpoint_key else (f"next: slmcheck parity {run}",)
    if not reported:
        return ()  # whoever judges outside of a session compared the two just now
    return (f"next: slmcheck compare {before} {run} --metric {(new.parts_metric or new.metric).name}",)


def _run_of(measurement: Measurement) -> str:
    """The run that commands know, of a base model or an export as well."""
    return _OF_A_RUN.sub("", measurement.source.name)


def state_word(state: VerdictState, proven: bool) -> str:
    """PASS, FAIL, INCONCLUSIVE, and WEAK before what is true or false by the point estimate only."""
    if state in ("pass", "fail") and not proven:
        return f"WEAK {state.upper()}"
    return state.upper()


def _relation(new: Measurement, satisfied: bool, strict: bool) -> str:
    higher = new.metric.higher_is_better == satisfied
    inclusive = strict != satisfied
    return (">" if higher else "<") + ("=" if inclusive else "")


def _scores(told: Told) -> str:
    new, old = told.claim.new, told.claim.old
    value, before = told.units.values(told.comparison.new_value, told.comparison.old_value)
    same = old.source.name == new.source.name or old.source.slice is not None
    return f"{new.label} {value} vs {old.label if same else old.source.name} {before}"


def _change(told: Told) -> str:
    sign, estimate = told.claim.new.metric.sign, told.comparison.estimate
    bounds = sorted((sign * float(estimate.low), sign * float(estimate.high)))
    change, low, high = told.units.changes(sign * float(estimate.change), *bounds)
    return f"change {change}{told.units.unit}, {percent(1.0 - 2.0 * told.alpha)} CI {low} .. {high}"


def _design(told: Told) -> str:
    seeds = told.comparison.seeds
    parts = [told.comparison.design]
    if (seeds.new_seeds, seeds.old_seeds) != (1, 1):
        parts.append(f"seeds {seeds.new_seeds} vs {seeds.old_seeds}")
    if seeds.knowledge in ("assumed", "measured") and seeds.sd is not None:
        word = "assuming seed sd" if seeds.knowledge == "assumed" else "measured seed sd"
        parts.append(f"{word} {told.units.with_unit(seeds.sd, digits=2)}")
    if seeds.knowledge == "unknown":
        parts.append("no seed term")
    return ", ".join(parts)


def _seed_lines(told: Told) -> list[str]:
    if told.comparison.seeds.knowledge != "unknown":
        return []
    return [
        f"no seed term: nobody measured how {told.claim.new.metric.name} varies between seeds, "
        "so another seed alone may change it by more than the interval says"
    ]


def _mover_lines(told: Told) -> list[str]:
    worse, better = told.comparison.worse, told.comparison.better
    if told.state == "pass" or better is None:
        return []
    named = f"; worst: {', '.join(worse[:_NAMED_EXAMPLES])}" if worse else ""
    return [f"{len(worse):,} examples got worse, {better:,} got better{named}"]


def _limit(told: Told) -> str:
    """The margin as a bare number, one decimal for points and percent."""
    return told.units.sizes(_size(told, -told.margin))[0]


def _worse_side(told: Told) -> str:
    return "below" if told.claim.new.metric.higher_is_better else "above"


def _size(told: Told, oriented: float) -> float:
    """An oriented change as the positive size that is shown; for ratios as they count in its direction."""
    if told.claim.new.metric.change_scale == "identity":
        return abs(oriented)
    return math.log1p(abs(math.expm1(told.claim.new.metric.sign * oriented)))


def _seeds_of(new: Measurement) -> str:
    return f", mean of {new.source.seeds} seeds" if new.source.seeds > 1 else ""
