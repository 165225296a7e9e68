"""The contract on a training program that knows nothing of slmcheck, and every way in which such a program fails."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from slmcheck_command import CommandOptions, CommandTrainer
from slmcheck_command.line import command_problems, filled_in

from slmcheck import recipes
from slmcheck.data import Splits
from slmcheck.errors import RecipeError, TrainingError
from slmcheck.recipes.keys import run_inputs, run_key
from slmcheck.records import DataSpec, Recipe
from slmcheck.testing import TrainerContract, write_small_model
from slmcheck.testing.trainer_contract import examples
from slmcheck.training import TrainingJob, train_in_child

PROGRAM = Path(__file__).with_name("training_program.py")
COMMAND = (
    f"{shlex.quote(sys.executable)} {shlex.quote(str(PROGRAM))} --model {{base_model}} --train {{train}} "
    "--validation {validation} --out {output_dir} --rank {rank} --lr {learning_rate} --steps {max_steps} "
    "--batch {per_device_train_batch_size} --evaluate {eval_steps} --seed {seed}"
)
OPTIONS = {"command": COMMAND, "files": [str(PROGRAM)], "values": {"rank": 4}}


@pytest.mark.slow
class TestCommandTrainer(TrainerContract):
    trainer = CommandTrainer
    options: ClassVar = OPTIONS
    own_loop = False
    wrong_options = ({"checkpoint": 3}, {"files": ["no-such-file.py"]}, {"command": "no-such-program {output_dir}"})


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return Recipe(
        name="suite/recipe",
        base_model=str(write_small_model(tmp_path_factory.mktemp("base-model"))),
        task="classification",
        trainer="command",
        data=DataSpec(train=("rows.jsonl",), text_template="Thing: {thing}\nColour: {colour}", answer="colour"),
        options=OPTIONS,
        learning_rate=1e-2,
        max_steps=4,
        eval_steps=2,
    )


PLAIN = {"learning_rate": 2e-4, "max_steps": None, "eval_steps": None}
"""The defaults of what a command does not ask for."""


def with_command(recipe: Recipe, command: str, **options) -> Recipe:
    return replace(recipe, options={**recipe.options, "command": command, **options})


def job_of(recipe: Recipe, folder: Path, **changes) -> TrainingJob:
    fields = {
        "train": examples(12),
        "validation": examples(4, start=12),
        "device": "cpu",
        "log_step": lambda point: None,
    }
    fields |= changes
    (folder / "publish").mkdir(parents=True, exist_ok=True)
    return TrainingJob(recipe=recipe, base_model=recipe.base_model, output_dir=folder / "publish", **fields)


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("", "options.command is missing"),
        ("python train.py {output_dri} {train}", "did you mean {output_dir}?"),
        ("python train.py {train}", "has no {output_dir}"),
        ("python {output_dir} {train} {", "single '{'"),
        ("python 'train.py {output_dir} {train}", "cannot be taken apart"),
        ("python train.py {output_dir} {train}", "learning_rate is set in the recipe"),
    ],
)
def test_a_command_line_that_cannot_be_run_is_told_before_training(recipe: Recipe, command: str, problem: str) -> None:
    asked = with_command(recipe, command)
    found = command_problems(asked, CommandOptions(command=command))
    assert any(problem in item for item in found), found
    with pytest.raises(RecipeError):
        CommandTrainer().check(asked)


def test_seeds_need_a_seed(recipe: Recipe) -> None:
    with pytest.raises(RecipeError, match=r"no \{seed\}"):
        CommandTrainer().check(replace(with_command(recipe, COMMAND.replace("--seed {seed}", "")), seeds=3))


def test_a_value_is_one_word_whatever_it_holds() -> None:
    options = CommandOptions(command="train --name {name} --json {{x}} --flag={flag} --rate {rate}")
    words = filled_in(options, {"name": "two words; rm -rf $HOME", "flag": True, "rate": 1e-5})
    assert words == ["train", "--name", "two words; rm -rf $HOME", "--json", "{x}", "--flag=true", "--rate", "1e-05"]


def test_the_files_that_a_command_reads_are_part_of_the_key(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("layers: 2\n")
    asked = replace(with_command(recipe, COMMAND, files=["settings.yaml"]), path=tmp_path / "recipe.yaml")
    splits = Splits(train=examples(4), validation=examples(2, start=4))

    def key() -> str:
        return run_key(run_inputs(asked, splits, trainer_version=1, training_version=1))

    before = key()
    (tmp_path / "settings.yaml").write_text("layers: 3\n")
    assert key() != before
    (tmp_path / "settings.yaml").write_text("layers: 2\n")
    assert key() == before


def test_rows_are_written_as_training_programs_read_them(recipe: Recipe, tmp_path: Path) -> None:
    copied = "'import sys, shutil; shutil.copy(sys.argv[1], sys.argv[2])'"
    command = f"{shlex.quote(sys.executable)} -c {copied} {{train}} {{output_dir}}"
    with pytest.raises(TrainingError, match="left no model"):
        CommandTrainer().train(job_of(with_command(recipe, command), tmp_path))
    [first, *_] = (tmp_path / "command" / "rows-train.jsonl").read_text().splitlines()
    row = json.loads(first)
    assert row["text"] == row["prompt"] + row["completion"]
    assert row["thing"] in row["prompt"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise SystemExit(3)", r"ended with status 3"),
        ("print('no data to train on')", r"ended with status 0 and left no model(.|\n)*no data to train on"),
        (
            "import sys, pathlib; (pathlib.Path(sys.argv[1]) / 'config.json').write_text('null'); "
            "(pathlib.Path(sys.argv[1]) / 'pytorch_model.bin').write_bytes(b'x')",
            r"a model that cannot be used",
        ),
        (
            "import sys, shutil; shutil.copytree(sys.argv[2], sys.argv[1], dirs_exist_ok=True)",
            r"left the weights of the base model: nothing was trained",
        ),
    ],
)
def test_the_model_is_judged_and_not_the_exit_status(recipe: Recipe, tmp_path: Path, code: str, message: str) -> None:
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} {{output_dir}} {{base_model}} {{train}}"
    with pytest.raises(TrainingError, match=message):
        CommandTrainer().train(job_of(with_command(recipe, command), tmp_path))


def test_a_model_of_an_earlier_attempt_is_no_result(recipe: Recipe, tmp_path: Path) -> None:
    output = tmp_path / "command"
    output.mkdir()
    (output / "adapter_config.json").write_text("{}")
    command = f"{shlex.quote(sys.executable)} -c 'pass' {{output_dir}} {{train}}"
    with pytest.raises(TrainingError, match="left no model"):
        CommandTrainer().train(job_of(with_command(recipe, command), tmp_path))
    assert list(output.iterdir()) == []


def test_a_placeholder_without_a_value_is_told(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there are no validation rows"):
        CommandTrainer().train(job_of(recipe, tmp_path, validation=()))
    with pytest.raises(RecipeError, match=r"\{max_steps\}, and the recipe leaves it out"):
        CommandTrainer().train(job_of(replace(recipe, max_steps=None), tmp_path))


@pytest.mark.slow
def test_a_timeout_ends_the_program_and_what_it_started(recipe: Recipe, tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    code = (
        "import subprocess, sys, time; sleeper = [sys.executable, '-c', 'import time; time.sleep(120)']; "
        "child = subprocess.Popen(sleeper); "
        f"open({str(marker)!r}, 'w').write(str(child.pid)); time.sleep(120)"
    )
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} {{output_dir}} {{train}}"
    asked = replace(with_command(recipe, command), **PLAIN, timeout_minutes=0.2)
    with pytest.raises(TrainingError, match=r"longer than 0\.2 minutes"):
        train_in_child(asked, examples(4), examples(2, start=4), tmp_path / "work", base_model=recipe.base_model)
    status = Path(f"/proc/{marker.read_text()}/status")
    assert not status.exists() or "zombie" in status.read_text()


def test_the_trainer_is_found_by_name(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": "a", "label": "b"}) + "\n")
    (tmp_path / "own.yaml").write_text(
        "base_model: slmcheck/tiny\ntrainer: command\ntask: classification\n"
        'data: {train: rows.jsonl, text_template: "{text} {label}", answer: label}\n'
        'options: {command: "python train.py {train} {output_dir}"}\n'
    )
    assert recipes.load(tmp_path / "own.yaml").trainer == "command"
