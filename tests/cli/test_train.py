"""What needs a model: `train`, and `evaluate` and `parity` of what was trained. One training serves them all."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slmcheck.cli import main
from slmcheck.training.committed import MARKER
from slmcheck.training.protocol import CHECKPOINTS

TONES = ("angry", "glad", "sad")
RECIPE = """\
base_model: ./model
trainer: lora
task: classification
data:
  train: train.jsonl
  validation: validation.jsonl
  test: test.jsonl
  text_template: "{phrase}:{tone}"
  answer: tone
  max_length: 64
max_steps: 2
per_device_train_batch_size: 4
options: {r: 2, lora_alpha: 4}
"""
TEST = "def test_accuracy(run):\n    assert run.accuracy >= 0.0\n"
MODEL = ("--text-template", "{phrase}:{tone}", "--answer", "tone", "--task", "classification")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, random_model: Callable[..., Path]) -> Path:
    """A project with the run tone/lora, trained for two steps on a random model of one layer."""
    root = tmp_path_factory.mktemp("trained")
    suite = root / "suites" / "tone"
    suite.mkdir(parents=True)
    shutil.copytree(random_model("llama", num_hidden_layers=1), suite / "model")
    for name, count in (("train", 12), ("validation", 6), ("test", 9)):
        rows = [{"phrase": f"{name} {place}", "tone": TONES[place % 3]} for place in range(count)]
        (suite / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (suite / "lora.yaml").write_text(RECIPE)
    (suite / "test_tone.py").write_text(TEST)
    (root / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider --import-mode=importlib\n")
    assert main(["train", str(suite / "lora.yaml")]) == 0
    return root


@pytest.fixture
def here(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The trained project as the current folder."""
    monkeypatch.chdir(trained)
    monkeypatch.delenv("SLMCHECK_STORE", raising=False)
    return trained


def scores(ran: Any) -> dict[str, float]:
    """Scores by metric."""
    assert ran.status == 0, ran.err
    return {score["metric"]: score["value"] for score in ran.document["scores"]}


def test_a_run_that_is_there_is_found_and_summed_up(slmcheck: Callable[..., Any], here: Path) -> None:
    ran = slmcheck("train", "tone/lora")
    assert ran.status == 0
    assert "found in the store" in ran.out
    assert "nats a token" in ran.out
    document = slmcheck("train", "tone/lora", "--json").document
    assert document["trained"] is False
    assert document["record"]["last_step"] == 2


def test_finding_a_run_imports_no_torch(here: Path) -> None:
    code = "import sys\nfrom slmcheck.cli import main\nmain(['train', 'tone/lora'])\nprint('torch' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "False"


