"""Which keys each field moves: a run is what was trained, predictions are what was asked, nothing else is identity."""

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from slmcheck import recipes
from slmcheck.data import Splits, load_splits, row_digest
from slmcheck.records import DataSpec, EvaluationSpec, Recipe, SearchRange, SearchSpec, SlicePredicate, stage_of

KINDS = ("options", "generate", "nll")


@pytest.fixture
def recipe(write_recipe, write_data):
    return recipes.load(write_recipe())


def run_key(recipe, splits=None, **versions):
    inputs = recipes.run_inputs(
        recipe, splits or load_splits(recipe), **{"trainer_version": 1, "training_version": 1, **versions}
    )
    return recipes.run_key(inputs)


def prediction_keys(recipe):
    """Keys of the sets and digests of the rows, by kind of prediction."""
    splits, keys = load_splits(recipe), {}
    for kind in KINDS:
        inputs = recipes.prediction_inputs(recipe, checkpoint_key="c", kind=kind, inference_version=1)
        rows = [row_digest(example, kind, recipe) for example in splits.of(splits.evaluation_split(recipe))]
        keys[kind] = (recipes.prediction_key(inputs), rows)
    return keys


def moved(before, after):
    """The names of the keys that differ: `run`, and the kinds of predictions."""
    one, other = prediction_keys(before), prediction_keys(after)
    names = {kind for kind in KINDS if one[kind] != other[kind]}
    return names | ({"run"} if run_key(before) != run_key(after) else set())


def changed(recipe, path, value):
    if len(path) == 1:
        return replace(recipe, **{path[0]: value})
    return replace(recipe, **{path[0]: replace(getattr(recipe, path[0]), **{path[1]: value})})


ALL = {"options", "generate", "nll"}
CHANGES = {
    # top level
    ("name",): ("other/name", set()),
    ("path",): (None, set()),  # every path of the recipe is made absolute below
    ("base_model",): ("slmcheck/tiny", {"run"}),
    ("task",): ("generation", {"run", "options"}),
    ("trainer",): ("full", {"run"}),
    ("options",): ({"r": 3}, {"run"}),
    ("labels",): (("sad", "glad"), {"options"}),
    ("seed",): (1, {"run"}),
    ("seeds",): (3, set()),
    ("trust_remote_code",): (True, {"run"}),
    ("learning_rate",): (1e-3, {"run"}),
    ("lr_scheduler_type",): ("linear", {"run"}),
    ("warmup_ratio",): (0.1, {"run"}),
    ("warmup_steps",): (10, {"run"}),
    ("num_train_epochs",): (2.0, {"run"}),
    ("max_steps",): (100, {"run"}),
    ("per_device_train_batch_size",): (4, {"run"}),
    ("gradient_accumulation_steps",): (2, {"run"}),
    ("gradient_checkpointing",): (True, {"run"}),
    ("weight_decay",): (0.1, {"run"}),
    ("max_grad_norm",): (0.5, {"run"}),
    ("optim",): ("sgd", {"run"}),
    ("bf16",): (True, {"run"}),
    ("fp16",): (True, {"run"}),
    ("early_stopping_patience",): (2, {"run"}),
    ("eval_steps",): (50, {"run"}),
    ("save_steps",): (50, set()),  # equals eval_steps, so it says nothing of its own
    ("loss",): ("losses.py:Mine", {"run"}),
    ("class_weights",): ({"glad": 2.0}, {"run"}),
    ("label_smoothing",): (0.1, {"run"}),
    ("logging_steps",): (1, set()),
    ("report_to",): ("tensorboard", set()),
    ("search",): (SearchSpec(space={"learning_rate": SearchRange(low=0.1, high=0.2)}), set()),
    ("examples",): ("none", set()),
    ("threads",): (2, set()),
    ("timeout_minutes",): (5.0, set()),
    # data: sources count by their rows
    ("data", "train"): (("more.jsonl",), {"run"}),
    ("data", "validation"): (("other.jsonl",), {"run"}),
    ("data", "test"): (("other.jsonl",), ALL),
    ("data", "text_template"): ("Text: {phrase}\nTone: {tone}", {"run", *ALL}),
    ("data", "messages"): (
        ({"role": "user", "content": "{phrase}"}, {"role": "assistant", "content": "{tone}"}),
        {"run", *ALL},
    ),
    ("data", "chat_template"): ("{{ messages }}", {"run"}),
    ("data", "chat_template_kwargs"): ({"thinking": False}, {"run"}),
    ("data", "template_date"): ("2025-01-01", {"run"}),
    ("data", "answer"): ("mood", {"run", *ALL}),
    ("data", "loss_on"): ("all", {"run"}),
    ("data", "max_length"): (64, {"run"}),
    ("data", "group"): ("other", {"run"}),
    ("data", "evaluate_on"): ("validation", ALL),
    ("data", "references"): ("tone", set()),
    ("data", "id"): ("other", set()),
    ("data", "slices"): ({"late": SlicePredicate(field="other", min=3)}, set()),
    # evaluation: each field moves the predictions that it decides
    ("evaluation", "normalization"): ("mean_bytes", {"options"}),
    ("evaluation", "few_shot"): (2, ALL),
    ("evaluation", "max_new_tokens"): (7, {"generate"}),
    ("evaluation", "stop"): (("\n",), {"generate"}),
    ("evaluation", "temperature"): (0.5, {"generate"}),
    ("evaluation", "top_p"): (0.5, {"generate"}),
    ("evaluation", "samples"): (3, {"generate"}),
    ("evaluation", "window"): (64, {"nll"}),
    ("evaluation", "stride"): (32, {"nll"}),
    ("evaluation", "batch_tokens"): (64, set()),
}


