"""Baseline files: accepted scores with what each example contributed, as text that git compares and merges.

`<stem>.json` says what was accepted, see `baseline_header`; `<stem>.examples.jsonl` holds one line an example, sorted,
so that a relabelled or added example is one changed line.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slmcheck.errors import DataError, MissingBaselineError, StoreError
from slmcheck.records import Environment, Json, from_json, to_json
from slmcheck.storage.baseline_header import header_document, header_text, lines_digest
from slmcheck.storage.baseline_lines import BaselineExample, line_of, parse_lines, parsed_json
from slmcheck.storage.files import disk_errors, write_whole
from slmcheck.storage.scores import StoredScore

BASELINE_SCHEMA = 2
_ANSWER_DIGITS = 16


@dataclass(frozen=True, kw_only=True)
class BaselineScore:
    """One accepted score; what its examples contributed is in the examples file."""

    metric: str
    split: str = "test"
    variant: str = ""
    """Which form of the run was measured: empty for the run itself, else `onnx:int8` and the like."""
    value: float
    low: float | None = None
    """Ends of the 95 % interval."""
    high: float | None = None
    n: int
    unit: str = ""
    higher_is_better: bool = True
    signature: str = ""
    seeds: int = 1
    """With more than one the statistics are each example's share of the mean score, see `gates.mean_of_seeds`."""
    seed_sd: float | None = None
    """Standard deviation between the seeds, where there are three or more."""
    columns: tuple[str, ...] = ()
    table: str = ""
    """Name of the statistics in the examples file; several scores may read one table."""


@dataclass(frozen=True, kw_only=True)
class AcceptedRegression:
    """Why a baseline was accepted although a score became worse."""

    metric: str
    reason: str
    old: float
    new: float
    created: str = ""
    """UTC, ISO 8601."""
    against: str = ""
    """What it was compared with, where that was not the previous baseline: the pinned first release."""


