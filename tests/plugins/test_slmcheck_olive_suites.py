"""Files and commands of Olive as suites: `init --from-olive`, and files that serve as recipes themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from slmcheck import recipes
from slmcheck.cli import main
from slmcheck.errors import RecipeError
from slmcheck.recipes.foreign import reader_of
from slmcheck.recipes.writing import fields_text
from slmcheck.records import SearchRange, SearchSpec
from tests.plugins import olive_chapter as chapter

COMMAND = (
    "olive finetune -m slmcheck/tiny -d json --data_files rows.jsonl --max_seq_len 64 --max_steps 4 "
    r'--text_template "शब्द: {text}\nभाव: {tone}" --task classification --learning_rate=1e-6'
)
CONFIG: dict[str, Any] = {
    "input_model": {"type": "HfModel", "model_path": "slmcheck/tiny", "task": "classification"},
    "data_configs": [
        {
            "name": "rows",
            "type": "HuggingfaceContainer",
            "load_dataset_config": {"data_name": "json", "data_files": "rows.jsonl", "split": "train"},
            "pre_process_data_config": {"text_template": "शब्द: {text}\nभाव: {tone}", "max_seq_len": 64},
        }
    ],
    "passes": {
        "f": {
            "type": "LoRA",
            "train_data_config": "rows",
            "training_args": {"max_steps": 4, "learning_rate": "1e-6"},
        }
    },
}
METRICS = [
    {"name": "accuracy_score", "goal": {"type": "threshold", "value": 0.8}},
    {"name": "f1_score", "goal": {"type": "max-degradation", "value": 0.02}},
    {"name": "perplexity", "goal": {"type": "threshold", "value": 9}},
    {"name": "accuracy", "goal": {"type": "min-improvement", "value": 0.1}},
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with rows.jsonl, test.jsonl and olive.json."""
    monkeypatch.chdir(tmp_path)
    for name, start in (("rows", 0), ("test", 90)):
        rows = [{"text": f"word {start + place}", "tone": ("glad", "sad")[place % 2]} for place in range(60)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "olive.json").write_text(json.dumps(CONFIG))
    return tmp_path


def written(path: Path) -> tuple[list[str], Mapping[str, Any]]:
    """Comments and fields of a recipe file."""
    text = path.read_text(encoding="utf-8")
    return [line[2:] for line in text.splitlines() if line.startswith("#")], yaml.safe_load(text)


def test_a_command_becomes_a_recipe_with_a_comment_for_each_change(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "tone", "--from-olive", COMMAND]) == 0
    comments, fields = written(Path("suites/tone/lora.yaml"))
    assert fields["learning_rate"] == 1e-6
    assert fields["data"]["train"] == "../../rows.jsonl"
    assert fields["data"]["text_template"] == "शब्द: {text}\nभाव: {tone}"
    assert comments[0].startswith("Read from olive: olive finetune -m slmcheck/tiny")
    assert "--learning_rate: written with an equals sign, which Olive drops; the recipe follows it" in comments
    assert "slmcheck data check suites/tone/lora.yaml" in capsys.readouterr().out


def test_the_written_recipe_is_the_one_in_memory(folder: Path) -> None:
    reading = reader_of("olive").read([COMMAND], folder / "suites/tone")
    assert main(["init", "tone", "--from-olive", COMMAND]) == 0
    _, fields = written(folder / "suites/tone/lora.yaml")
    assert fields == reading.fields


def test_file_and_command_of_one_job_give_the_same_recipe(folder: Path) -> None:
    assert main(["init", "one", "--from-olive", COMMAND]) == 0
    assert main(["init", "two", "--from-olive", "olive.json"]) == 0
    assert written(folder / "suites/one/lora.yaml")[1] == written(folder / "suites/two/lora.yaml")[1]


def test_a_file_of_olive_is_loaded_as_the_recipe_that_init_writes(folder: Path) -> None:
    assert main(["init", "tone", "--from-olive", "olive.json"]) == 0
    ours, theirs = recipes.load(folder / "suites/tone/lora.yaml"), recipes.load(folder / "olive.json")
    assert theirs.data.train == ("rows.jsonl",)
    same = {"name", "path", "data"}
    assert {key: value for key, value in vars(ours).items() if key not in same} == {
        key: value for key, value in vars(theirs).items() if key not in same
    }