def test_every_field_of_a_recipe_is_changed_below():
    every = {(item.name,) for item in fields(Recipe)} - {("data",), ("evaluation",)}
    every |= {("data", item.name) for item in fields(DataSpec)}
    every |= {("evaluation", item.name) for item in fields(EvaluationSpec)}
    assert every == set(CHANGES)


@pytest.mark.parametrize("path", CHANGES, ids=".".join)
def test_a_changed_field_moves_exactly_its_keys(recipe, tmp_path, path):
    value, expected = CHANGES[path]
    rows = [{"phrase": f"new {n}", "tone": ("glad", "sad")[n % 2], "other": n} for n in range(6)]
    (tmp_path / "other.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "more.jsonl").write_text(
        (tmp_path / "train.jsonl").read_text() + (tmp_path / "other.jsonl").read_text()
    )
    if path == ("path",):
        value = recipe.path.parent / "renamed.yaml"
    assert moved(recipe, changed(recipe, path, value)) == expected


def test_stages_say_the_same_as_the_keys():
    records = {1: Recipe, 2: {"data": DataSpec, "evaluation": EvaluationSpec}}
    for path, (_, keys) in CHANGES.items():
        record = records[1] if len(path) == 1 else records[2][path[0]]
        stage = stage_of(next(item for item in fields(record) if item.name == path[-1]))
        assert ("run" in keys) == (stage == "training") or path == ("save_steps",), path
        assert not keys or stage in ("training", "evaluation"), path


def rewrite(path: Path, change) -> None:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    change(rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_field_that_the_template_does_not_use_moves_nothing(recipe, tmp_path):
    before = run_key(recipe), prediction_keys(recipe)
    for name in ("train.jsonl", "test.jsonl"):
        rewrite(tmp_path / name, lambda rows: [row.update(other="x") for row in rows])
    assert (run_key(recipe), prediction_keys(recipe)) == before


def test_a_moved_file_moves_nothing(recipe, tmp_path):
    before = run_key(recipe)
    (tmp_path / "train.jsonl").rename(tmp_path / "renamed.jsonl")
    assert run_key(changed(recipe, ("data", "train"), ("renamed.jsonl",))) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows[0].update(phrase="edited"),
        lambda rows: rows[0].update(tone="sad"),
        lambda rows: rows.reverse(),
        lambda rows: rows.pop(),
    ],
)
def test_a_changed_training_row_moves_the_run(recipe, tmp_path, change):
    before = run_key(recipe)
    rewrite(tmp_path / "train.jsonl", change)
    assert run_key(recipe) != before


def test_the_inputs_of_a_run_name_the_row_that_changed(recipe, tmp_path):
    recipe = changed(recipe, ("data", "validation"), ("test.jsonl",))
    versions = {"trainer_version": 1, "training_version": 1}
    before = recipes.run_inputs(recipe, load_splits(recipe), **versions)
    rewrite(tmp_path / "train.jsonl", lambda rows: rows[7].update(phrase="edited"))
    after = recipes.run_inputs(recipe, load_splits(recipe), **versions)
    differing = [n for n, (one, other) in enumerate(zip(before["train"], after["train"], strict=True)) if one != other]
    assert differing == [7]
    assert {name for name in before if before[name] != after[name]} == {"train"}


def test_a_corrected_test_label_predicts_nothing_again(recipe, tmp_path):
    before = run_key(recipe), prediction_keys(recipe)
    rewrite(tmp_path / "test.jsonl", lambda rows: rows[0].update(tone="sad"))
    after = run_key(recipe), prediction_keys(recipe)
    assert after[0] == before[0]
    assert after[1]["options"] == before[1]["options"]
    assert after[1]["generate"] == before[1]["generate"]