@dataclass(frozen=True, kw_only=True)
class BaselineHeader:
    """What `<stem>.json` says."""

    schema: int = BASELINE_SCHEMA
    run: str
    """Name of the run."""
    task: str = ""
    run_key: str | None = None
    checkpoint_key: str | None = None
    environment: Environment = field(default_factory=Environment)
    """Where the run was made."""
    created: str = ""
    """UTC, ISO 8601."""
    slmcheck: str = ""
    git: Mapping[str, str] = field(default_factory=dict)
    """Commit and branch it was accepted on."""
    by: str = ""
    """Who accepted it."""
    reason: str = ""
    """Why, in the words of whoever accepted it."""
    primary: tuple[str, ...] = ()
    """Metrics of the gates that decide a release."""
    recipe: Mapping[str, Json] = field(default_factory=dict)
    """Fields of the recipe as a report shows them, so that a later one can say what changed; empty in older files."""
    data: Mapping[str, int] = field(default_factory=dict)
    """Rows by split."""
    data_digests: Mapping[str, str] = field(default_factory=dict)
    """Digest of the rows of each split, whatever their order."""
    examples: str = ""
    """Digest of the examples file; filled in when it is written."""
    evaluation_digest: str = ""
    """Digest of the evaluation examples and their references."""
    private: bool = False
    """Whether answers are kept as hashes only."""
    regressions: tuple[AcceptedRegression, ...] = ()
    scores: tuple[BaselineScore, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Baseline:
    """An accepted baseline: its header and its examples."""

    header: BaselineHeader
    examples: tuple[BaselineExample, ...]
    """Sorted by split, variant and id."""

    def find(self, metric: str, *, split: str | None = None, variant: str = "") -> BaselineScore | None:
        """The accepted score of a metric; of the evaluation split when no split is given."""
        for score in self.header.scores:
            wanted = score.split != "train" if split is None else score.split == split
            if score.metric == metric and score.variant == variant and wanted:
                return score
        return None

    def evidence(self, score: BaselineScore) -> StoredScore:
        """What each example contributed to one of the scores, by id."""
        chosen = [
            example
            for example in self.examples
            if (example.split, example.variant) == (score.split, score.variant) and score.table in example.statistics
        ]
        table = np.zeros((len(chosen), len(score.columns)))
        position = {column: index for index, column in enumerate(score.columns)}
        for row, example in enumerate(chosen):
            for column, value in example.statistics[score.table].items():
                table[row, position[column]] = value
        return StoredScore(
            ids=tuple(example.id for example in chosen),
            columns=score.columns,
            statistics=table,
            value=score.value,
            groups=_groups(chosen),
            reference_hashes=_all([example.reference for example in chosen]),
            answers=_all([example.answer for example in chosen]),
            extras={"answers": "hashes" if self.header.private else "texts"},
        )


def make_baseline(
    header: BaselineHeader,
    scores: Sequence[tuple[BaselineScore, StoredScore]],
    *,
    slices: Mapping[str, Sequence[str]] | None = None,
) -> Baseline:
    """A baseline of measured scores.

    Args:
        header: What was accepted; its `scores` are replaced, and with `private` answers become hashes.
        scores: Each score with what its examples contributed; equal statistics are stored once. `n`, `columns` and
            `table` are filled in here.
        slices: Names of the slices that each example id is in.
    """
    tables: dict[tuple[str, str], dict[str, StoredScore]] = {}
    accepted = []
    for score, evidence in scores:
        known = tables.setdefault((score.split, score.variant), {})
        table = next((name for name, other in known.items() if _same_statistics(other, evidence)), score.metric)
        known.setdefault(table, evidence)
        accepted.append(dataclasses.replace(score, n=len(evidence.ids), columns=evidence.columns, table=table))
    examples = [
        example
        for (split, variant), found in sorted(tables.items())
        for example in _examples(split, variant, found, slices or {}, private=header.private)
    ]
    ordered = sorted(accepted, key=lambda score: (score.split, score.variant, score.metric))
    return Baseline(header=dataclasses.replace(header, scores=tuple(ordered)), examples=tuple(examples))


def answer_hash(answer: str) -> str:
    """What a private baseline keeps of an answer: sixteen hex digits."""
    return hashlib.sha256(answer.encode("utf-8", errors="surrogatepass")).hexdigest()[:_ANSWER_DIGITS]


def write_baseline(baseline: Baseline, folder: Path, stem: str) -> None:
    """Write both files; equal baselines give equal bytes.

    Raises:
        StoreError: If the disk refuses.
    """
    lines = "".join(line_of(example, private=baseline.header.private) + "\n" for example in baseline.examples)
    content = lines.encode("utf-8", errors="surrogatepass")
    written = dataclasses.replace(baseline.header, schema=BASELINE_SCHEMA, examples=lines_digest(content))
    header = header_text(to_json(written))
    with disk_errors(folder, f"writing the baseline {stem}"):
        folder.mkdir(parents=True, exist_ok=True)
        # The examples first: a header without its examples would be refused, the other way round it is the old one.
        write_whole(examples_path(folder, stem), content, scratch=folder)
        write_whole(header_path(folder, stem), header.encode("utf-8", errors="surrogatepass"), scratch=folder)


def read_baseline(folder: Path, stem: str) -> Baseline:
    """The baseline `<stem>` of a folder.

    Raises:
        MissingBaselineError: If none was accepted yet.
        DataError: If a file is damaged, holds a merge conflict, or was written by a newer slmcheck; lists every
            problem with file and line.
    """
    path, lines = header_path(folder, stem), examples_path(folder, stem)
    if not path.is_file():
        raise MissingBaselineError(
            f"There is no baseline '{stem}' in {folder}.\nExpected: {path.name} and {lines.name}\n"
            f"Accept the current scores as one: slmcheck baseline accept {stem.removesuffix('.anchor')}"
        )
    if not lines.is_file():
        read_header(path, path.read_bytes())  # a header with a problem of its own says more
        raise DataError(
            f"The baseline {path} has no examples: {lines.name} is missing.\n"
            f"Both files belong together; restore it (git checkout -- '{lines}'), or accept the baseline again."
        )
    return parse_baseline(path, path.read_bytes(), lines, lines.read_bytes())


def parse_baseline(path: Path, header: bytes, lines_path: Path, lines: bytes) -> Baseline:
    """A baseline of the bytes of its files, wherever they were read from.

    Raises:
        DataError: As `read_baseline`.
    """
    found = read_header(path, header)
    examples = parse_lines(lines_path, lines, private=found.private)
    baseline = Baseline(header=found, examples=examples)
    _check_counts(baseline, path, lines_path)
    if found.examples and found.examples != lines_digest(lines):
        raise DataError(
            f"{lines_path} holds other examples than the accepted ones: its digest is {lines_digest(lines)}, "
            f"{path.name} says {found.examples}.\nA merge mixed them, or they were edited.\n"
            f"After a merge: slmcheck baseline resolve {path.parent.parent.name}/{path.stem}. "
            f"Else restore both: git checkout -- '{path}' '{lines_path}'"
        )
    return baseline


def header_path(folder: Path, stem: str) -> Path:
    """Where a baseline says what was accepted."""
    return folder / f"{stem}.json"


def examples_path(folder: Path, stem: str) -> Path:
    """Where a baseline keeps its examples."""
    return folder / f"{stem}.examples.jsonl"


def read_header(path: Path, content: bytes) -> BaselineHeader:
    """What a header says.

    Args:
        path: Where it lies, for the message.
        content: Its bytes, of this schema or an earlier one.

    Raises:
        DataError: If it is damaged, holds a merge conflict, or was written by a newer slmcheck.
    """
    value = parsed_json(path, content)
    schema = value.get("schema") if isinstance(value, Mapping) else None
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise DataError(f"{path} is no baseline: it has no schema number.\nAccept the baseline again.")
    if schema > BASELINE_SCHEMA:
        raise DataError(
            f"{path} has schema {schema}; this slmcheck reads up to {BASELINE_SCHEMA}.\n"
            "It was written by a newer slmcheck: upgrade to read it."
        )
    try:
        return from_json(BaselineHeader, value if schema == 1 else header_document(value))
    except StoreError as error:
        raise DataError(
            f"{path} is damaged: {error}\nRestore it (git checkout -- '{path}'), or accept again."
        ) from error


def _check_counts(baseline: Baseline, path: Path, lines: Path) -> None:
    counts: dict[tuple[str, str, str], int] = {}
    for example in baseline.examples:
        for table in example.statistics:
            place = (example.split, example.variant, table)
            counts[place] = counts.get(place, 0) + 1
    problems = []
    for score in baseline.header.scores:
        found = counts.get((score.split, score.variant, score.table), 0)
        if found != score.n:
            problems.append(f"{score.metric} was measured on {score.n} examples, {found} are there")
    columns = {(score.split, score.variant, score.table): set(score.columns) for score in baseline.header.scores}
    for example in baseline.examples:
        for table, statistics in example.statistics.items():
            unknown = statistics.keys() - columns.get((example.split, example.variant, table), set())
            if unknown:
                problems.append(f"example {example.id} has statistics '{sorted(unknown)[0]}' that {path.name} lacks")
    if problems:
        more = f" {len(problems) - 3} more." if len(problems) > 3 else ""
        raise DataError(
            f"{path.name} and {lines.name} in {path.parent} do not belong together: {'. '.join(problems[:3])}.{more}\n"
            "Take both files from the same commit, or accept the baseline again."
        )


def _same_statistics(first: StoredScore, second: StoredScore) -> bool:
    return (
        first.ids == second.ids
        and first.columns == second.columns
        and bool(np.array_equal(first.statistics, second.statistics))
    )


def _examples(
    split: str,
    variant: str,
    tables: Mapping[str, StoredScore],
    slices: Mapping[str, Sequence[str]],
    *,
    private: bool,
) -> list[BaselineExample]:
    answers = _first_of({name: score.answers for name, score in tables.items()}, tables)
    groups = _first_of({name: score.groups for name, score in tables.items()}, tables)
    references = _first_of({name: score.reference_hashes for name, score in tables.items()}, tables)
    statistics: dict[str, dict[str, Mapping[str, float]]] = {}
    for name, score in tables.items():
        for row, example_id in enumerate(score.ids):
            statistics.setdefault(example_id, {})[name] = _sparse(score.columns, score.statistics[row])
    return [
        BaselineExample(
            id=example_id,
            split=split,
            variant=variant,
            reference=references.get(example_id),
            answer=answer_hash(answers[example_id]) if private and example_id in answers else answers.get(example_id),
            group=answer_hash(groups[example_id]) if private and example_id in groups else groups.get(example_id),
            slices=tuple(sorted(slices.get(example_id, ()))),
            statistics=dict(sorted(statistics[example_id].items())),
        )
        for example_id in sorted(statistics)
    ]


def _first_of(values: Mapping[str, tuple[str, ...] | None], tables: Mapping[str, StoredScore]) -> dict[str, str]:
    """One value an example id, from the first table that has any."""
    found: dict[str, str] = {}
    for name, column in values.items():
        for example_id, value in zip(tables[name].ids, column or (), strict=False):
            found.setdefault(example_id, value)
    return found


def _sparse(columns: tuple[str, ...], row: NDArray[np.float64]) -> Mapping[str, float]:
    return {columns[index]: float(row[index]) for index in np.flatnonzero(row)}


def _groups(examples: Sequence[BaselineExample]) -> tuple[str, ...] | None:
    if all(example.group is None for example in examples):
        return None
    return tuple(example.group if example.group is not None else f"id:{example.id}" for example in examples)


def _all(values: Sequence[str | None]) -> tuple[str, ...] | None:
    """The values, None unless every example has one."""
    present = tuple(value for value in values if value is not None)
    return present if len(present) == len(values) and present else None