def test_a_search_of_the_tutorial_is_loaded_with_a_whole_recipe(folder: Path) -> None:
    (folder / "search.yaml").write_text(chapter.SEARCH)
    assert main(["init", "tone", "--from-olive", "olive.json", "--from-olive", "search.yaml"]) == 0
    recipe = recipes.load(folder / "suites/tone/lora.yaml")
    assert recipe.search == SearchSpec(
        sampler="random",
        num_trials=20,
        space={
            "learning_rate": SearchRange(type="float", low=1e-6, high=1e-3, log=True),
            "options.r": SearchRange(type="int", low=8, high=64),
            "per_device_train_batch_size": SearchRange(choices=(8, 16, 32)),
        },
    )
    assert recipe.data.train == ("../../rows.jsonl[:90%]",)
    assert recipe.data.test == ("../../rows.jsonl[90%:]",)


def test_goals_become_asserts(folder: Path) -> None:
    evaluators = {"common": {"metrics": [{"name": "m", "type": "accuracy", "sub_types": METRICS}]}}
    (folder / "olive.json").write_text(json.dumps({**CONFIG, "evaluators": evaluators}))
    assert main(["init", "tone", "--from-olive", "olive.json", "--test", "test.jsonl"]) == 0
    suite = (folder / "suites/tone/test_tone.py").read_text()
    compile(suite, "test_tone.py", "exec")
    asserted = [line.strip() for line in suite.splitlines() if line.startswith("    assert")]
    assert asserted[-4:] == [
        "assert run.accuracy >= 0.8",
        "assert run.f1.no_worse_than(baseline.f1, margin=0.02)",
        "assert run.perplexity <= 9",
        "assert run.accuracy.better_than(run.base.accuracy, by=0.1)",
    ]
    assert "margins are what 60 rows can prove" in suite
    comments, fields = written(folder / "suites/tone/lora.yaml")
    assert fields["data"]["test"] == "../../test.jsonl"
    assert not [line for line in comments if line.startswith("test:")]


def test_a_suite_without_rows_at_hand_has_three_asserts(folder: Path) -> None:
    assert main(["init", "chat", "--from-olive", chapter.FINETUNE_LORA]) == 0
    suite = (folder / "suites/chat/test_chat.py").read_text()
    asserted = [line.strip() for line in suite.splitlines() if line.startswith("    assert")]
    assert asserted == [
        "assert run.rougeL > run.base.rougeL",
        "assert run.rougeL >= baseline.rougeL - 0.005",
        'assert run.gap("loss") - run.base.gap("loss") <= 0.15',
    ]


def test_rows_that_cannot_be_used_yet_are_told_and_the_recipe_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "test.jsonl").write_text('{"text": "word"}\n')
    assert main(["init", "tone", "--from-olive", "olive.json", "--test", "test.jsonl"]) == 0
    assert "data: thresholds are not those of the rows, which cannot be used yet: " in capsys.readouterr().out
    assert "margins are those of the metrics" in (folder / "suites/tone/test_tone.py").read_text()


