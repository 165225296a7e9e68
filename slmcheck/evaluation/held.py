"""The scores that the store holds for a run: what accepting writes and what a report shows; nothing is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from slmcheck.evaluation.run import Run
from slmcheck.metrics import METRICS, reference_hash
from slmcheck.records import ScoreRecord, Split
from slmcheck.storage import StoredScore

ONNX = "onnx:"


@dataclass(frozen=True, kw_only=True)
class HeldScore:
    """A stored score of a run's weights, or of an export of them, on today's examples."""

    metric: str
    split: Split
    slice: str | None
    variant: str
    """Empty for the run itself, `onnx:<precision>` for an export."""
    stored: StoredScore

    @property
    def record(self) -> ScoreRecord:
        """The score as a report shows it."""
        extras = self.stored.extras
        return ScoreRecord(
            metric=self.metric,
            value=self.stored.value,
            low=_number(extras, "low"),
            high=_number(extras, "high"),
            n=len(self.stored.ids),
            unit=str(extras.get("unit", "")),
            higher_is_better=bool(extras.get("higher_is_better", True)),
            split=self.split,
            slice=self.slice,
            signature=str(extras.get("signature", "")),
        )


def held_scores(run: Run) -> list[HeldScore]:
    """Every stored score of a run, in the order of the task's metrics; of the first seed where there are several."""
    today: dict[tuple[bool, str | None], dict[str, str]] = {}

    def wanted(is_train: bool, name: str | None) -> dict[str, str]:
        if (is_train, name) not in today:
            examples = run.examples("train" if is_train else "evaluation")
            today[is_train, name] = {
                example.id: reference_hash(example.references)
                for example in examples
                if name is None or name in example.slices
            }
        return today[is_train, name]

    found: dict[tuple[str, str, str | None, str], HeldScore] = {}
    for held in _of_run(run):
        references = dict(zip(held.stored.ids, held.stored.reference_hashes or (), strict=False))
        if references == wanted(held.split == "train", held.slice):
            found[held.metric, held.split, held.slice, held.variant] = held
    order = {name: place for place, name in enumerate(METRICS[run.recipe.task])}
    return sorted(
        found.values(),
        key=lambda held: (held.variant, held.split, held.slice or "", order.get(held.metric, len(order)), held.metric),
    )


def _of_run(run: Run) -> Iterator[HeldScore]:
    store = run.workspace.store
    for key in store.score_keys():
        stored = store.read_score(key)
        if stored is None or stored.extras.get("run_key") != run.key:
            continue
        extras = stored.extras
        variant = str(extras.get("variant", ""))
        if not variant and extras.get("checkpoint") != run.checkpoint.key:
            continue  # the same recipe trained in another environment
        split, slice_name = extras.get("split"), extras.get("slice")
        if split not in ("train", "validation", "test"):
            continue
        yield HeldScore(
            metric=str(extras["metric"]),
            split=split,
            slice=None if slice_name is None else str(slice_name),
            variant=variant,
            stored=stored,
        )


def _number(extras: Mapping[str, object], name: str) -> float | None:
    value = extras.get(name)
    return float(value) if isinstance(value, int | float) else None
