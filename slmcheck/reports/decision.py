"""The first line of a report: ship, do not ship or cannot tell, and why, without statistics.

Under the dev policy nobody asked whether to ship, so the first line counts gates and tests instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from slmcheck.records import Report, ShownState, VerdictRecord
from slmcheck.reports import units
from slmcheck.reports.text import counted, listed, one_line

Choice = Literal["ship", "do_not_ship", "cannot_tell", "counts"]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a report says before anything else."""

    choice: Choice
    state: ShownState
    """Decides the colour and the symbol that go with it."""
    headline: str
    """A few words: `Do not ship`, `2 of 12 gates fail`."""
    reason: str
    """Why, as one sentence without statistics; empty where nothing is wrong and nobody asked."""
    counts: str
    """Gates by state and tests by outcome, as one sentence."""

    @property
    def line(self) -> str:
        """The first line of a report: the decision with its reason, under the dev policy the counts."""
        return self.counts if self.choice == "counts" else f"{self.headline}: {self.reason}"


def decide(report: Report) -> Decision:
    """What the verdicts of a session add up to under its policy."""
    choice, state, headline, why = _release(report) if report.policy == "release" else _dev(report)
    return Decision(choice=choice, state=state, headline=headline, reason=why, counts=_counts(report))


def blocking(report: Report) -> tuple[VerdictRecord, ...]:
    """The claims that are false in tests that failed: those that matter most come first."""
    passed = {outcome.test for outcome in report.outcomes if outcome.outcome not in ("failed", "error")}
    found = [
        verdict
        for verdict in report.verdicts
        if not verdict.holds and verdict.exemption is None and verdict.test not in passed
    ]
    return tuple(sorted(found, key=lambda verdict: (verdict.state != "fail", not verdict.primary, not verdict.proven)))


def reason(verdict: VerdictRecord) -> str:
    """Why a claim is not good enough, as part of a sentence and without statistics."""
    metric = metric_name(verdict)
    value = units.value(verdict.value, verdict.unit)
    if verdict.kind == "finding":
        return f"diagnosis found {counted(round(verdict.value), 'problem')} in {one_line(verdict.run)}"
    if verdict.target is None:
        return f"{metric} of {one_line(verdict.run)} is {value}"
    target = units.value(verdict.target, verdict.unit)
    if verdict.target_name is None:
        return _reason_of_level(verdict, metric, value, target)
    other = one_line(verdict.target_name)
    if verdict.state == "fail" and verdict.kind in ("no_worse", "equivalent"):
        allowed = f", more than the {units.distance(verdict.margin, verdict.unit)} allowed" if verdict.margin else ""
        fell = "went" if verdict.value == verdict.target else ("fell" if verdict.value < verdict.target else "rose")
        return f"{metric} of {one_line(verdict.run)} {fell} from {target} ({other}) to {value}{allowed}"
    if verdict.state == "fail":
        return f"{metric} of {one_line(verdict.run)} is {value}, not clearly better than {other} with {target}"
    return (
        f"{counted(verdict.n, 'example')} cannot tell whether {one_line(verdict.run)} is good enough in {metric}"
        f" ({value}; {other}: {target})"
    )


def test_counts(report: Report) -> str:
    """Tests by outcome: `10 passed, 2 failed`; empty where no count is known."""
    words = {"errors": "in error"}
    order = ("passed", "inconclusive", "failed", "errors", "waived", "quarantined", "skipped")
    return ", ".join(f"{report.tests[key]} {words.get(key, key)}" for key in order if report.tests.get(key))


def metric_name(verdict: VerdictRecord) -> str:
    """The metric of a claim, with its slice: `accuracy on slice 'short'`."""
    name = one_line(verdict.metric)
    return f"{name} on slice '{one_line(verdict.slice)}'" if verdict.slice else name


def _reason_of_level(verdict: VerdictRecord, metric: str, value: str, target: str) -> str:
    bound = "at least" if verdict.higher_is_better else "at most"
    start = f"{metric} of {one_line(verdict.run)} is {value}"
    if verdict.state == "fail":
        return f"{start}, and {bound} {target} is required"
    return f"{start}, but {counted(verdict.n, 'example')} cannot prove the required {target}"


_Parts = tuple[Choice, ShownState, str, str]


def _release(report: Report) -> _Parts:
    against = blocking(report)
    failing = [verdict for verdict in against if verdict.state == "fail"]
    failed, errors = _unexplained(report, against, "failed"), _unexplained(report, against, "error")
    if failing:
        return "do_not_ship", "fail", "Do not ship", _with_others(reason(failing[0]), len(against) - 1)
    if failed:
        return "do_not_ship", "fail", "Do not ship", _with_others(failed[0], len(against) + len(failed) - 1)
    if against:
        return "cannot_tell", "inconclusive", "Cannot tell", _with_others(reason(against[0]), len(against) - 1)
    if errors:
        return "cannot_tell", "inconclusive", "Cannot tell", _with_others(errors[0], len(errors) - 1, "test")
    primary = [verdict for verdict in report.verdicts if verdict.primary]
    if not any(verdict.proven and verdict.holds for verdict in primary) and not _waived(primary):
        why = "the primary gates have no baseline yet" if primary else "no primary gate was judged"
        return "cannot_tell", "inconclusive", "Cannot tell", f"{why}, so nothing is proven."
    if exempted := _exempted(report):
        return "ship", exempted[0].shown, "Ship, as decided", _exempted_reason(exempted)
    return "ship", "pass", "Ship", _ship_reason(report, primary)


