"""An export that a suite holds: judged as a whole, made here or by another tool."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slmcheck import Run, Store, Workspace, open_recipe
from slmcheck.errors import CheckpointError, InputError, OfflineMissError, PredictionError, UndefinedScoreError
from slmcheck.export import foreign_graph
from slmcheck.records import DataSpec, EvaluationSpec, Recipe

WORDS = ["price", "reply", "order", "ünïcode", "late", "twice"]


def run_of(model: Path, folder: Path) -> Run:
    """A run of a model that was trained elsewhere, with a few prompts to write on."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"q": f"{word} {place}", "a": word}) for place, word in enumerate(WORDS * 2)]
    (folder / "rows.jsonl").write_text("\n".join(lines), "utf-8")
    recipe = Recipe(
        name="own/pretrained",
        base_model=str(model),
        trainer="pretrained",
        task="generation",
        data=DataSpec(
            train=(str(folder / "rows.jsonl"),),
            test=(str(folder / "rows.jsonl"),),
            text_template="Q: {q}\nA: {a}",
            answer="a",
        ),
        options={"model": str(model)},
        evaluation=EvaluationSpec(max_new_tokens=8),
        path=folder / "pretrained.yaml",
    )
    return open_recipe(recipe, Workspace(root=folder, store=Store(folder / "store")))


@pytest.fixture(scope="module")
def run(exported_model, tmp_path_factory) -> Run:
    return run_of(exported_model[0], tmp_path_factory.mktemp("exported"))


@pytest.fixture
def graph(exported_model, tmp_path) -> Path:
    """The bare graph file, without the description that slmcheck writes."""
    return Path(shutil.copy(exported_model[1] / "model.onnx", tmp_path / "mine.onnx"))


def test_a_graph_of_another_tool_is_judged_like_an_export(run, graph):
    view = run.onnx(graph)
    assert view.precision == "fp32"
    assert view.judgement
    assert float(view.divergence) == 0.0
    assert {check.subject for check in view.judgement.checks} == {"export", "conditions", "texts"}
    assert "within the tolerances of fp32" in repr(view.judgement)
    assert float(view.metric_delta("exact_match")) == 0.0
    assert view.equivalent("exact_match")


def test_a_folder_with_one_graph_is_taken_too(run, graph):
    assert run.onnx(graph.parent).checkpoint.key == run.onnx(graph).checkpoint.key


def test_a_wrong_graph_is_judged_wrong(run, graph):
    import onnx
    from onnx import numpy_helper

    model = onnx.load(graph)
    largest = max(model.graph.initializer, key=lambda one: np.prod(one.dims))
    array = numpy_helper.to_array(largest).copy()
    array[7] += 0.3
    largest.CopyFrom(numpy_helper.from_array(array, largest.name))
    onnx.save(model, graph)
    found = run.onnx(graph).judgement
    assert not found
    assert "logit_max" in {check.name for check in found.failed}
    assert "beyond the tolerances of fp32" in repr(found)
    assert "slmcheck parity RUN --locate" in repr(found)


def test_a_slice_of_an_export_is_compared_with_the_same_slice(run, graph):
    with pytest.raises(UndefinedScoreError, match="no slice 'short'"):
        run.onnx(graph).slice("short")


def test_a_run_without_adapter_has_no_merge_to_judge(run, graph):
    with pytest.raises(UndefinedScoreError, match="has no adapter"):
        _ = run.onnx(graph).merged


def test_a_plain_graph_has_no_tokenizer_of_its_own(run, graph):
    with pytest.raises(UndefinedScoreError, match="no GenAI folder"):
        _ = run.onnx(graph).served


def test_a_comparison_that_was_kept_needs_no_model(run, graph):
    view = run.onnx(graph)
    expected = view.judgement
    offline = replace(run.workspace, offline=True)
    again = Run(run.records, run.splits, offline).onnx(graph)
    assert again.judgement == expected


def test_a_comparison_that_was_not_kept_is_no_agreement_offline(run, graph, tmp_path):
    view = run.onnx(graph)
    offline = replace(run.workspace, offline=True, store=Store(tmp_path / "other"))
    with pytest.raises(OfflineMissError, match="offline"):
        _ = type(view)(
            view.subject, Run(run.records, run.splits, offline), record=run.record, exported=view.checkpoint
        ).kl


@pytest.mark.parametrize("name", ["nothing.onnx", "folder/of/nothing"])
def test_a_path_that_is_not_there_is_named(run, name):
    with pytest.raises(InputError, match="There is no graph at"):
        run.onnx(Path(name))


def test_several_graphs_in_a_folder_must_be_told_apart(run, graph):
    shutil.copy(graph, graph.with_name("other.onnx"))
    with pytest.raises(InputError, match=r"mine\.onnx, other\.onnx(?s:.)*--onnx"):
        run.onnx(graph.parent)


def test_the_graph_of_another_model_is_refused_before_it_runs(graph, random_model, tmp_path):
    other = run_of(random_model("llama", num_key_value_heads=2, vocab_size=300), tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"expected +found(?s:.)*logits .*300"):
        other.onnx(graph)