@pytest.mark.slow
def test_a_training_that_is_killed_is_one_message_and_goes_on_with_the_next_call(trained: Path, tmp_path: Path) -> None:
    recipe = trained / "suites" / "tone" / "long.yaml"
    recipe.write_text(RECIPE.replace("max_steps: 2", "max_steps: 600\neval_steps: 20\nsave_steps: 20"))
    command = [sys.executable, "-m", "slmcheck", "train", "tone/long", "--json"]
    stores = {name: tmp_path / name for name in ("killed", "whole")}

    def start(name: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "SLMCHECK_STORE": str(stores[name])}
        return subprocess.Popen(
            command, cwd=trained, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    first = start("killed")
    while not list(stores["killed"].glob(f"work/*/{CHECKPOINTS}/*/{MARKER}")) and first.poll() is None:
        time.sleep(0.05)
    os.kill(child_of(first.pid), signal.SIGKILL)
    out, err = first.communicate()
    assert first.returncode == 3
    message = err.strip().splitlines()
    assert message[0] == "tone/long: training was killed by SIGKILL."
    assert message[1].startswith("Last update: ")
    assert re.fullmatch(r"Run the same command again to go on from update \d+\.", message[-1])
    assert "Traceback" not in err
    assert json.loads(out)["error"]["kind"] == "TrainingKilledError"
    assert not list(stores["killed"].glob("runs/*"))

    resumed = start("killed")
    out, err = resumed.communicate()
    assert resumed.returncode == 0, err
    whole = start("whole")
    expected, err = whole.communicate()
    assert whole.returncode == 0, err
    assert json.loads(out)["trained"] is True
    [log] = stores["killed"].rglob("train.log")
    assert log.read_text().count("update 1 of 600") == 1  # the log of both attempts: the second began further on
    assert checkpoint_of(out) == checkpoint_of(expected)
    recipe.unlink()


def child_of(parent: int) -> int:
    """The one process that another one has started."""
    found = [
        int(stat.parent.name)
        for stat in Path("/proc").glob("[0-9]*/stat")
        if stat.read_text().rpartition(")")[2].split()[1] == str(parent)
    ]
    assert len(found) == 1
    return found[0]


def checkpoint_of(document: str) -> bytes:
    """The weights that a training left."""
    folder = Path(json.loads(document)["record"]["checkpoint"]["path"])
    return (folder / "adapter_model.safetensors").read_bytes()


def test_a_changed_recipe_is_not_trained_offline(slmcheck: Callable[..., Any], here: Path) -> None:
    changed = here / "suites/tone/changed.yaml"
    changed.write_text(RECIPE + "seed: 5\n")
    ran = slmcheck("train", "tone/changed", "--offline")
    changed.unlink()
    assert ran.status == 2
    assert "The store has no run of recipe 'tone/changed'" in ran.err


def test_the_command_gives_the_number_of_the_fixture(slmcheck: Callable[..., Any], here: Path) -> None:
    found = scores(slmcheck("evaluate", "tone/lora", "--metric", "accuracy", "--json"))
    on_file = scores(
        slmcheck("evaluate", "tone/lora", "--data", "suites/tone/test.jsonl", "--metric", "accuracy", "--json")
    )
    report = slmcheck("run", "suites", "-q", "--json").document["report"]
    assert found == on_file == {"accuracy": report["verdicts"][0]["value"]}


def test_an_adapter_folder_is_scored_as_its_run(slmcheck: Callable[..., Any], here: Path) -> None:
    adapter = slmcheck("train", "tone/lora", "--json").document["record"]["checkpoint"]["path"]
    of_run = scores(slmcheck("evaluate", "tone/lora", "--metric", "accuracy,brier", "--json"))
    of_folder = scores(
        slmcheck("evaluate", adapter, "--recipe", "suites/tone/lora.yaml", "--metric", "accuracy,brier", "--json")
    )
    assert of_folder == of_run


def test_a_bare_model_is_scored_with_a_template(slmcheck: Callable[..., Any], here: Path) -> None:
    found = scores(
        slmcheck(
            *("evaluate", "suites/tone/model", "--data", "suites/tone/test.jsonl", *MODEL),
            *("--metric", "accuracy,brier", "--json"),
        )
    )
    with_recipe = scores(
        slmcheck("evaluate", "suites/tone/model", "--recipe", "suites/tone/lora.yaml", "--metric", "brier", "--json")
    )
    assert found["brier"] == with_recipe["brier"]


def test_rows_with_prompt_and_reference_need_no_template(slmcheck: Callable[..., Any], here: Path) -> None:
    (here / "rows.jsonl").write_text('{"prompt": "2 + 2 = ", "reference": "4"}\n{"prompt": "3 = ", "reference": "3"}\n')
    found = scores(slmcheck("evaluate", "suites/tone/model", "--data", "rows.jsonl", "--metric", "loss", "--json"))
    assert found["loss"] > 0


def test_parity_of_the_export(slmcheck: Callable[..., Any], here: Path) -> None:
    judged = slmcheck("parity", "tone/lora", "--json")
    assert scores(judged)["agreement"] == 1.0
    document = json.loads(judged.out)
    assert (judged.status, document["passed"]) == (0, True)
    assert {check["subject"] for check in document["checks"]} == {"export", "conditions", "merge"}
    assert [one["name"] for one in document["conditions"]][-1] == "decode"
    text = slmcheck("parity", "tone/lora", "--onnx", f"{document['folder']}/model.onnx").out
    assert "that model, the adapter merged into its base model" in text
    assert "PASS  " in text
    ran = slmcheck("parity", "tone/lora", "--metric", "agreement")
    assert ran.out.splitlines()[1].split()[:2] == ["agreement", "1.000"]
    assert "export: " in ran.out


def test_an_unknown_precision_lists_those_there_are(slmcheck: Callable[..., Any], here: Path) -> None:
    ran = slmcheck("parity", "tone/lora", "--precision", "int9")
    assert ran.status == 2
    assert "fp32" in ran.err
