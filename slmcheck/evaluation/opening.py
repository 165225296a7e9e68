"""What users call a model or a run -> something that is scored; never trains."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from slmcheck import pipeline, recipes, training
from slmcheck.data import Splits, load_examples, load_splits
from slmcheck.data.readers import read_sources
from slmcheck.data.sources import parse_source
from slmcheck.discovery import TRAINERS, find_plugin
from slmcheck.errors import DataError, InputError, OfflineMissError, UnknownRunError
from slmcheck.evaluation.naming import (
    Named,
    closest_name,
    find_named,
    is_recipe_file,
    look_up,
    name_of,
    project_root,
    recipe_paths,
)
from slmcheck.evaluation.run import Run
from slmcheck.evaluation.searched import settled
from slmcheck.evaluation.views import Subject, View
from slmcheck.recipes.base_models import EMBEDDED
from slmcheck.records import Checkpoint, DataSpec, Recipe, RunRecord, Task
from slmcheck.workspace import Workspace

Model = Run | View | Recipe | Path | str
"""A run, a recipe, the path of a recipe file, the name or key of a run, a model folder, an adapter folder, a hub id."""
Data = str | Path | Sequence[str | Path]
"""Files or hub data sets with split expressions, as in a recipe."""

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(?:@[\w./-]+)?$")
PROMPT_FIELDS = ("prompt", "reference")
"""Fields of rows that need no template: the prompt as it stands, and what counts as right."""


def workspace_for(*given: object, workspace: Workspace | None = None) -> Workspace:
    """The workspace of the project that a run or recipe lies in; of the current folder where nothing given is one.

    Models and rows may lie anywhere: they say nothing of the project.
    """
    if workspace is not None:
        return workspace
    for item in given:
        if isinstance(item, View):
            return item.workspace
    paths = [Path(item) for item in given if isinstance(item, str | Path)]
    paths += [item.path for item in given if isinstance(item, Recipe) and item.path is not None]
    return Workspace.at(project_root([path for path in paths if is_recipe_file(path)]))


def open_run(source: Recipe | Path | str, *, workspace: Workspace | None = None) -> Run:
    """The stored run of a recipe, a recipe file, a name or a key.

    Args:
        source: A recipe or its file; `<suite folder>/<recipe stem>`, or the stem where it is unique; or the first four
            or more digits of a run key.
        workspace: Where runs are looked up; None takes the project of the current folder.

    Raises:
        UnknownRunError: If it names no run or several, or a run that was not trained yet.
        RecipeError: If the recipe has problems.
        DataError: If rows cannot be used.
    """
    workspace = workspace_for(source, workspace=workspace)
    if isinstance(source, Recipe):
        return _stored_run(source, workspace)
    named = find_named(str(source), workspace.root, workspace.store)
    if named.record is not None:
        return _run_of_record(named, named.record, workspace)
    return _stored_run(recipes.load(named.recipe_path), workspace)


def recipe_view(recipe: Recipe, workspace: Workspace) -> View:
    """The rows of a recipe without any model: what a committed baseline is read with.

    Raises:
        DataError: If rows cannot be used.
    """
    subject = Subject(name=recipe.name.rpartition("/")[2], recipe=recipe, checkpoints=(), run_keys=())
    return View(subject, load_splits(recipe), workspace)


def _stored_run(recipe: Recipe, workspace: Workspace) -> Run:
    """The run of a recipe, its training forbidden; what needs no training is made."""
    recipe = settled(recipe, workspace)
    splits = load_splits(recipe)
    trains = bool(getattr(find_plugin(TRAINERS, recipe.trainer), "trains", True))
    finding = replace(workspace, offline=True, retrain=False) if trains else workspace
    try:
        records = [
            pipeline.finetune(replace(recipe, seed=recipe.seed + index, seeds=1), splits, finding)
            for index in range(recipe.seeds)
        ]
    except OfflineMissError as error:
        if not trains or workspace.offline:
            raise
        raise UnknownRunError(
            f"Recipe '{recipe.name}' has no run yet: it was not trained, or its recipe or rows changed since.\n"
            f"Store: {workspace.store.root}.\n"
            f"Train it: slmcheck train {recipe.path or recipe.name}"
        ) from error
    return Run([replace(record, recipe=recipe) for record in records], splits, workspace)


def _run_of_record(named: Named, record: RunRecord, workspace: Workspace) -> Run:
    """A run by its key: under the recipe it was trained with, on the rows that this recipe reads today."""
    recipe = replace(record.recipe, name=record.name, path=named.recipe_path)
    return Run([replace(record, recipe=recipe)], load_splits(recipe), workspace)


def open_model(
    model: Model,
    data: Data | None = None,
    *,
    recipe: Recipe | Path | str | None = None,
    task: Task | None = None,
    text_template: str | None = None,
    answer: str | None = None,
    workspace: Workspace | None = None,
) -> View:
    """A model on data, ready to be scored.

    Args:
        model: See `Model`.
        data: Rows to score; None takes the evaluation split of the recipe.
        recipe: Supplies template and settings for a model that has no recipe of its own.
        task: Task of a bare model; `generation` where the rows have `prompt` and `reference`.
        text_template: Template of a bare model.
        answer: Field of the rows that a bare model must produce.
        workspace: Where results are kept; None takes the project of the current folder.

    Raises:
        InputError: If the model is unknown, or a bare model has no template.
        DataError: If rows cannot be used.
    """
    workspace = workspace_for(model, recipe, workspace=workspace)
    run = _run_meant(model, workspace)
    if run is None:
        if recipe is None:
            settings = bare_recipe(str(model), data, task=task, text_template=text_template, answer=answer)
        else:
            settings = recipe_meant(recipe, workspace)
        return _bare(str(model), data, settings, workspace)
    given = {"recipe": recipe, "task": task, "text_template": text_template, "answer": answer}
    refused = [name for name, value in given.items() if value is not None]
    if refused:
        raise InputError(
            f"'{run.name}' is a run: its own recipe supplies {', '.join(refused)}.\n"
            "Leave that out, or name the folder of the model in place of the run."
        )
    return run if data is None else on_data(run, data)


def recipe_meant(recipe: Recipe | Path | str, workspace: Workspace) -> Recipe:
    """A recipe from its file or name.

    Raises:
        UnknownRunError: If there is none of that name.
        RecipeError: If it has problems.
    """
    if isinstance(recipe, Recipe):
        return recipe
    return recipes.load(find_named(str(recipe), workspace.root, workspace.store).recipe_path)


def _run_meant(model: Model, workspace: Workspace) -> View | None:
    """The run that a model is; None for a model folder, an adapter folder or a hub id."""
    if isinstance(model, View):
        return model
    if isinstance(model, Recipe):
        return open_run(model, workspace=workspace)
    text, path = str(model), Path(model)
    if path.is_dir() or text.startswith(EMBEDDED):
        return None
    if look_up(text, workspace.root, workspace.store) is not None:
        return open_run(model, workspace=workspace)
    is_hub_id = _HUB_ID.match(text) is not None and closest_name(text, workspace.root) is None
    if is_hub_id:
        return None
    known = ", ".join(map(name_of, recipe_paths(workspace.root))) or "none"
    close = closest_name(text, workspace.root)
    raise UnknownRunError(
        f"'{text}' is neither a run nor a model.\n"
        f"Recipes of {workspace.root}: {known}.{f' Did you mean {close!r}?' if close else ''}\n"
        "A run is a recipe file, a name (suite/recipe) or the first digits of a run key; "
        "a model is a folder or a hub id (org/name)."
    )


def on_data(view: View, data: Data) -> View:
    """A run on other rows under its own recipe, with the labels that it was trained with.

    Raises:
        DataError: If rows cannot be used.
    """
    recipe = _evaluating(view.recipe, data)
    examples = load_examples(recipe, recipe.data.test, "test", labels=view.splits.labels or None)
    splits = replace(view.splits, test=examples)
    return View(replace(view.subject, recipe=recipe), splits, view.workspace)


def bare_recipe(
    model: str, data: Data | None, *, task: Task | None, text_template: str | None, answer: str | None
) -> Recipe:
    """The recipe under which a model without one is scored.

    Raises:
        InputError: If there are no rows, or neither a template nor rows that need none.
        DataError: If no row can be read.
    """
    if data is None:
        raise InputError(f"'{model}' is no run, so it has no rows of its own.\nGive data, and a recipe or a template.")
    needs_none = text_template is None and answer is None and _has_prompts(data)
    if needs_none:
        prompt, reference = PROMPT_FIELDS
        text_template, answer = f"{{{prompt}}}{{{reference}}}", reference
    if text_template is None or (answer is None and task != "language_modeling") or (task is None and not needs_none):
        raise InputError(
            f"'{model}' is no run, so the template that its prompts are made with is not known.\n"
            "Give task, text_template and answer, or a recipe that has them.\n"
            f"Rows with the fields {' and '.join(PROMPT_FIELDS)} need none: the prompt is asked as it stands."
        )
    return Recipe(
        name=Path(model.partition("@")[0]).name,
        base_model=model,
        task=task or "generation",
        trainer="pretrained",
        data=DataSpec(text_template=text_template, answer=answer, test=_sources(data)),
    )


def _has_prompts(data: Data) -> bool:
    table = read_sources(_sources(data), Path(), "test")
    if not table.rows:
        listed = " ".join(f"{problem}." for problem in table.problems[:3])
        raise DataError(f"There are no rows to score in {', '.join(_sources(data))}.\n{listed}")
    return all(name in table.rows[0].values for name in PROMPT_FIELDS)


def _bare(model: str, data: Data | None, settings: Recipe, workspace: Workspace) -> View:
    """A model folder, adapter folder or hub id under the settings of a recipe."""
    recipe = settings if data is None else _evaluating(settings, data)
    if data is None:
        splits = load_splits(recipe)
    else:
        examples = load_examples(recipe, recipe.data.test, "test")
        splits = Splits(train=(), test=examples, labels=examples[0].options if examples else ())
    folder = Path(model).expanduser()
    checkpoint = _checkpoint_of(folder, recipe) if folder.is_dir() else _base_checkpoint(model, recipe)
    subject = Subject(name=folder.name, recipe=recipe, checkpoints=(checkpoint,), run_keys=(None,))
    return View(subject, splits, workspace)


def _evaluating(recipe: Recipe, data: Data) -> Recipe:
    """The recipe with other rows to score; paths are relative to the current folder, not to the recipe."""
    here = Path.cwd()
    sources = tuple(str(here / item) if parse_source(item, here).path is not None else item for item in _sources(data))
    return replace(recipe, data=replace(recipe.data, test=sources, evaluate_on=None))


def _checkpoint_of(folder: Path, recipe: Recipe) -> Checkpoint:
    settings = folder / "adapter_config.json"
    if not settings.is_file():
        return _base_checkpoint(str(folder.absolute()), recipe)
    if recipe.trainer == "pretrained" and recipe.path is None:
        recipe = replace(recipe, base_model=_base_of_adapter(settings))
    base = recipes.base_model_of(recipe)
    return training.adapter_checkpoint(folder.absolute(), base_model=base.location)


def _base_of_adapter(settings: Path) -> str:
    """The base model that an adapter names itself."""
    name = json.loads(settings.read_text(encoding="utf-8")).get("base_model_name_or_path")
    if not isinstance(name, str) or (name.startswith("./") and not Path(name).is_dir()):
        raise InputError(
            f"The adapter {settings.parent} names base model {name!r}, which cannot be found from here.\n"
            "Give the recipe that it was trained with: it says where its base model lies."
        )
    return str(Path(name).absolute()) if Path(name).is_dir() else name


def _base_checkpoint(name: str, recipe: Recipe) -> Checkpoint:
    return recipes.base_model_of(replace(recipe, base_model=name)).checkpoint()


def _sources(data: Data | None) -> tuple[str, ...]:
    if data is None:
        return ()
    return (str(data),) if isinstance(data, str | Path) else tuple(str(source) for source in data)