def test_a_file_that_is_changed_later_is_another_graph(run, graph):
    import onnx
    from onnx import numpy_helper

    first = run.onnx(graph).checkpoint.key
    model = onnx.load(graph)
    largest = max(model.graph.initializer, key=lambda one: np.prod(one.dims))
    weights = numpy_helper.to_array(largest).astype(np.float32).tobytes()
    content = bytearray(graph.read_bytes())
    start = content.index(weights)
    content[start + 1000 : start + 2000] = bytes(1000)  # onnxruntime reads it without a word
    graph.write_bytes(content)
    view = run.onnx(graph)
    assert view.checkpoint.key != first
    assert not view.judgement


def test_a_genai_configuration_without_its_graph_is_named(tmp_path):
    (tmp_path / "genai_config.json").write_text('{"model": {"decoder": {"filename": "gone.onnx"}}}', "utf-8")
    with pytest.raises(CheckpointError, match=r"names the graph 'gone\.onnx', which is not there"):
        foreign_graph(tmp_path)
    (tmp_path / "genai_config.json").write_text("{", "utf-8")
    with pytest.raises(CheckpointError, match=r"genai_config\.json cannot be read"):
        foreign_graph(tmp_path)


Edit = Callable[[Path], None]


@pytest.fixture(scope="module")
def genai(tmp_path_factory) -> tuple[Run, Path]:
    """A run whose tokenizer puts nothing before a text, and the folder that the builder makes of its model."""
    pytest.importorskip("onnxruntime_genai", reason="needs the extra genai")
    from tests.conftest import _save_random_model

    home = tmp_path_factory.mktemp("genai")
    model, folder = home / "model", home / "folder"
    model.mkdir()
    sizes = {"hidden_size": 64, "num_key_value_heads": 2, "tie_word_embeddings": False}
    _save_random_model(model, "llama", sizes)
    tokenizer = json.loads((model / "tokenizer.json").read_text("utf-8"))
    (model / "tokenizer.json").write_text(json.dumps({**tokenizer, "post_processor": None}), "utf-8")
    command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", str(model), "-o", str(folder)]
    done = subprocess.run(
        [*command, "-p", "fp32", "-e", "cpu", "-c", str(home / "cache")], capture_output=True, check=False
    )
    assert (folder / "genai_config.json").is_file(), done.stderr.decode()[-500:]
    return run_of(model, home / "run"), folder


@pytest.fixture
def altered(genai, tmp_path) -> Callable[[str, Edit], Path]:
    """A copy of the folder of which one file was edited."""

    def copy(name: str, edit: Edit) -> Path:
        folder = Path(shutil.copytree(genai[1], tmp_path / "altered"))
        edit(folder / name)
        return folder

    return copy


def configured(**changes: object) -> Edit:
    def edit(file: Path) -> None:
        config = json.loads(file.read_text("utf-8"))
        for path, value in changes.items():
            part, _, name = path.partition("__")
            config[part][name] = value
        file.write_text(json.dumps(config), "utf-8")

    return edit


def failures(run: Run, folder: Path) -> dict[str, str]:
    return {check.name: check.says for check in run.onnx(folder).judgement.failed}


@pytest.mark.slow
def test_a_right_genai_folder_reads_and_writes_as_the_run_does(genai):
    run, folder = genai
    view = run.onnx(folder)
    assert view.served.token_differences == ()
    assert view.served.texts == view.served.same_texts == len(WORDS) * 2
    assert view.judgement, view.judgement
    assert {one.name for one in view.conditions if one.skipped} == {"left-padded"}


@pytest.mark.slow
def test_a_tokenizer_that_reads_otherwise_is_a_verdict_before_any_text(genai, altered):
    def swap(file: Path) -> None:
        content = json.loads(file.read_text("utf-8"))
        vocabulary = content["model"]["vocab"]
        vocabulary["e"], vocabulary["f"] = vocabulary["f"], vocabulary["e"]
        file.write_text(json.dumps(content), "utf-8")

    view = genai[0].onnx(altered("tokenizer.json", swap))
    assert view.served.texts is None
    assert len(view.served.token_differences) > 3
    first = view.served.token_differences[0]
    assert first.text.startswith("e")
    assert first.expected[0] == "e"
    assert first.found[0] == "f"
    found = {check.subject for check in view.judgement.failed}
    assert found == {"tokenizer"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("edit", "name", "says"),
    [
        (configured(model__eos_token_id=[2, 7]), "EOS ids that differ", "more [7]"),
        (configured(search__max_length=12), "longest prompt and answer", "raise search.max_length"),
        (configured(search__do_sample=True), "search settings that differ", "do_sample 1"),
        (configured(search__repetition_penalty=1.3), "search settings that differ", "repetition_penalty 1.3"),
    ],
    ids=["eos", "length", "sampling", "penalty"],
)
def test_what_a_genai_configuration_changes_is_named(genai, altered, edit, name, says):
    found = failures(genai[0], altered("genai_config.json", edit))
    assert says in found[name]


@pytest.mark.slow
def test_a_genai_folder_that_cannot_be_loaded_is_named(genai, altered):
    from slmcheck.backends.genai import GenaiFolder

    folder = altered("genai_config.json", configured(model__type="no_such_model"))
    with pytest.raises(CheckpointError, match="onnxruntime-genai cannot load"):
        GenaiFolder(folder)


@pytest.mark.slow
def test_messages_without_a_chat_template_are_named(genai):
    from slmcheck.backends.genai import GenaiFolder

    with pytest.raises(PredictionError, match="renders no messages"):
        GenaiFolder(genai[1]).render([{"role": "user", "content": "hi"}])
