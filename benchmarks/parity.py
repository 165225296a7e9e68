"""What parity costs beside the PyTorch evaluation of the same examples: 2,000 short messages, export apart.

    SLMCHECK_TEST_DATA=DIR python benchmarks/parity.py [--rows 2000] [--repeats 3]

DIR holds `models/stories260k` and `data/sms_spam`. Evaluation is the choice between two labels, as a suite does it.
Parity is everything that `slmcheck parity` judges: the graph's answers and, in the same pass, its logits at every
token, compared with the reference's; all scores made of them; and the sample asked in every way. The reference's
logits are at hand (kept from a pass before) or must be computed. All is measured in one process, in processor seconds,
and the best of the repeats is told: the last line is one JSON object. Exit status 1 if a ratio is above its bar.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from slmcheck import inference, parity
from slmcheck.backends import GivesLogits, LanguageModel, PaddedBatch, load
from slmcheck.data import load_splits
from slmcheck.export import to_onnx
from slmcheck.gates import ScoreSource
from slmcheck.records import Checkpoint, DataSpec, EvaluationSpec, Example, Recipe

AT_HAND, COMPUTED = 1.5, 2.5
"""Bars: parity over evaluation, with the reference's logits at hand and without."""


class AtHand:
    """A model whose logits were computed before; each batch is asked for once."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._kept: dict[bytes, list[NDArray[np.float32]]] = {}

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)

    def logits(self, batch: PaddedBatch) -> list[NDArray[np.float32]]:
        """What the model gave to this batch."""
        key = batch.ids.tobytes()
        if key not in self._kept:
            self._kept[key] = self._model.logits(batch)
        return self._kept[key]


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of a piece of work."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def predict(model: LanguageModel, examples: list[Example], recipe: Recipe) -> None:
    """Choose a label for every example."""
    inference.predict(model, examples, kind="options", recipe=recipe, on_rows=lambda rows: None)


def compare(reference: LanguageModel, other: GivesLogits, examples: list[Example], recipe: Recipe) -> None:
    """Everything that is judged: answers, scores of logits, conditions."""
    watched = parity.Watched(reference, other, examples, recipe=recipe)
    inference.predict(other, examples, kind="options", recipe=recipe, on_rows=lambda rows: None, ask=watched.ask)
    rows = parity.compare(reference, other, examples, recipe=recipe, known=watched.found)
    for name in parity.LOGIT_SCORES:
        parity.score(name, rows, ScoreSource(name="graph"))
    parity.check_conditions(reference, other, examples, recipe=recipe)


def messages(data: Path, count: int) -> tuple[Recipe, list[Example]]:
    """Short messages with two labels."""
    recipe = Recipe(
        name="benchmark/sms_spam",
        base_model=str(data / "models" / "stories260k"),
        trainer="full",
        task="classification",
        data=DataSpec(
            train=(str(data / "data" / "sms_spam" / "train.jsonl"),),
            test=(str(data / "data" / "sms_spam" / "test.jsonl"),),
            text_template="Text: {text}\nLabel: {label}",
            answer="label",
        ),
        evaluation=EvaluationSpec(),
        path=data / "recipe.yaml",
    )
    splits = load_splits(recipe)
    return recipe, [*splits.test, *splits.train][:count]


def main() -> int:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    named = os.environ.get("SLMCHECK_TEST_DATA")
    if not named:
        parser.error("SLMCHECK_TEST_DATA names no folder with models/stories260k and data/sms_spam")
    recipe, examples = messages(Path(named), options.rows)
    source = Checkpoint(kind="model", path=Path(named) / "models" / "stories260k", key="source")
    with tempfile.TemporaryDirectory() as folder:
        graph = to_onnx(source, Path(folder))
        reference, other = load(source), load(graph)
        assert isinstance(other, GivesLogits)
        at_hand = cast("LanguageModel", AtHand(reference))
        compare(at_hand, other, examples[:64], recipe)  # warm: first calls allocate
        found: dict[str, list[float]] = {"evaluation": [], "at_hand": [], "computed": []}
        compare(at_hand, other, examples, recipe)
        for _ in range(options.repeats):
            found["evaluation"].append(seconds(lambda: predict(reference, examples, recipe)))
            found["at_hand"].append(seconds(lambda: compare(at_hand, other, examples, recipe)))
            found["computed"].append(seconds(lambda: compare(reference, other, examples, recipe)))
        parts = {
            "answers of the graph": seconds(lambda: predict(other, examples, recipe)),
            "answers, logits of both and their comparison": seconds(
                lambda: compare(reference, other, examples, recipe)
            ),
            "conditions": seconds(lambda: parity.check_conditions(reference, other, examples, recipe=recipe)),
        }
    best = {name: min(values) for name, values in found.items()}
    ratios = {name: best[name] / best["evaluation"] for name in ("at_hand", "computed")}
    print(f"{len(examples)} examples, evaluation in PyTorch {best['evaluation']:.2f} s of processor time")
    for name, value in parts.items():
        print(f"    {name}: {value:.2f} s, {value / best['evaluation']:.2f} of the evaluation")
    passed = ratios["at_hand"] <= AT_HAND and ratios["computed"] <= COMPUTED
    print(
        json.dumps(
            {
                "examples": len(examples),
                "evaluation_seconds": round(best["evaluation"], 3),
                "parity_over_evaluation_logits_at_hand": round(ratios["at_hand"], 3),
                "bar_at_hand": AT_HAND,
                "parity_over_evaluation_logits_computed": round(ratios["computed"], 3),
                "bar_computed": COMPUTED,
                "passed": passed,
            }
        )
    )
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