def test_a_goal_of_another_task_is_refused_and_nothing_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    goal = {"name": "accuracy_score", "goal": {"type": "threshold", "value": 0.8}}
    evaluators = {"common": {"metrics": [{"name": "m", "type": "accuracy", "sub_types": [goal]}]}}
    (folder / "olive.json").write_text(json.dumps({**CONFIG, "evaluators": evaluators}))
    assert main(["init", "tone", "--from-olive", "olive.json", "--task", "generation"]) == 2
    assert "'accuracy' (evaluators.common.metrics[0].sub_types[0].goal) is no metric of task 'generation'." in (
        capsys.readouterr().err
    )
    assert not (folder / "suites/tone").exists()
    assert list((folder / "suites").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([chapter.MONITORING], "names no base model and no data: it is a part of a recipe."),
        ([chapter.AUTO_OPT], "'olive auto-opt' has no place in a recipe: it exports; after the training: "),
        (["olive finetune -m 'a"], "The command cannot be taken apart: No closing quotation."),
        (
            [f"{COMMAND}\n{COMMAND}"],
            "The command cannot be taken apart: it has 2 commands, and a recipe is one of them",
        ),
        (["absent.yaml"], "absent.yaml: there is no such recipe file."),
        (["rows.jsonl"], "rows.jsonl: unknown kind of recipe file."),
        (["olive finetune -d json --data_files rows.jsonl"], "olive finetune: model: missing: --model_name_or_path, "),
        (["olive finetune -m slmcheck/tiny"], "olive finetune: data: missing: --data_name or --data_files, "),
        (["olive run --setup"], "olive run: olive run: names no file (--config FILE)."),
        ([COMMAND, "--data", "rows.jsonl"], "--data does not go with --from-olive, which names the rows."),
    ],
)
def test_what_cannot_be_read_is_one_error(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    assert main(["init", "tone", "--from-olive", *arguments]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error
    assert not (folder / "suites").exists()


def test_a_pass_that_does_not_train_has_no_place(folder: Path) -> None:
    (folder / "olive.json").write_text(json.dumps({**CONFIG, "passes": {"convert": {"type": "OnnxConversion"}}}))
    with pytest.raises(RecipeError) as raised:
        recipes.load(folder / "olive.json")
    assert "passes.convert.type: Olive pass 'OnnxConversion' has no place in a recipe; a recipe describes training" in (
        str(raised.value)
    )
    assert 'run.onnx("fp32")' in str(raised.value)


def test_data_check_tells_what_changed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["data", "check", "olive.json"])
    told = capsys.readouterr()
    assert "olive.json: rows: Olive joins rows and cuts blocks of max_seq_len tokens" in told.err
    assert "51 train, 9 validation, 0 test rows" in told.out


def test_a_recipe_of_our_own_has_no_notes(folder: Path) -> None:
    assert main(["init", "tone", "--from-olive", "olive.json"]) == 0
    assert recipes.foreign_notes(folder / "suites/tone/lora.yaml") == ()


def test_pytest_tells_what_changed_before_it_trains(pytester: pytest.Pytester, folder: Path) -> None:
    for name in ("olive.json", "rows.jsonl"):
        (pytester.path / name).write_text((folder / name).read_text())
    pytester.makepyfile("""
        import pytest
        @pytest.mark.slm_run(recipes=["olive.json"])
        def test_it(run):
            assert run.accuracy >= 0.1
    """)
    result = pytester.runpytest_inprocess("--collect-only", "-p", "no:cacheprovider")
    result.stdout.fnmatch_lines(["slmcheck: olive.json: rows: Olive joins rows and cuts blocks*"])


def test_an_output_folder_of_olive_is_its_model_and_a_short_context_is_kept(folder: Path) -> None:
    model = folder / "out/model"
    model.mkdir(parents=True)
    (model / "config.json").write_text('{"max_position_embeddings": 128}')
    reading = reader_of("olive").read(["olive finetune -m out -d org/rows --text_template '{q} {a}'"], folder)
    assert reading.fields["base_model"] == "./out/model"
    assert reading.fields["data"]["max_length"] == 128  # type: ignore[index, call-overload]
    told = [str(note) for note in reading.notes]
    assert "model_name_or_path: an output folder of Olive: the model in it is model" in told
    assert "max_seq_len: Olive's default is 1024; the base model reads 128 tokens" in told


def test_a_recipe_as_text_is_read_back_exactly() -> None:
    fields = {
        "learning_rate": 1.2345678901e-6,
        "labels": ["yes", "no", "12", "a: b"],
        "data": {"text_template": 'a "b"\n\t{{x}} # क', "validation": 0.15, "flag": True},
        "search": {"space": {"options.r": {"choices": [1, 2]}}},
        "options": {},
    }
    assert yaml.safe_load(fields_text(fields)) == fields  # type: ignore[arg-type]
