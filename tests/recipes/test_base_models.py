"""Base models: which folder or hub id is meant, what makes one unusable, what identifies it."""

import json
from dataclasses import replace

import pytest

from slmcheck import recipes
from slmcheck.errors import RecipeError
from slmcheck.recipes.base_models import base_model_problem, context_tokens_of, folder_of

COMMIT = "0123456789" * 4


@pytest.fixture
def recipe(write_recipe):
    return recipes.load(write_recipe())


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_the_embedded_model_is_part_of_the_package(recipe):
    base = recipes.base_model_of(replace(recipe, base_model="slmcheck/tiny"))
    assert base.is_local
    assert (base.folder / "config.json").is_file()
    assert base.location == str(base.folder)


def test_an_unknown_embedded_model_lists_those_there_are(recipe):
    with pytest.raises(RecipeError, match=r"does not come with slmcheck \(embedded: tiny\)"):
        recipes.base_model_of(replace(recipe, base_model="slmcheck/large"))


@pytest.mark.parametrize("name", ["./base", "../{folder}/base", "{absolute}/base"])
def test_a_folder_is_relative_to_the_recipe(recipe, base_folder, name):
    written = name.format(folder=base_folder.parent.name, absolute=base_folder.parent)
    assert folder_of(replace(recipe, base_model=written)) == base_folder


def test_the_identity_of_a_folder_is_its_files_wherever_they_lie(recipe, base_folder, tmp_path):
    before = recipes.base_model_of(recipe).identity
    assert [entry[0] for entry in before["files"]] == ["config.json", "model.safetensors", "tokenizer.json"]
    moved = base_folder.rename(tmp_path / "moved")
    (moved / "README.md").write_text("notes do not count")
    assert recipes.base_model_of(replace(recipe, base_model="./moved")).identity == before


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_changed_file_changes_the_identity(recipe, base_folder, name):
    before = recipes.base_model_of(recipe)
    (base_folder / name).write_text('{"a": 1}')
    after = recipes.base_model_of(recipe)
    assert after.identity != before.identity
    assert after.checkpoint().key != before.checkpoint().key


def test_a_store_may_remember_the_hashes(recipe):
    asked = []
    recipes.base_model_of(recipe, file_digest=lambda path: asked.append(path.name) or "0")
    assert asked == ["config.json", "model.safetensors", "tokenizer.json"]


def problem_of(recipe, base_folder, *, remove=(), add=()):
    for name in remove:
        (base_folder / name).unlink()
    for name, text in add:
        (base_folder / name).write_text(text)
    return base_model_problem(recipe)


def test_a_folder_without_weights_is_refused(recipe, base_folder):
    assert problem_of(recipe, base_folder, remove=["model.safetensors"]) == (
        f"base_model './base' has no weights: there is no .safetensors file in {base_folder}"
    )


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt"])
def test_pickled_weights_alone_are_refused(recipe, base_folder, name):
    problem = problem_of(recipe, base_folder, remove=["model.safetensors"], add=[(name, "x")])
    assert problem.startswith(f"base_model './base' has pickled weights only ({name} in {base_folder}), which can run")
    with pytest.raises(RecipeError, match="pickled weights only"):
        recipes.check(recipe)


def test_a_folder_without_configuration_or_tokenizer_is_refused(recipe, base_folder):
    assert "has no tokenizer" in problem_of(recipe, base_folder, remove=["tokenizer.json"])
    assert "has no config.json" in problem_of(recipe, base_folder, remove=["config.json"])


def test_a_missing_part_of_the_weights_is_named(recipe, base_folder):
    index = json.dumps({"weight_map": {"a": "model.safetensors", "b": "model-00002.safetensors"}})
    problem = problem_of(recipe, base_folder, add=[("model.safetensors.index.json", index)])
    assert "model-00002.safetensors is not in" in problem


def test_an_adapter_is_no_base_model(recipe, base_folder):
    problem = problem_of(recipe, base_folder, remove=["config.json"], add=[("adapter_config.json", "{}")])
    assert "is an adapter" in problem


def test_a_folder_written_like_a_hub_id_says_how_to_write_it(recipe, tmp_path):
    (tmp_path / "models" / "mine").mkdir(parents=True)
    assert base_model_problem(replace(recipe, base_model="models/mine")).endswith("write './models/mine'")


@pytest.mark.parametrize("name", ["org/name/more", "org/name@", "my model", "~/base"])
def test_a_name_that_is_neither_is_refused(recipe, name):
    assert "neither a hub id" in base_model_problem(replace(recipe, base_model=name))


def test_a_hub_id_pinned_to_a_commit_needs_nothing_on_this_machine(recipe, hub):
    base = recipes.base_model_of(replace(recipe, base_model=f"org/name@{COMMIT}"))
    assert base.identity == {"repository": "org/name", "commit": COMMIT}
    assert (base.location, base.folder, base.is_local) == (f"org/name@{COMMIT}", None, False)


def test_a_hub_id_is_resolved_by_the_cache_without_network(recipe, hub):
    folder = hub / "models--org--name"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    snapshot = folder / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text('{"text_config": {"max_position_embeddings": 99}}')
    recipe = replace(recipe, base_model="org/name")
    base = recipes.base_model_of(recipe)
    assert (base.revision, base.folder) == (COMMIT, snapshot)
    assert context_tokens_of(recipe) == 99


def test_a_hub_id_that_nobody_knows_says_how_to_pin_or_download_it(recipe, hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        RecipeError, match=r"Pin it to a commit .*\nDownload it where there is a network: hf download org/name"
    ):
        recipes.base_model_of(replace(recipe, base_model="org/name"))


def test_the_base_model_is_a_checkpoint(recipe, base_folder):
    checkpoint = recipes.base_model_of(recipe).checkpoint()
    assert (checkpoint.kind, checkpoint.path, len(checkpoint.key)) == ("model", base_folder, 64)
