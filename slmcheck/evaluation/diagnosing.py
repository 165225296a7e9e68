"""A run -> its diagnosis: from the store, or made now; never trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from slmcheck import gates
from slmcheck.data import reference_digest, row_digest
from slmcheck.diagnosis import CACHE_VERSION, Diagnosed, diagnosed, flattened
from slmcheck.evaluation.observing import METRIC, Depth, Observer
from slmcheck.evaluation.run import Run
from slmcheck.evaluation.views import default_kind
from slmcheck.records import Finding, Json, VerdictRecord, from_json, to_json
from slmcheck.storage import digest

SHOWN_EVIDENCE = 2


class Problems(tuple[Finding, ...]):
    """The problems of a run; asking whether there are any is a verdict of the session.

    The representation is `cause: remedy` an entry.
    """

    _verdict: gates.Verdict

    @classmethod
    def of(cls, run: Run, findings: Sequence[Finding]) -> Problems:
        """The problems among findings."""
        self = cls(finding for finding in findings if finding.severity == "problem")
        self._verdict = gates.Verdict(_record(run, self))
        return self

    def __bool__(self) -> bool:
        gates.record(self._verdict)
        return len(tuple(self)) > 0

    def __len__(self) -> int:
        gates.record(self._verdict)
        return super().__len__()

    def __eq__(self, other: object) -> bool:
        gates.record(self._verdict)
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(tuple(finding.cause for finding in self))

    def __repr__(self) -> str:
        return "(" + "; ".join(f"{finding.cause}: {finding.remedy}" for finding in self) + ")"


def _record(run: Run, problems: Sequence[Finding]) -> VerdictRecord:
    count = sum(1 for _ in problems)
    lines = []
    for finding in problems:
        lines.append(f"{finding.cause}: {finding.summary}")
        lines += [f"  {line}" for line in finding.evidence[:SHOWN_EVIDENCE]]
        lines.append(f"  remedy: {finding.remedy}")
    if count:
        lines.append(f"next: slmcheck diagnose {run.recipe.name} --write-recipe fixed.yaml")
    head = "no problem found" if not count else f"{count} problem{'s' if count > 1 else ''} found"
    return VerdictRecord(
        claim=f"not {run.name}.diagnosis.problems",
        kind="finding",
        state="fail" if count else "pass",
        proven=True,
        holds=not count,
        metric="problems",
        run=run.name,
        value=float(count),
        target=0.0,
        unit="count",
        higher_is_better=False,
        split="validation" if run.recipe.evaluates_on_validation else "test",
        n=len(run.examples()),
        lines=(head, *lines),
        run_key=run.key,
    )


class Diagnosis:
    """Why a run scores as it does: findings in order, the causes first, each with what follows from it."""

    def __init__(self, run: Run, found: Diagnosed) -> None:
        self._run, self._found = run, found

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Causes first; consequences are under the cause that explains them."""
        return self._found.findings

    @property
    def all(self) -> tuple[Finding, ...]:
        """Every finding in order, a consequence right behind its cause."""
        return flattened(self._found.findings)

    @cached_property
    def problems(self) -> Problems:
        """The findings of severity `problem`; `assert not run.diagnosis.problems` gates them."""
        return Problems.of(self._run, self.findings)

    @property
    def cause(self) -> Finding | None:
        """The first problem, else the first warning; None where nothing is wrong."""
        return next((finding for finding in self.findings if finding.severity != "note"), None)

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be looked at, and why."""
        return self._found.notes

    @property
    def found(self) -> Diagnosed:
        """The record that the store keeps, with what the pictures show."""
        return self._found

    def __repr__(self) -> str:
        shown = ", ".join(f"{finding.cause} ({finding.severity})" for finding in self.findings) or "nothing found"
        return f"<diagnosis of {self._run.name}: {shown}>"


def diagnosis_of(run: Run, depth: Depth = "whole") -> Diagnosis:
    """The diagnosis of a run: from the store, or made now from what its model answers; never trains.

    Args:
        run: The run; of its first seed where there are several.
        depth: What models are asked that the store lacks. An offline session never asks.
    """
    depth = "held" if run.workspace.offline else depth
    stored = stored_diagnosis(run)
    if stored is not None and (stored.found.is_whole or depth != "whole"):
        return stored
    observer = Observer(run)
    seen = observer.observe(depth)
    is_whole = depth == "whole"
    found = diagnosed(seen, is_whole=is_whole, notes=tuple(observer.notes) if is_whole else ())
    if seen.evaluation is not None and depth != "held":
        key, inputs = _key(run, is_whole=is_whole)
        run.workspace.store.write_findings(key, to_json(found), inputs)
    return Diagnosis(run, found)


def stored_diagnosis(run: Run) -> Diagnosis | None:
    """The diagnosis that the store holds of a run, the whole one where there is one; nothing is computed."""
    for is_whole in (True, False):
        stored = run.workspace.store.read_findings(_key(run, is_whole=is_whole)[0])
        if isinstance(stored, Mapping):
            return Diagnosis(run, from_json(Diagnosed, stored))
    return None


def _key(run: Run, *, is_whole: bool) -> tuple[str, Json]:
    recipe, kind = run.recipe, default_kind(run.recipe)
    examples = run.examples()
    inputs: Json = {
        "diagnosis": CACHE_VERSION,
        "run": run.key,
        "checkpoint": run.checkpoint.key,
        "is_whole": is_whole,
        "metric": METRIC[recipe.task],
        "rows": digest("rows", [row_digest(example, kind, recipe) for example in examples]),
        "references": digest("references", [reference_digest(example) for example in examples]),
        "slices": digest("slices", [list(example.slices) for example in examples]),
    }
    return digest("findings", inputs), inputs
