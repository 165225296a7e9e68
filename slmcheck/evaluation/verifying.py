"""Whether a bundle is what it says: every digest, and every score and verdict computed again; offline, without torch.

What this cannot see is a bundle that somebody made anew from changed statistics: that is what a signature of its
statement is for.
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from slmcheck import reports
from slmcheck.errors import InputError, SlmcheckError, StoreError
from slmcheck.evaluation.bundling import MATERIALS, SCORES, TABLES, VERDICTS
from slmcheck.evaluation.evidence import judge_again, key_of, score_of
from slmcheck.gates import Score
from slmcheck.gates.gap import gap_record
from slmcheck.records import GapRecord, Report, RunReport, ScoreRecord, VerdictRecord
from slmcheck.reports.archive import archive_of, files_of
from slmcheck.reports.json import FILE_NAME as REPORT
from slmcheck.reports.statement import EXTENSION, statement_text
from slmcheck.reports.statement import FILE_NAME as STATEMENT
from slmcheck.storage import differences

_TOLERANCE = 1e-9
"""Another processor may add in another order; a change that somebody can see is larger."""
_NOT_JUDGED = frozenset({"examples", "test", "evidence", "exemption", "primary"})
"""Fields of a verdict that do not come from its statistics."""


@dataclass(frozen=True, kw_only=True)
class VerifiedBundle:
    """What was found in a bundle."""

    path: str
    result: str
    """What its statement says: PASSED, WARNED or FAILED."""
    files: int
    scores: int
    """Scores that were computed again."""
    verdicts: int
    """Verdicts that were judged again."""
    not_recomputed: tuple[str, ...]
    """What has no statistics: findings, baselines that were missing, functions that only the suite knows."""
    altered: tuple[str, ...]
    """What is not as it was written, one sentence each."""


def verify_bundle(path: Path) -> VerifiedBundle:
    """Check a bundle.

    Raises:
        InputError: If there is none, or it is no bundle at all.
    """
    try:
        archive = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(
            f"There is no bundle '{path}'.\nA bundle is one file.\nMake one: slmcheck report --format bundle"
        ) from error
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}.") from error
    files = files_of(archive, str(path))
    for name in (STATEMENT, REPORT, MATERIALS, SCORES):
        if name not in files:
            raise InputError(
                f"'{path}' is no bundle of slmcheck: it has no {name}.\nIt was damaged, or is another file."
            )
    checking = _Checking(files)
    checking.check()
    if not checking.altered and archive_of(files) != archive:
        checking.altered.append("the archive itself: bytes between its files, or after them")
    return VerifiedBundle(
        path=str(path),
        result=checking.result,
        files=len(files),
        scores=checking.scores,
        verdicts=checking.verdicts,
        not_recomputed=tuple(checking.not_recomputed),
        altered=tuple(dict.fromkeys(checking.altered)),
    )


class _Checking:
    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files
        self.result = "unknown"
        self.scores = self.verdicts = 0
        self.not_recomputed: list[str] = []
        self.altered: list[str] = []

    def check(self) -> None:
        statement = self._parsed(STATEMENT)
        self._digests(statement)
        report, materials = self._report(), self._parsed(MATERIALS)
        if report is not None and materials is not None:
            self._statement(statement, report, materials)
        if report is not None:
            for number, verdict in enumerate(report.verdicts):
                self._verdict(number, verdict)
            self._scores(report)

    def _digests(self, statement: Any) -> None:
        try:
            listed = dict(statement["predicate"][EXTENSION]["files"])
            self.result = str(statement["predicate"]["result"])
        except (TypeError, KeyError, ValueError):
            self.altered.append(f"{STATEMENT}: it does not list the files of the bundle")
            return
        for name, content in sorted(self.files.items()):
            if name != STATEMENT and listed.pop(name, None) != hashlib.sha256(content).hexdigest():
                self.altered.append(f"{name}: its content is not the one that {STATEMENT} has the digest of")
        self.altered += [
            f"{name}: listed in {STATEMENT}, and not there" for name in sorted(listed) if name != STATEMENT
        ]

    def _statement(self, statement: Any, report: Report, materials: Any) -> None:
        rest = {name: content for name, content in self.files.items() if name != STATEMENT}
        try:
            again = statement_text(report, materials, rest)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            self.altered.append(f"{MATERIALS}: it cannot be read ({type(error).__name__}: {error})")
            return
        if again == self.files[STATEMENT]:
            return
        found = [item for item in differences(statement, json.loads(again), limit=5) if ".files." not in item.path]
        told = [f"{item.path} is {item.old}, and the bundle's files give {item.new}" for item in found]
        self.altered += [f"{STATEMENT}: {text}" for text in told]
        if not told and not self.altered:
            self.altered.append(f"{STATEMENT}: its text is not the one that was written")

    def _report(self) -> Report | None:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / REPORT).write_bytes(self.files[REPORT])
            try:
                return reports.read_report(Path(folder))
            except (InputError, UnicodeError, RecursionError) as error:
                self.altered.append(f"{REPORT}: it cannot be read any more ({str(error).splitlines()[-1]})")
                return None

    def _verdict(self, number: int, record: VerdictRecord) -> None:
        where = f"{REPORT}: verdict {number + 1}, {record.claim}"
        if not record.evidence:
            self.not_recomputed.append(record.claim)
            return
        document = self._parsed(f"{VERDICTS}/{record.evidence}.json")
        if document is None:
            self.altered.append(f"{where}: what it was judged from is not there")
            return
        try:
            if key_of(document) != record.evidence:
                self.altered.append(f"{VERDICTS}/{record.evidence[:12]}.json: it is not what its name is the digest of")
                return
            again = judge_again(document, self._table).record
        except SlmcheckError as error:
            self.altered.append(f"{where}: it cannot be judged again: {str(error).splitlines()[0]}")
            return
        self.verdicts += 1
        self._compare(where, record, again)

    def _compare(self, where: str, record: VerdictRecord, again: VerdictRecord) -> None:
        for item in fields(VerdictRecord):
            if item.name in _NOT_JUDGED:
                continue
            said, found = getattr(record, item.name), getattr(again, item.name)
            if item.name == "lines" and record.exemption is not None:
                said = said[1:]  # the first line is the decision
            if not _same(said, found):
                self.altered.append(f"{where}: {item.name} is {_short(said)}, its statistics give {_short(found)}")

    def _scores(self, report: Report) -> None:
        known: dict[tuple[str, str, str, str, str | None], Score] = {}
        for item in self._parsed(SCORES) or ():
            try:
                score = score_of(item["score"], self._table)
                source = score.source
                known[item["run"], item["place"], item["name"], source.split, source.slice] = score
            except (SlmcheckError, KeyError, TypeError) as error:
                self.altered.append(f"{SCORES}: a score cannot be computed again: {str(error).splitlines()[0]}")
        for run in report.runs:
            for place, record in _records(run):
                self._score(run, place, record, known.get((run.name, place, record.metric, record.split, record.slice)))
            for gap in run.gaps:
                split = next((key[3] for key in known if key[:3] == (run.name, "gaps", gap.metric)), "")
                self._gap(run, gap, known.get((run.name, "gaps", gap.metric, split, None)))

    def _score(self, run: RunReport, place: str, record: ScoreRecord, score: Score | None) -> None:
        name = f"{run.name} {place} {record.metric}" + (f", slice {record.slice}" if record.slice else "")
        if score is None:
            self.not_recomputed.append(name)
            return
        self.scores += 1
        low, high = score.interval or (None, None)
        for field, said, found in (
            ("value", record.value, float(score)), ("n", record.n, score.n),
            ("low", record.low, low), ("high", record.high, high),
        ):  # fmt: skip
            if not _same(said, found):
                self.altered.append(f"{REPORT}: {name}: {field} is {_short(said)}, its statistics give {_short(found)}")

    def _gap(self, run: RunReport, record: GapRecord, score: Score | None) -> None:
        name = f"{run.name} gap of {record.metric}"
        if score is None:
            self.not_recomputed.append(name)
            return
        self.scores += 1
        again = gap_record(score)
        for field in ("train", "evaluation", "gap", "low", "high", "n_train", "n_evaluation"):
            said, found = getattr(record, field), getattr(again, field)
            if not _same(said, found):
                self.altered.append(f"{REPORT}: {name}: {field} is {_short(said)}, its statistics give {_short(found)}")

    def _table(self, name: str) -> bytes:
        content = self.files.get(f"{TABLES}/{name}")
        if content is None:
            raise StoreError(f"its table {str(name)[:12]} is not in the bundle")
        return content

    def _parsed(self, name: str) -> Any:
        """The JSON value of a file; None where there is none or it is damaged, which its digest tells."""
        try:
            return json.loads(self.files[name])
        except KeyError:
            return None
        except (ValueError, RecursionError) as error:
            self.altered.append(f"{name}: it cannot be read any more ({error})")
            return None


def _records(run: RunReport) -> Iterator[tuple[str, ScoreRecord]]:
    for place in ("scores", "base_scores", "parity", "trivial_scores"):
        found: Sequence[ScoreRecord] = getattr(run, place)
        yield from ((place, record) for record in found)


def _same(said: object, found: object) -> bool:
    if isinstance(said, float) and isinstance(found, float | int):
        return math.isclose(said, found, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    if isinstance(said, tuple) and isinstance(found, tuple):
        return len(said) == len(found) and all(map(_same, said, found))
    return said == found


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
