"""Checks of rows that need no model library: what is wrong with the data, though every row can be used.

The thresholds are those of docs/explanation: an evaluation split that shares 5 % of its inputs with the training rows,
or labels of which 5 % contradict one another, is a problem; 1 % is worth a note.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from slmcheck.data.digests import normalized_input
from slmcheck.data.label_checks import label_findings
from slmcheck.data.leak_checks import leak_findings, shown
from slmcheck.data.rendering import CLASSIFICATIONS, renderer_of
from slmcheck.data.splits import Splits
from slmcheck.data.templates import text_of
from slmcheck.data.token_checks import check_tokens
from slmcheck.data.tokenizers import TextTokenizer
from slmcheck.records import Example, Finding, Recipe, Severity, Split

PROBLEM_SHARE = 0.05
NOTE_SHARE = 0.01
MAJORITY_SHARE = 0.8
"""Above it accuracy hides a model that always gives one answer."""
SORTED_EXCESS = 0.25
"""How much more often than by chance two neighbours share a label in a file that is sorted by it."""
FEW_ROWS = 10
SHOWN = 5

_ORDER: Mapping[Severity, int] = {"problem": 0, "warning": 1, "note": 2}


def check_rows(recipe: Recipe, splits: Splits, tokenizer: TextTokenizer | None = None) -> tuple[Finding, ...]:
    """Findings about the rows of a recipe, the gravest first.

    Args:
        recipe: Whose rows they are.
        splits: What `load_splits` gave.
        tokenizer: Of the base model; with it lengths, the boundary of prompt and answer and special tokens are checked.

    Raises:
        DataError: If answers do not fit `max_length`; lists the rows.
    """
    findings = [
        *_leaks(splits),
        *_conflicts(recipe, splits),
        *_duplicates(splits),
        *_classes(recipe, splits),
        *label_findings(recipe, splits, tokenizer),
        *_order_of_rows(recipe, splits),
        *_empty_fields(recipe, splits),
        *_empty_slices(recipe, splits),
        *_unused_fields(recipe, splits),
    ]
    if tokenizer is not None:
        findings += check_tokens(recipe, splits, tokenizer)
    return tuple(sorted(findings, key=lambda finding: _ORDER[finding.severity]))


def _leaks(splits: Splits) -> Iterator[Finding]:
    """Evaluation rows whose input, or nearly that, is among the training rows."""
    held_out: tuple[Split, ...] = ("validation", "test")
    for split in held_out:
        yield from leak_findings(splits, split)


def _conflicts(recipe: Recipe, splits: Splits) -> Iterator[Finding]:
    """Equal inputs with different labels, and the accuracy that no model can exceed because of them."""
    if recipe.task not in CLASSIFICATIONS:
        return
    split_names: tuple[Split, ...] = ("train", "validation", "test")
    for split in split_names:
        rows = splits.of(split)
        groups = _by_input(rows)
        torn = [items for items in groups.values() if len({item.references[0] for item in items}) > 1]
        count = sum(map(len, torn))
        if not rows or count <= NOTE_SHARE * len(rows):
            continue
        right = sum(max(Counter(item.references[0] for item in items).values()) for items in groups.values())
        share, ceiling = count / len(rows), right / len(rows)
        yield Finding(
            cause="conflicting-labels",
            severity="problem" if share > PROBLEM_SHARE else "note",
            summary=f"{count} of {len(rows)} {split} rows ({share:.1%}) have the input of a row with another label; "
            f"no model can have an accuracy above {ceiling:.1%} on them.",
            evidence=tuple(
                f"{' / '.join(f'{item.source} {item.references[0]}' for item in items[:3])}: {shown(items[0])}"
                for items in torn[:SHOWN]
            ),
            remedy="Decide on one label for each of these inputs, or add the field that tells them apart.",
            examples=tuple(item.id for items in torn for item in items),
        )


def _duplicates(splits: Splits) -> Iterator[Finding]:
    """Training rows that repeat an earlier one, answer included."""
    first: dict[tuple[str, tuple[str, ...]], Example] = {}
    repeated = []
    for item in splits.train:
        original = first.setdefault((normalized_input(item), item.references), item)
        if original is not item:
            repeated.append((item, original))
    if not repeated or len(repeated) < NOTE_SHARE * len(splits.train):
        return
    share = len(repeated) / len(splits.train)
    yield Finding(
        cause="duplicate-rows",
        severity="warning" if share >= PROBLEM_SHARE else "note",
        summary=f"{len(repeated)} of {len(splits.train)} training rows ({share:.1%}) repeat an earlier row.",
        evidence=tuple(f"{item.source} = {original.source}: {shown(item)}" for item, original in repeated[:SHOWN]),
        remedy="Remove the repetitions, unless they shall weigh more.",
        examples=tuple(item.id for item, _ in repeated),
    )


def _classes(recipe: Recipe, splits: Splits) -> Iterator[Finding]:
    if recipe.task not in CLASSIFICATIONS or not splits.train:
        return
    counts = Counter(item.references[0] for item in splits.train)
    label, largest = counts.most_common(1)[0]
    share = largest / len(splits.train)
    if share > MAJORITY_SHARE:
        yield Finding(
            cause="class-imbalance",
            severity="warning",
            summary=f"{share:.1%} of the training rows are '{label}': always answering '{label}' is that accurate.",
            evidence=tuple(f"{name}: {count} rows" for name, count in counts.most_common()),
            remedy="Gate balanced accuracy or macro-F1 beside accuracy; weigh the classes if the rare ones are missed.",
            recipe_patch={"class_weights": _balanced_weights(counts)},
        )
    few = [f"{name}: {counts[name]} rows" for name in splits.labels if counts[name] < FEW_ROWS]
    if few:
        yield Finding(
            cause="small-classes",
            severity="warning",
            summary=f"{len(few)} of {len(splits.labels)} classes have fewer than {FEW_ROWS} training rows.",
            evidence=tuple(few[:SHOWN]),
            remedy="Add rows of these classes, or merge them with others.",
        )
    split_names: tuple[Split, ...] = ("validation", "test")
    for split in split_names:
        present = {reference for item in splits.of(split) for reference in item.references}
        absent = [name for name in splits.labels if name not in present]
        if splits.of(split) and absent:
            yield Finding(
                cause="absent-classes",
                severity="note",
                summary=f"{len(absent)} of {len(splits.labels)} classes have no {split} row.",
                evidence=tuple(absent[:SHOWN]),
                remedy=f"Add {split} rows of these classes; scores say nothing of them.",
            )


def _balanced_weights(counts: Mapping[str, int]) -> dict[str, float]:
    """Weights that give every class the same part in the loss; their mean over the rows is 1."""
    rows, classes = sum(counts.values()), len(counts)
    return {name: round(rows / (classes * count), 3) for name, count in sorted(counts.items())}


def _order_of_rows(recipe: Recipe, splits: Splits) -> Iterator[Finding]:
    if recipe.task not in CLASSIFICATIONS or len(splits.train) < FEW_ROWS:
        return
    labels = [item.references[0] for item in splits.train]
    chance = sum((count / len(labels)) ** 2 for count in Counter(labels).values())
    equal = sum(one == other for one, other in pairwise(labels)) / (len(labels) - 1)
    if equal >= chance + SORTED_EXCESS:
        yield Finding(
            cause="sorted-rows",
            severity="warning",
            summary="The training rows are sorted by label: "
            f"{equal:.0%} of neighbours share it ({chance:.0%} by chance).",
            remedy="Shuffle the file: a split expression such as train[:1000] would take few classes of it.",
        )


def _empty_fields(recipe: Recipe, splits: Splits) -> Iterator[Finding]:
    fields = [name for name in renderer_of(recipe).fields if name != recipe.data.answer]
    for name in fields:
        empty = [item for item in splits.train if not text_of(item.row.get(name)).strip()]
        if len(empty) >= NOTE_SHARE * len(splits.train) and empty:
            yield Finding(
                cause="empty-fields",
                severity="note",
                summary=f"Field '{name}' is empty in {len(empty)} of {len(splits.train)} training rows.",
                evidence=tuple(item.source for item in empty[:SHOWN]),
                remedy="Nothing, if the field is optional: the template then has nothing in its place.",
            )


def _empty_slices(recipe: Recipe, splits: Splits) -> Iterator[Finding]:
    split = splits.evaluation_split(recipe)
    rows = splits.of(split)
    for name, predicate in recipe.data.slices.items():
        if any(name in item.slices for item in rows):
            continue
        fields = sorted({field for item in rows for field in item.row})
        reason = "" if predicate.field in fields else f" No row has its field '{predicate.field}'."
        yield Finding(
            cause="empty-slice",
            severity="problem",
            summary=f"Slice '{name}' holds no row of {split}.{reason}",
            evidence=(f"fields: {', '.join(fields)}",),
            remedy=f"Change data.slices.{name}, or remove it: a slice without rows has no score.",
        )


def _unused_fields(recipe: Recipe, splits: Splits) -> Iterator[Finding]:
    data = recipe.data
    used = {*renderer_of(recipe).fields, data.answer, data.references, data.id, data.group}
    used |= {predicate.field for predicate in data.slices.values()}
    if data.messages is not None:
        used.add("tools")
    unused = [name for name in dict.fromkeys(name for item in splits.train for name in item.row) if name not in used]
    if unused:
        yield Finding(
            cause="unused-fields",
            severity="note",
            summary=f"The template does not use: {', '.join(unused)}.",
            remedy="Name them in the template if the answer depends on them, or in data.slices to score them apart.",
        )


def _by_input(rows: Sequence[Example]) -> dict[str, list[Example]]:
    groups: dict[str, list[Example]] = {}
    for item in rows:
        groups.setdefault(normalized_input(item), []).append(item)
    return groups