def _dev(report: Report) -> _Parts:
    against = blocking(report)
    unexplained = _unexplained(report, against, "failed") + _unexplained(report, against, "error")
    total = len(report.verdicts)
    if against:
        verb = "is" if len(against) == 1 else "are"
        headline = f"{len(against)} of {counted(total, 'gate')} {verb} not met"
        return "counts", "fail", headline, _with_others(reason(against[0]), 0)
    if unexplained:
        return "counts", "fail", f"{counted(len(unexplained), 'test')} did not pass", _with_others(unexplained[0], 0)
    if exempted := _exempted(report):
        headline = f"{len(exempted)} of {counted(total, 'gate')} {'is' if len(exempted) == 1 else 'are'} not met"
        return "counts", exempted[0].shown, f"{headline}, as decided", _exempted_reason(exempted)
    unclear = [verdict for verdict in report.verdicts if verdict.state == "inconclusive"]
    if unclear:
        headline = f"{len(unclear)} of {counted(total, 'gate')} cannot be decided"
        return "counts", "inconclusive", headline, _with_others(reason(unclear[0]), 0)
    if not total:
        return "counts", "inconclusive", "No gate was judged", ""
    return "counts", "pass", "The gate is met" if total == 1 else f"All {total} gates are met", ""


def _exempted(report: Report) -> tuple[VerdictRecord, ...]:
    """The false claims that do not block, waived ones first."""
    found = [verdict for verdict in report.verdicts if verdict.exemption is not None]
    return tuple(sorted(found, key=lambda verdict: (verdict.shown != "waived", not verdict.primary)))


def _waived(verdicts: list[VerdictRecord]) -> bool:
    """Whether somebody decided about every one of these claims that is not proven."""
    open_ = [verdict for verdict in verdicts if not (verdict.proven and verdict.holds)]
    return bool(open_) and all(verdict.shown == "waived" for verdict in open_)


def _exempted_reason(exempted: tuple[VerdictRecord, ...]) -> str:
    first = exempted[0]
    why = one_line(first.exemption.sentence) if first.exemption is not None else ""
    others = f"; {counted(len(exempted) - 1, 'more gate')} likewise" if len(exempted) > 1 else ""
    return f"{reason(first)}: {why.rstrip('.')}{others}."


def _ship_reason(report: Report, primary: list[VerdictRecord]) -> str:
    names = listed(list(dict.fromkeys(one_line(verdict.run) for verdict in primary)))
    text = f"all {len(primary)} primary gates of {names} are proven"
    if len(primary) == 1:
        text = f"the primary gate of {names} is proven"
    others = len(report.verdicts) - len(primary)
    if others:
        text += f", and none of the {others} other gates fails" if others > 1 else ", and the other gate holds"
    accepted = sum(verdict.state == "accepted" for verdict in report.verdicts)
    skipped = report.tests.get("skipped", 0)
    remarks = [f"{counted(accepted, 'gate has', 'gates have')} no baseline yet"] if accepted else []
    remarks += [f"{counted(skipped, 'test was', 'tests were')} skipped"] if skipped else []
    return f"{text} ({'; '.join(remarks)})." if remarks else f"{text}."


def _unexplained(report: Report, against: tuple[VerdictRecord, ...], outcome: Literal["failed", "error"]) -> list[str]:
    """Reasons of tests that ended badly although none of their claims is false; counts stand in for lost outcomes."""
    explained = {verdict.test for verdict in against}
    found = [item for item in report.outcomes if item.outcome == outcome and item.test not in explained]
    if found:
        return [_test_reason(item.test, item.message) for item in found]
    count = report.tests.get({"failed": "failed", "error": "errors"}[outcome], 0)
    words = {"failed": "failed", "error": "ended in an error"}[outcome]
    return [f"{counted(count, 'test')} {words}"] if count and not report.outcomes and not against else []


def _with_others(why: str, more: int, noun: str = "gate") -> str:
    if more <= 0:
        return f"{why}."
    verb = {"gate": "not met", "test": "in error"}[noun]
    return f"{why}; {counted(more, f'more {noun}')} {'is' if more == 1 else 'are'} {verb}."


def _test_reason(test: str, message: str) -> str:
    name = one_line(test.rpartition("::")[2] or test, 80)
    first = one_line(message.strip().split("\n", 1)[0], 160).rstrip(".")
    return f"{name} did not pass: {first}" if first else f"{name} did not pass"


def _counts(report: Report) -> str:
    states: tuple[ShownState, ...] = ("pass", "fail", "inconclusive", "accepted", "waived", "quarantined")
    by_state = [(sum(verdict.shown == state for verdict in report.verdicts), state) for state in states]
    parts = [f"{count} {state}" for count, state in by_state if count]
    total = len(report.verdicts)
    gates = f"{counted(total, 'gate')}: {', '.join(parts)}" if total else "No gate was judged"
    tests = test_counts(report)
    return f"{gates}; tests: {tests}." if tests else f"{gates}."
