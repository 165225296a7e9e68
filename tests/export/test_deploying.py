"""The exported folder runs and checks itself without torch and slmcheck, and says so when it is damaged."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slmcheck import inference
from slmcheck.backends import load
from slmcheck.backends.onnx_folder import read_facts
from slmcheck.cli import main
from slmcheck.errors import InputError
from slmcheck.evaluation.deploying import read_selfcheck
from slmcheck.evaluation.library import export, open_run
from slmcheck.export import export_inputs
from slmcheck.export.deployed.runner import Model
from slmcheck.export.deploying import Limits
from slmcheck.pipeline.deploying import drawn_prompts, task_of
from slmcheck.records import EvaluationSpec
from slmcheck.storage import digest
from slmcheck.workspace import Workspace

BLOCKED = ("torch", "transformers", "peft", "onnx", "slmcheck")
RECIPE = """\
base_model: ./model
trainer: pretrained
task: classification
data:
  train: rows.jsonl
  test: rows.jsonl
  text_template: "Say: {text}\\nTone: {tone} now"
  answer: tone
options: {model: ./model}
"""
ROWS = [
    {"text": f"note {number}" + " and more" * (number % 5), "tone": ("glad", "sad")[number % 2]} for number in range(24)
]


@pytest.fixture(scope="module")
def project(exported_model, tmp_path_factory) -> Path:
    """A project whose run is the random model, and whose store holds its fp32 export."""
    root = tmp_path_factory.mktemp("deploying")
    suite = root / "tones"
    shutil.copytree(exported_model[0], suite / "model")
    (suite / "lora.yaml").write_text(RECIPE, encoding="utf-8")
    generation = RECIPE.replace("task: classification", "task: generation\nevaluation: {max_new_tokens: 6}")
    (suite / "written.yaml").write_text(generation, encoding="utf-8")
    (suite / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    (root / "pyproject.toml").write_text("[project]\nname = 'tones'\n", encoding="utf-8")
    workspace = Workspace.at(root)
    for name in ("lora", "written"):
        run = open_run(suite / f"{name}.yaml", workspace=workspace)
        inputs = export_inputs(run.checkpoint, "fp32")
        copy = Path(shutil.copytree(exported_model[1], root / f"copy-{name}"))
        workspace.store.publish_export(digest("export", inputs), copy, inputs)
    return root


@pytest.fixture(scope="module")
def run(project):
    return open_run(project / "tones" / "lora.yaml", workspace=Workspace.at(project))


@pytest.fixture(scope="module")
def written(project):
    return open_run(project / "tones" / "written.yaml", workspace=Workspace.at(project))


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory) -> Path:
    return export(run, tmp_path_factory.mktemp("out") / "deploy").directory


def outside(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script as a device would: isolated, without the libraries of training and without slmcheck."""
    code = (
        "import runpy, sys\n"
        f"for name in {BLOCKED!r}: sys.modules[name] = None\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-I", "-c", code, str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def checked(folder: Path, output: Path) -> tuple[int, dict[str, object], str]:
    done = outside(folder / "selfcheck" / "selfcheck.py", "--output", str(output))
    assert output.is_file(), done.stderr
    return done.returncode, json.loads(output.read_text(encoding="utf-8")), done.stdout


def failed(found: dict[str, object]) -> list[str]:
    return [one["check"] for one in found["checks"] if not one["holds"]]


def test_the_runner_needs_neither_torch_nor_slmcheck(run, folder):
    done = outside(folder / "runner.py", "--row", '{"text": "note 3 and more and more and more"}')
    assert done.returncode == 0, done.stderr
    expected = next(one for one in run.predictions() if "note 3 " in one.prompt)
    assert done.stdout.strip() == expected.prediction


def test_the_self_check_passes_where_the_model_was_exported(folder, tmp_path):
    status, found, text = checked(folder, tmp_path / "selfcheck.json")
    assert (status, found["passed"], len(found["answers"])) == (0, True, len(ROWS))
    assert "same token ids                         24 of 24" in text
    assert "same answers as the trained model      24 of 24" in text
    assert found["runtime"].startswith("onnxruntime ")
    assert found["latency_ms"]["answer"]["n"] == len(ROWS)


def test_it_becomes_a_score_named_by_processor_and_runtime(run, folder, tmp_path):
    checked(folder, tmp_path / "selfcheck.json")
    found = read_selfcheck(run, tmp_path / "selfcheck.json")
    assert float(found.agreement) == 1.0
    assert found.agreement.n == len(ROWS)
    assert found.agreement.source.name.startswith("lora.onnx(fp32) on ")
    assert "onnxruntime" in found.agreement.source.name
    assert found.passed
    assert run.on_device(tmp_path / "selfcheck.json") >= 0.8


def test_parity_from_a_device_is_a_row_with_a_verdict(project, folder, tmp_path, capsys):
    checked(folder, tmp_path / "selfcheck.json")
    recipe = str(project / "tones" / "lora.yaml")
    assert main(["parity", recipe, "--from", str(tmp_path / "selfcheck.json"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["scores"][0]["value"] == 1.0
    assert document["verdict"]["state"] in ("pass", "inconclusive")
    assert "onnxruntime" in document["device"]


def test_a_device_that_answers_otherwise_is_no_pass(project, run, folder, tmp_path, capsys):
    file = tmp_path / "selfcheck.json"
    checked(folder, file)
    found = json.loads(file.read_text(encoding="utf-8"))
    for answer in found["answers"][:3]:
        answer["answer"] = "sad" if answer["answer"] == "glad" else "glad"
    file.write_text(json.dumps(found), encoding="utf-8")
    assert float(read_selfcheck(run, file).agreement) == pytest.approx(21 / 24)
    assert main(["parity", str(project / "tones" / "lora.yaml"), "--from", str(file)]) == 1
    assert "0.875" in capsys.readouterr().out


def test_a_self_check_of_another_run_is_refused(written, run, folder, tmp_path):
    file = tmp_path / "selfcheck.json"
    checked(folder, file)
    other = json.loads(file.read_text(encoding="utf-8"))
    other["export_key"] = "0" * 64
    file.write_text(json.dumps(other), encoding="utf-8")
    with pytest.raises(InputError, match=r"(?s)export 000000000000.*Export and check again"):
        read_selfcheck(run, file)


@pytest.mark.parametrize("content", ["", "[]", '{"format": 1}', "\x00"])
def test_a_file_that_is_no_self_check_is_refused(run, tmp_path, content):
    (tmp_path / "selfcheck.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="is no self-check"):
        read_selfcheck(run, tmp_path / "selfcheck.json")


def test_a_missing_self_check_names_the_script(run, tmp_path):
    with pytest.raises(InputError, match=r"selfcheck/selfcheck\.py"):
        read_selfcheck(run, tmp_path / "none.json")


def test_another_tokenizer_on_the_device_is_seen(folder, tmp_path):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    tokenizer = json.loads((copy / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    status, found, _ = checked(copy, tmp_path / "selfcheck.json")
    assert status == 1
    assert failed(found) == ["files as exported", "same token ids"]


def test_an_answer_that_differs_by_more_than_rounding_fails(folder, tmp_path):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    file = copy / "selfcheck" / "prompts.jsonl"
    prompts = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    prompts[4]["answer"] = "sad" if prompts[4]["answer"] == "glad" else "glad"
    prompts[4]["margin"] = 3.0
    prompts[5]["answer"] = "sad" if prompts[5]["answer"] == "glad" else "glad"
    prompts[5]["margin"] = 1e-5
    file.write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts), encoding="utf-8")
    status, found, text = checked(copy, tmp_path / "selfcheck.json")
    assert status == 1
    assert failed(found) == ["same answers as where it was exported"]
    assert "22 of 24, 1 of the others close calls" in text


def test_a_time_beyond_its_limit_fails(run, tmp_path):
    made = export(run, tmp_path / "deploy", limits=Limits(answer=1e-6))
    status, found, _ = checked(made.directory, tmp_path / "selfcheck.json")
    assert (status, failed(found)) == (1, ["answer time"])


@pytest.mark.parametrize("normalization", ["sum", "mean_tokens", "mean_bytes", "unconditional"])
def test_the_runner_scores_options_as_an_evaluation_does(run, folder, normalization):
    recipe = replace(run.recipe, evaluation=EvaluationSpec(normalization=normalization))
    examples, model = run.examples()[:6], Model(folder)
    model.task["normalization"] = normalization
    rows = []
    inference.predict(load(run.checkpoint), examples, kind="options", recipe=recipe, on_rows=rows.extend)
    expected = sorted(row.option_scores for row in rows)
    found = sorted(tuple(model.option_scores(model.option_sequences(one.prompt))) for one in examples)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_texts_are_written_as_an_evaluation_writes_them(written, tmp_path):
    made = export(written, tmp_path / "deploy")
    assert made.prompts == len(ROWS)
    model = Model(made.directory)
    for one in written.predictions()[:5]:
        assert model.answer(one.prompt) == one.prediction
    status, found, _ = checked(made.directory, tmp_path / "selfcheck.json")
    assert (status, failed(found)) == (0, [])
    assert {"first_token", "token", "load"} == set(found["latency_ms"])


def test_a_folder_with_other_files_is_refused_and_an_earlier_export_is_replaced(run, folder, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt"):
        export(run, tmp_path)
    again = export(run, folder)
    assert again.directory == folder
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_the_same_run_gives_the_same_folder(run, folder, tmp_path):
    again = export(run, tmp_path / "again").directory
    for file in sorted(one for one in folder.rglob("*") if one.is_file()):
        assert (again / file.relative_to(folder)).read_bytes() == file.read_bytes(), file.name


def test_the_card_says_how_to_run_it_and_hides_no_markup(run, folder):
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert 'python runner.py --row \'{"text": "..."}\'' in card
    assert "slmcheck parity tones/lora --precision fp32 --from selfcheck.json" in card
    assert "| answers | glad, sad |" in card


def test_where_rows_may_not_leave_the_store_prompts_are_random_tokens(run, folder):
    prompts = drawn_prompts(read_facts(folder), count=5)
    assert [len(prompt.ids) for prompt in prompts] == [24] * 5
    assert all(prompt.text is None and prompt.trained_answer is None for prompt in prompts)
    assert max(max(prompt.ids) for prompt in prompts) < 260


def test_the_command_writes_the_folder_and_says_what_is_next(project, tmp_path, capsys):
    recipe = str(project / "tones" / "lora.yaml")
    assert main(["export", recipe, str(tmp_path / "out"), "--answer-ms", "50"]) == 0
    shown = capsys.readouterr().out
    assert "selfcheck.py  (24 prompts)" in shown
    limits = json.loads((tmp_path / "out" / "selfcheck" / "settings.json").read_text(encoding="utf-8"))["limits_ms"]
    assert limits == {"first_token": None, "token": None, "answer": 50.0, "load": None}


def test_an_unknown_exporter_names_the_installed_ones(project, tmp_path, capsys):
    recipe = str(project / "tones" / "lora.yaml")
    assert main(["export", recipe, str(tmp_path / "out"), "--exporter", "onx"]) == 2
    assert "Did you mean 'onnx'?" in capsys.readouterr().err


def test_ids_beyond_the_vocabulary_and_a_missing_provider_are_errors(folder):
    model = Model(folder)
    for ids in ([[-1, 5]], [[5, 260]]):
        with pytest.raises(ValueError, match="another tokenizer"):
            model.run(np.asarray(ids), np.ones((1, 2), dtype=np.int64), model.no_past(1))
    with pytest.raises((RuntimeError, ValueError), match="CUDAExecutionProvider"):
        Model(folder, provider="CUDAExecutionProvider")


def test_options_that_depend_on_the_row_have_no_fixed_texts(run, folder):
    examples = run.examples()
    mixed = (examples[0], replace(examples[1], option_texts=(" glad here", " sad here")))
    model = load(run.onnx("fp32").checkpoint)
    assert task_of(run.recipe, mixed, model.tokenizer, read_facts(folder)).option_texts is None
    assert task_of(run.recipe, examples, model.tokenizer, read_facts(folder)).option_texts == (" glad now", " sad now")