def test_new_test_rows_leave_the_others_where_they_are(recipe, tmp_path):
    before = prediction_keys(recipe)["options"]
    rewrite(tmp_path / "test.jsonl", lambda rows: rows.append({"phrase": "new", "tone": "sad"}))
    after = prediction_keys(recipe)["options"]
    assert after[0] == before[0]
    assert after[1][:-1] == before[1]


def test_defaults_that_are_spelled_out_are_the_same_run(recipe):
    spelled = replace(recipe, num_train_epochs=3.0, options=recipes.resolved_options(recipe))
    assert run_key(spelled) == run_key(recipe)


@pytest.mark.parametrize("version", ["trainer_version", "training_version"])
def test_a_new_version_of_the_training_code_moves_the_run(recipe, version):
    assert run_key(recipe, **{version: 2}) != run_key(recipe)


def test_the_content_of_the_base_model_moves_the_run(recipe, base_folder):
    before = run_key(recipe)
    (base_folder / "model.safetensors").write_bytes(b"other weights")
    assert run_key(recipe) != before


def test_the_content_of_a_file_that_an_option_names_moves_the_run(recipe, tmp_path):
    (tmp_path / "predictions.jsonl").write_text("{}")
    recipe = replace(recipe, options={"target_modules": "predictions.jsonl"})
    before = run_key(recipe)
    (tmp_path / "predictions.jsonl").write_text('{"a": 1}')
    assert run_key(recipe) != before


def test_an_option_that_names_a_model_of_a_hub_stands_for_its_commit(recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    recipe = replace(recipe, options={"target_modules": "org/name"})
    unknown = run_key(recipe)
    (tmp_path / "hub" / "models--org--name" / "refs").mkdir(parents=True)
    (tmp_path / "hub" / "models--org--name" / "refs" / "main").write_text("a" * 40)
    pinned = replace(recipe, options={"target_modules": f"org/name@{'a' * 40}"})
    assert run_key(recipe) != unknown
    assert run_key(recipe) == run_key(pinned)


def test_labels_decide_the_training_of_a_classification_head(recipe):
    recipe = replace(recipe, task="sequence_classification")
    assert run_key(replace(recipe, labels=("sad", "glad"))) != run_key(recipe)


def test_hub_rows_count_as_repository_commit_and_split_expression(recipe):
    splits = load_splits(recipe)
    identity = [{"repository": "org/set", "commit": "a" * 40, "config": None, "split": "train"}]
    of_hub = replace(splits, identities={"train": identity})
    fewer = Splits(train=splits.train[:3], validation=splits.validation[:1], identities={"train": identity})
    assert run_key(recipe, of_hub) == run_key(recipe, fewer)
    other = replace(of_hub, identities={"train": [{**identity[0], "commit": "b" * 40}]})
    assert run_key(recipe, of_hub) != run_key(recipe, other)
    larger_share = changed(recipe, ("data", "validation"), 0.3)
    assert run_key(recipe, of_hub) != run_key(larger_share, of_hub)


def test_a_sampled_answer_depends_on_the_seed_and_a_greedy_one_does_not(recipe):
    def key(seed, temperature):
        sampled = replace(recipe, seed=seed, evaluation=EvaluationSpec(temperature=temperature))
        return recipes.prediction_key(
            recipes.prediction_inputs(sampled, checkpoint_key="c", kind="generate", inference_version=1)
        )

    assert key(0, 0.0) == key(1, 0.0)
    assert key(0, 0.7) != key(1, 0.7)


@pytest.mark.parametrize(
    "change",
    [
        {"checkpoint_key": "d"},
        {"inference_version": 2},
        {"backend": "onnxruntime"},
        {"precision": "int8"},
        {"batch_invariant": True},
    ],
)
def test_checkpoint_backend_precision_and_version_are_part_of_a_prediction_set(recipe, change):
    asked = {"checkpoint_key": "c", "kind": "options", "inference_version": 1}
    before = recipes.prediction_key(recipes.prediction_inputs(recipe, **asked))
    assert recipes.prediction_key(recipes.prediction_inputs(recipe, **{**asked, **change})) != before


def test_keys_are_made_without_a_model_library(write_recipe, write_data):
    import subprocess
    import sys

    code = (
        "import sys; from slmcheck import recipes, data\n"
        f"recipe = recipes.load({str(write_recipe())!r})\n"
        "splits = data.load_splits(recipe)\n"
        "recipes.run_key(recipes.run_inputs(recipe, splits, trainer_version=1, training_version=1))\n"
        "heavy = {'torch', 'transformers', 'tokenizers', 'datasets', 'pyarrow', 'jinja2', 'scipy', 'sklearn'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
