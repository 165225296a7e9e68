"""Does `slmcheck compare A B --explain` name the change that matters, among three things that differ?

    python benchmarks/explained_changes.py [--folder FOLDER] [--pairs 1,2,3] [--budget MINUTES]

Ten pairs of runs: seven on the shipped suite of tones, three on text messages of the public set sms_spam (the folder
named by SLMCHECK_TEST_DATA). Each pair differs in three things, of which one was planted to matter; the other two are
changes that people make beside it and that should not. A pair counts where the first cause named is the planted one.
With --folder the store is kept, so that an interrupted benchmark goes on; about 45 trainings of a quarter of a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from slmcheck import recipes
from slmcheck.evaluation import Run
from slmcheck.records import Recipe
from slmcheck.storage import Store
from slmcheck.studies import Explanation, Trainings, explain, open_recipe
from slmcheck.workspace import Workspace

ROOT = Path(__file__).resolve().parent.parent
Rows = list[dict[str, object]]

TONES = """\
base_model: slmcheck/tiny
trainer: lora
task: classification
data:
  train: train.jsonl
  validation: validation.jsonl
  test: test.jsonl
  text_template: "Phrase: {phrase}\\nTone: {tone}"
  answer: tone
  max_length: 128
learning_rate: 3.0e-3
lr_scheduler_type: cosine
warmup_ratio: 0.1
max_steps: 180
per_device_train_batch_size: 16
seed: 0
options: {r: 16, lora_alpha: 32, lora_dropout: 0.05, target_modules: all-linear}
"""
MESSAGES = (
    TONES.replace('"Phrase: {phrase}\\nTone: {tone}"', '"Message: {text}\\nKind: {label}"')
    .replace("answer: tone", "answer: label")
    .replace("max_steps: 180", "max_steps: 60")
)


@dataclass(frozen=True)
class Pair:
    """Two recipes that differ in three things."""

    data: str
    planted: str
    """Name of the group that matters."""
    fields: dict[str, object]
    """Fields that differ: the planted one, where it is a field, and the harmless ones."""
    rows: Callable[[Rows], Rows] | None = None
    """What happens to the training rows."""
    mended: bool = False
    """The older run has the planted fault, and the newer one is better."""
    harmless: tuple[str, ...] = field(default=())


def shuffled(rows: Rows) -> Rows:
    """Three quarters of the labels given to other rows."""
    draw, answer = random.Random(0), list(rows[0])[1]  # noqa: S311  a fixed order, no secret
    chosen = draw.sample(range(len(rows)), 3 * len(rows) // 4)
    labels = [rows[index][answer] for index in chosen]
    draw.shuffle(labels)
    changed = [dict(row) for row in rows]
    for index, label in zip(chosen, labels, strict=True):
        changed[index][answer] = label
    return changed


def fewer(rows: Rows) -> Rows:
    """One row in ten."""
    return rows[::10]


def without_last(rows: Rows) -> Rows:
    """All rows but the last two in a hundred."""
    return rows[: len(rows) - len(rows) // 50]


PAIRS = (
    Pair("tones", "learning_rate", {"learning_rate": 3e-5, "weight_decay": 0.01, "seed": 1}),
    Pair("tones", "data rows", {"weight_decay": 0.01, "seed": 2}, rows=shuffled),
    Pair("tones", "max_steps", {"max_steps": 12, "options.lora_dropout": 0.0, "seed": 3}),
    Pair("tones", "template", {"data.text_template": "Tone: {tone}", "weight_decay": 0.01, "seed": 4}),
    Pair("tones", "data.max_length", {"data.max_length": 12, "options.lora_dropout": 0.0}, rows=without_last),
    Pair("tones", "data rows", {"lr_scheduler_type": "linear", "seed": 5}, rows=fewer),
    Pair("tones", "learning_rate", {"learning_rate": 3e-5, "seed": 6}, rows=without_last, mended=True),
    Pair("messages", "learning_rate", {"learning_rate": 1e-5, "weight_decay": 0.01, "seed": 7}),
    Pair("messages", "data rows", {"lr_scheduler_type": "linear", "seed": 8}, rows=shuffled),
    Pair("messages", "options.target_modules", {
        "options.target_modules": ["k_proj"], "max_grad_norm": 2.0, "seed": 9,
    }),
)  # fmt: skip


def read(path: Path) -> Rows:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write(path: Path, rows: Rows) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def rows_of(data: str) -> tuple[Rows, Rows, Rows]:
    """Training, validation and test rows, the answer as the second field."""
    if data == "tones":
        home = ROOT / "suites" / "phrase_tone" / "data"
        train, test = ([{"phrase": row["phrase"], "tone": row["tone"]} for row in read(home / name)]
                       for name in ("train.jsonl", "test.jsonl"))  # fmt: skip
        return train[100:], train[:100], test
    home = Path(os.environ["SLMCHECK_TEST_DATA"]) / "data" / "sms_spam"
    train, test = read(home / "train.jsonl"), read(home / "test.jsonl")
    spam, ham = ([row for row in train if row["label"] == label] for label in ("spam", "ham"))
    mixed = [row for pair in zip(spam[:400], ham[:400], strict=True) for row in pair]
    held = [row for label in ("spam", "ham") for row in test if row["label"] == label][:75]
    held += [row for row in test if row["label"] == "ham"][:75]
    return mixed[60:], mixed[:60], held


def recipe_in(folder: Path, pair: Pair, *, has_changes: bool) -> Recipe:
    """The recipe of one side, written with its rows."""
    folder.mkdir(parents=True, exist_ok=True)
    train, validation, test = rows_of(pair.data)
    for name, rows in (("train", train), ("validation", validation), ("test", test)):
        changes = has_changes and name == "train" and pair.rows is not None
        write(folder / f"{name}.jsonl", pair.rows(rows) if changes and pair.rows else rows)
    (folder / "lora.yaml").write_text(TONES if pair.data == "tones" else MESSAGES, encoding="utf-8")
    found = recipes.load(folder / "lora.yaml")
    return recipes.patched(found, pair.fields) if has_changes else found  # type: ignore[arg-type]


def sides(number: int, pair: Pair, trainings: Trainings, home: Path) -> tuple[Run, Run]:
    """The older and the newer run."""
    plain = open_recipe(recipe_in(home / f"plain_{pair.data}", pair, has_changes=False), trainings)
    changed = open_recipe(recipe_in(home / f"pair_{number}", pair, has_changes=True), trainings)
    return (changed, plain) if pair.mended else (plain, changed)


def line(number: int, pair: Pair, found: Explanation, seconds: float) -> str:
    effects = {item.name: item.effect for item in found.attributions}
    others = [
        f"{name} {100 * effect.value:+.1f}" for name, effect in effects.items() if effect and name != pair.planted
    ]
    own = effects.get(pair.planted)
    named = found.causes[0] if found.causes else "none"
    cells = [
        str(number),
        pair.data,
        pair.planted,
        f"{100 * found.total.value:+.1f}",
        "" if own is None else f"{100 * own.value:+.1f} ({100 * own.low:+.1f} .. {100 * own.high:+.1f})",
        ", ".join(others),
        named + ("" if named == pair.planted else " ✗"),
        f"{seconds:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the store is kept (default: a temporary folder)")
    parser.add_argument("--pairs", help="numbers of the pairs, such as 1,2,3 (default: all)")
    parser.add_argument("--budget", type=float, help="minutes for each pair")
    given = parser.parse_args(arguments)
    wanted = [int(text) for text in given.pairs.split(",")] if given.pairs else range(1, len(PAIRS) + 1)
    with tempfile.TemporaryDirectory() as temporary:
        home = (given.folder or Path(temporary)).absolute()
        workspace = Workspace(root=home, store=Store(home / "store"))
        print("| pair | rows | planted | change of accuracy | planted accounts for | the others | named | seconds |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
        right = 0
        for number in wanted:
            pair, started = PAIRS[number - 1], time.monotonic()
            trainings = Trainings(workspace=workspace, budget_minutes=given.budget)
            old, new = sides(number, pair, trainings, home)
            found = explain(old, new, replace(trainings), metric="accuracy")
            right += bool(found.causes) and found.causes[0] == pair.planted
            print(line(number, pair, found, time.monotonic() - started), flush=True)
        print(f"\nThe planted change was named first in {right} of {len(wanted)} pairs.")


if __name__ == "__main__":
    main()
