"""How long the checks of rows take: `python benchmarks/row_checks.py`, a table of seconds per 10,000 rows.

The rows are made: twenty words each. The target is under 2 seconds.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from pathlib import Path

from slmcheck.data import load_splits
from slmcheck.data.checks import check_rows
from slmcheck.data.tokenizers import read_tokenizer
from slmcheck.recipes.base_models import base_model_of
from slmcheck.records import DataSpec, Recipe

ROWS = 10_000
WORDS = 20


def made_rows(folder: Path, labels: int) -> Path:
    """Rows of random words that hint at their label."""
    rng = random.Random(labels)  # noqa: S311 (rows, not secrets)
    syllables = ("ta", "me", "lo", "ri", "san", "ver", "on", "ing", "ed", "er")
    vocabulary = ["".join(rng.choices(syllables, k=rng.randint(1, 3))) for _ in range(4_000)]
    lines = []
    for _ in range(ROWS):
        label = rng.randrange(labels)
        words = [f"hint{label}", *rng.choices(vocabulary, k=WORDS - 1)]
        rng.shuffle(words)
        lines.append(json.dumps({"text": " ".join(words), "label": f"class {label}"}))
    path = folder / f"rows-{labels}.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def main() -> None:
    """Measure rows of two, twenty and a hundred labels, with and without the tokenizer of the embedded model."""
    print(f"{'labels':>8} {'rows':>8} {'without tokenizer':>18} {'with':>8}   seconds per 10,000 rows")
    with tempfile.TemporaryDirectory() as scratch:
        for labels in (2, 20, 100):
            path = made_rows(Path(scratch), labels)
            recipe = Recipe(
                name=f"rows/{labels}",
                base_model="slmcheck/tiny",
                task="classification",
                trainer="lora",
                data=DataSpec(train=(str(path),), text_template="Text: {text}\nLabel: {label}", answer="label"),
            )
            splits = load_splits(recipe)
            folder = base_model_of(recipe).folder
            tokenizer = read_tokenizer(folder) if folder is not None else None
            seconds = []
            for known in (None, tokenizer):
                start = time.process_time()
                check_rows(recipe, splits, known)
                seconds.append((time.process_time() - start) * 10_000 / ROWS)
            print(f"{labels:>8} {ROWS:>8} {seconds[0]:>18.2f} {seconds[1]:>8.2f}")


if __name__ == "__main__":
    sys.exit(main())
