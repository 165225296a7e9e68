"""Every fault of the zoo planted in the graph of one model: what the default gate and the location say of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from slmcheck.backends import LanguageModel, load
from slmcheck.data.encoding import encode
from slmcheck.gates import ScoreSource
from slmcheck.parity import TOLERANCES, breaches, check_conditions, compare, judge_conditions, score
from slmcheck.records import Checkpoint, Example, Location, Recipe
from tests.parity import zoo

SOURCE = ScoreSource(name="zoo")
NOT_LOCAL = {
    "ids + 1 in the graph": zoo.ids_shifted,
    "stale checkpoint": zoo.stale,
    "mask missing everywhere": zoo.mask_missing,
    "positions of decode steps + 1": lambda editor: zoo.positions_plus(editor, only_behind_a_past=True),
    "first two positions equal": zoo.first_two_positions_equal,
}


@dataclass(frozen=True, kw_only=True)
class Planted:
    """One fault in one place."""

    fault: str
    expected: str | None
    """The place that a location should name; None where no place is at fault."""
    logit_max: float
    """In standard deviations of the reference's logits, on all rows."""
    found_by: tuple[str, ...]
    """What the default gate says."""
    location: Location

    @property
    def is_named(self) -> bool:
        """Whether the location names the place, or names none where none is at fault."""
        if self.expected is None:
            return self.location.outcome in ("outside", "several")
        return self.location.modules[:1] == (self.expected,)


@dataclass(frozen=True, eq=False)
class Bench:
    """A model, its right export, and the rows that both read."""

    checkpoint: Checkpoint
    export: Path
    examples: Sequence[Example]
    recipe: Recipe
    scratch: Path

    def planted(self, layers: Sequence[int]) -> Iterator[Planted]:
        """Every local fault in each layer, then the faults of no layer."""
        right = onnx.load(self.export / "model.onnx")
        for name, fault in zoo.LOCAL.items():
            for layer in layers[:1] if name in zoo.ONCE else layers:
                editor = zoo.Editor(right, seed=layer + 100 * len(name))
                yield self._judged(name, fault.plant(editor, layer), editor.model)
        for name, plant in NOT_LOCAL.items():
            editor = zoo.Editor(right, seed=1)
            plant(editor)
            yield self._judged(name, None, editor.model)

    def clean(self) -> Planted:
        """The right export."""
        return self._judged("none", None, onnx.load(self.export / "model.onnx"))

    def _judged(self, name: str, expected: str | None, graph: onnx.ModelProto) -> Planted:
        folder = zoo.write(graph, self.scratch / "altered", beside=self.export)
        other = load(Checkpoint(kind="onnx", path=folder, key="altered"))
        rows = compare(self._reference, other, self.examples, recipe=self.recipe)
        found_by = [one.score for one in breaches(rows, "fp32")]
        if not found_by:  # what no row of the split shows, one of the other ways of asking may
            conditions = check_conditions(self._reference, other, self.examples, recipe=self.recipe)
            found_by = [one.text for one in judge_conditions(conditions, TOLERANCES["fp32"]) if not one.passed]
        return Planted(
            fault=name,
            expected=expected,
            logit_max=float(score("logit_max", rows, SOURCE)),
            found_by=tuple(found_by),
            location=self._located(folder / "model.onnx"),
        )

    def _located(self, graph: Path) -> Location:
        from slmcheck.backends.pytorch_loading import load_merged
        from slmcheck.parity.locating import Suspect, locate

        if "model" not in self.__dict__:
            object.__setattr__(self, "model", load_merged(self.checkpoint))
        ids = [encode(one, self._reference.tokenizer, recipe=self.recipe).ids for one in self.examples[:24]]
        suspect = Suspect("zoo", "fp32", graph, fresh=lambda: self.export / "model.onnx")
        return locate(suspect, self.__dict__["model"], ids)

    @property
    def _reference(self) -> LanguageModel:
        if "reference" not in self.__dict__:
            object.__setattr__(self, "reference", load(self.checkpoint))
        found: LanguageModel = self.__dict__["reference"]
        return found


def table(found: Sequence[Planted]) -> str:
    """One row a fault, as docs show it."""
    lines = ["| fault | logit max / spread | found by the gate | named right |", "| --- | --- | --- | --- |"]
    for name in dict.fromkeys(one.fault for one in found):
        own = [one for one in found if one.fault == name]
        low, high = (f"{value:.2g}" for value in (min(o.logit_max for o in own), max(o.logit_max for o in own)))
        caught, named = (sum(values) for values in ([bool(o.found_by) for o in own], [o.is_named for o in own]))
        size = low if low == high else f"{low} - {high}"
        right = f"{named}/{len(own)}" + ("" if own[0].expected is not None else ", as no layer's fault")
        lines.append(f"| {name} | {size} | {caught}/{len(own)} | {right} |")
    return "\n".join(lines)
