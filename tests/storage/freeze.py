"""Write a sample of every file that carries a schema version, for the `frozen` folders of the tests.

Run once for a schema, when it becomes the current one; its files are then never written again:

    python tests/storage/freeze.py tests
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np

from slmcheck import reports
from slmcheck.records import (
    REPORT_VERSION,
    Checkpoint,
    DataSpec,
    Environment,
    ExampleEvidence,
    HistoryPoint,
    Json,
    PredictedRow,
    Recipe,
    Report,
    Resources,
    RunRecord,
    RunReport,
    ScoreRecord,
    VerdictRecord,
)
from slmcheck.storage import (
    BASELINE_SCHEMA,
    BaselineHeader,
    BaselineScore,
    Store,
    StoredScore,
    digest,
    make_baseline,
    write_baseline,
)
from slmcheck.storage.entries import SCHEMA

CUDA = Environment(device="cuda", dtype="bfloat16", threads=2, versions={"torch": "2.13.0"})
INPUTS: Json = {"recipe": {"learning_rate": 0.003, "seed": 7}, "train": ["row a", "row b"]}
RUN_KEY = digest("run", INPUTS)
SCORE_KEY, SET_KEY = digest("score", "frozen"), digest("predictions", "frozen")
RECIPE = Recipe(
    name="spam/lora",
    base_model="slmcheck/tiny",
    task="classification",
    trainer="lora",
    data=DataSpec(train=("train.jsonl",), text_template="{text}: {label}", answer="label"),
    learning_rate=0.003,
    options={"r": 4},
    seed=7,
)
SCORE = StoredScore(
    ids=("a", "b", "c"),
    columns=("sum", "count"),
    statistics=np.array([[1, 1], [0, 1], [1, 1]], dtype=np.float64),
    value=2 / 3,
    groups=("g", "g", "h"),
    reference_hashes=("h1", "h2", "h3"),
    answers=("spam", "spam", "Grüße\u2028"),
    extras={"signature": "accuracy|version:1"},
)


def write_store(root: Path) -> None:
    """A store with a run, predictions and a score."""
    store = Store(root)
    with store.scratch("frozen") as folder:
        (folder / "adapter").mkdir()
        (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
        record = RunRecord(
            name="spam/lora",
            key=RUN_KEY,
            recipe=RECIPE,
            checkpoint=Checkpoint(kind="adapter", path=folder / "adapter", key="c1", base_model="slmcheck/tiny"),
            environment=CUDA,
            directory=folder,
            history=(
                HistoryPoint(step=0, validation_loss=2.5, train_subset_loss=2.25),
                HistoryPoint(step=4, epoch=1.0, train_loss=1.5, validation_loss=0.75, learning_rate=0.003),
            ),
            best_step=4,
            last_step=6,
            stopped_early=True,
            resources=Resources(seconds=12.5, tokens=4096, peak_memory_bytes=123_456_789),
            created="2026-01-02T03:04:05+00:00",
        )
        store.publish_run(record, folder, INPUTS)
    predictions = store.predictions(SET_KEY, {"checkpoint": "c1"})
    predictions.add(
        [
            PredictedRow(row="r1", option_scores=(-0.5, -1.5), option_probabilities=(0.75, 0.25)),
            PredictedRow(row="r2", text="Grüße\u2028 now", finished=True),
            PredictedRow(row="r3", nll=12.25, tokens=7),
        ],
        CUDA,
    )
    store.write_score(SCORE_KEY, SCORE, {"metric": "accuracy"})


def write_baselines(folder: Path) -> None:
    """The two files of an accepted baseline."""
    header = BaselineHeader(
        run="spam/lora",
        task="classification",
        run_key=RUN_KEY,
        checkpoint_key="c1",
        environment=CUDA,
        created="2026-01-02T03:04:05+00:00",
        git={"commit": "0123abc"},
        evaluation_digest="e1",
    )
    accepted = BaselineScore(
        metric="accuracy", value=2 / 3, low=0.2, high=0.95, n=3, unit="share", signature="accuracy|version:1"
    )
    write_baseline(make_baseline(header, [(accepted, SCORE)], slices={"a": ("short",)}), folder, "lora")


def write_report(folder: Path) -> None:
    """A report of one run and one failed comparison."""
    example = ExampleEvidence(id="b", prompt="free money:", reference="spam", answer="ham", old_answer="spam")
    verdict = VerdictRecord(
        claim="lora.accuracy >= baseline.accuracy - 0.01",
        holds=False,
        state="fail",
        proven=True,
        kind="no_worse",
        metric="accuracy",
        run="lora",
        value=0.846,
        target=0.898,
        margin=0.01,
        change=-0.052,
        n=480,
        paired=True,
        unit="share",
        test="suites/spam/test_spam.py::test_accuracy",
        lines=("FAIL  accuracy 0.846 vs baseline 0.898",),
        examples=(example,),
    )
    run = RunReport(
        name="spam/lora",
        key=RUN_KEY,
        base_model="slmcheck/tiny",
        trainer="lora",
        task="classification",
        environment=CUDA,
        history=(HistoryPoint(step=4, validation_loss=0.75),),
        scores=(ScoreRecord(metric="accuracy", value=0.846, low=0.811, high=0.876, n=480, unit="share"),),
    )
    reports.write_all(Report(verdicts=(verdict,), runs=(run,)), folder, formats=("json",))


def main(tests: Path) -> None:
    """Write everything below the folder of tests; refuses to write over what is frozen."""
    targets = {
        tests / "storage" / "frozen" / f"v{SCHEMA}" / "store": write_store,
        tests / "storage" / "frozen" / f"v{BASELINE_SCHEMA}" / "baselines": write_baselines,
        tests / "reports" / "frozen" / f"v{REPORT_VERSION}": write_report,
    }
    for target, write in targets.items():
        if target.exists():
            print(f"{target} is there already and stays as it is")
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            written = Path(scratch) / "written"
            with mock.patch("slmcheck.storage.entries.host_name", return_value="machine"):
                write(written)
            for name in ("tmp", "locks", ".gitignore"):
                path = written / name
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            shutil.copytree(written, target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
