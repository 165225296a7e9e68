"""Rows -> a new suite: a recipe, and tests whose thresholds and margins these very rows can support."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from slmcheck import gates, recipes
from slmcheck.data import Splits, load_splits, train_subset
from slmcheck.data.holdout import hold_out
from slmcheck.data.readers import read_sources
from slmcheck.data.tokenizers import TextTokenizer, read_tokenizer
from slmcheck.errors import DataError, InputError, MissingExtraError
from slmcheck.evaluation.naming import name_of
from slmcheck.evaluation.suite_text import GapBound, Level, suite_text
from slmcheck.gates import ScoreSource
from slmcheck.metrics import METRICS, majority, measure
from slmcheck.recipes import Proposal
from slmcheck.records import DataSpec, Example, Json, Recipe, Task
from slmcheck.statistics import provable_margin
from slmcheck.training.memory import read_shape

TEST_SHARE = 0.2
SMALL_MODEL = 50_000_000
"""Weights below which a model wants a higher learning rate."""
STEM = "lora"
ADAPTER_STEM = "adapter"
CLASSES = ("classification", "sequence_classification")
PRIMARY: Mapping[Task, str] = {
    "classification": "accuracy",
    "sequence_classification": "accuracy",
    "generation": "rougeL",
    "extraction": "f1",
    "language_modeling": "perplexity",
}
"""The metric that decides the release of a new suite."""
_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_-]*$")


@dataclass(frozen=True, kw_only=True)
class Started:
    """What was written for a new suite."""

    folder: Path
    files: tuple[Path, ...]
    task: Task
    reasons: tuple[str, ...]
    """Why the recipe is as it is, one sentence each."""
    rows: Mapping[str, int]
    primary: str
    majority: float | None
    """Score of the answer that is most frequent in the training rows; None where no answer repeats by nature."""
    margin: float
    """The margin that the evaluation rows can prove for an unchanged model."""


def start_suite(
    name: str,
    data: str,
    *,
    test: str | None = None,
    model: str | None = None,
    adapter: str | None = None,
    task: Task | None = None,
    home: Path = Path("suites"),
) -> Started:
    """Write `<home>/<name>/lora.yaml` and a test file beside it; existing files are never touched.

    For an adapter that exists already the recipe is `adapter.yaml`, and nothing will be trained. Then `data` are rows
    to evaluate on, or with `test` those that it was trained on.

    Args:
        name: Of the suite: letters, digits, `_` and `-`.
        data: File with rows, relative to the current folder.
        test: File with rows for evaluation only; without it a fifth of the rows is set aside, in files of the suite.
        model: Base model, as in a recipe but relative to the current folder; None is the embedded one, or that of the
            adapter.
        adapter: Folder of a PEFT adapter, relative to the current folder.
        task: Overrides what the rows suggest.
        home: Folder of suites.

    Raises:
        InputError: If the name cannot be used, files are there already, or the rows do not fit the task.
        DataError: If rows cannot be used.
        RecipeError: If the base model cannot be used.
    """
    check_name(name)
    folder = home / name
    stem = STEM if adapter is None else ADAPTER_STEM
    refuse_existing(folder, _targets(name, stem))
    rows = _rows(data)
    base = _base_model(model or ("slmcheck/tiny" if adapter is None else base_of_adapter(Path(adapter))), folder)
    tokenizer = _tokenizer(base.folder)
    context = _context(base.folder)
    count = None if tokenizer is None else (lambda text: len(tokenizer.tokenize(text)[0]))
    proposal = _for_task(recipes.propose(rows, name, context_tokens=context, count_tokens=count), task)
    home.mkdir(parents=True, exist_ok=True)
    # As deep as the suite will lie, so that relative paths mean the same before and after the move.
    scratch = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=home))
    try:
        if adapter is None:
            started = _write(scratch, folder, name, data, test, rows, proposal, base)
        else:
            started = _write_adopted(scratch, folder, name, data, test, proposal, base, Path(adapter))
        move_files(scratch, folder, started.files)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return started


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a suite.

    Raises:
        InputError: If it holds more than letters, digits, `_` and `-`.
    """
    if not _NAME.match(name):
        raise InputError(
            f"'{name}' cannot be the name of a suite.\nUse letters, digits, _ and -, a letter first: phrase_tone."
        )


def _targets(name: str, stem: str = STEM) -> tuple[str, ...]:
    return f"{stem}.yaml", f"test_{name.replace('-', '_')}.py"


def refuse_existing(folder: Path, names: Sequence[str]) -> None:
    """Refuse to write over files.

    Raises:
        InputError: If one of them is there.
    """
    there = [str(folder / name) for name in names if (folder / name).exists()]
    if there:
        raise InputError(
            f"{' and '.join(there)} {'is' if len(there) == 1 else 'are'} there already; nothing was written.\n"
            "Choose another name, or remove what is not needed any more."
        )


def _rows(data: str) -> list[Mapping[str, Json]]:
    table = read_sources((data,), Path(), "train")
    if table.problems:
        listed = " ".join(f"{problem}." for problem in table.problems[:3])
        what = f"{len(table.problems)} rows of '{data}'" if table.rows else f"'{data}'"
        raise DataError(f"{what} cannot be read.\n{listed}")
    return [row.values for row in table.rows]


@dataclass(frozen=True, kw_only=True)
class _Base:
    """The base model as the new recipe will name it."""

    name: str
    folder: Path | None


def _base_model(model: str, suite: Path) -> _Base:
    path = Path(model).expanduser()
    asked = str(path.absolute()) if path.is_dir() else model
    recipe = Recipe(name="", base_model=asked, task="generation", trainer="lora", data=DataSpec())
    found = recipes.base_model_of(recipe)
    if found.revision is not None:
        return _Base(name=f"{model.partition('@')[0]}@{found.revision}", folder=found.folder)
    if not path.is_dir():
        return _Base(name=model, folder=found.folder)
    return _Base(name=folder_text(path, suite), folder=found.folder)


def base_of_adapter(adapter: Path) -> str:
    """The base model that an adapter names in its configuration.

    Raises:
        InputError: If the folder is no PEFT adapter, or names none.
    """
    file = adapter / "adapter_config.json"
    try:
        named = json.loads(file.read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(
            f"'{adapter}' is no PEFT adapter: {file.name} cannot be read ({error}).\n"
            "Expected a folder with adapter_config.json and adapter_model.safetensors."
        ) from error
    if not isinstance(named, str) or not named:
        raise InputError(f"{file} does not say which base model it belongs to.\nName it: --model ID")
    return named


def folder_text(path: Path, suite: Path) -> str:
    """A folder as the recipe of a suite names it."""
    relative = os.path.relpath(path.absolute(), suite.absolute())
    return relative if relative.startswith("..") else f"./{relative}"


def _tokenizer(folder: Path | None) -> TextTokenizer | None:
    try:
        return None if folder is None else read_tokenizer(folder)
    except MissingExtraError:
        return None


def _context(folder: Path | None) -> int:
    """Longest sequence that the base model reads, in tokens; 512 where it does not say."""
    config = folder / "config.json" if folder is not None else None
    if config is None or not config.is_file():
        return 512
    found = json.loads(config.read_text(encoding="utf-8")).get("max_position_embeddings")
    return found if isinstance(found, int) else 512


def _for_task(proposal: Proposal, task: Task | None) -> Proposal:
    if task is None or task == proposal.task:
        return proposal
    if "language_modeling" in (task, proposal.task) or proposal.answer is None:
        raise InputError(
            f"The rows suggest the task {proposal.task}, and '{task}' cannot be made of it.\n"
            f"{' '.join(proposal.reasons)}\nRename the fields of the rows, or write the recipe yourself."
        )
    reasons = (*proposal.reasons, f"The task {task} was asked for.")
    return replace(proposal, task=task, reasons=reasons)


def _write(
    scratch: Path,
    folder: Path,
    name: str,
    data: str,
    test: str | None,
    rows: Sequence[Mapping[str, Json]],
    proposal: Proposal,
    base: _Base,
) -> Started:
    written = [Path(target) for target in _targets(name)]
    sources = {"train": relative_source(data, folder), "test": None if test is None else relative_source(test, folder)}
    recipe_file = scratch / written[0]
    shape = read_shape(base.folder) if base.folder is not None else None
    small = shape is None or shape.parameters < SMALL_MODEL

    def write_recipe() -> Recipe:
        text = recipes.recipe_text(
            proposal,
            train=str(sources["train"]),
            test=sources["test"],
            base_model=base.name,
            learning_rate=3e-3 if small else 2e-4,
            num_train_epochs=5 if small else 3,
        )
        recipe_file.write_text(text, encoding="utf-8")
        return recipes.load(recipe_file, name=f"{name}/{STEM}")

    recipe = write_recipe()
    splits = load_splits(recipe)
    if test is None:
        sources = {"train": "data/train.jsonl", "test": "data/test.jsonl"}
        written += _split_files(scratch, (*splits.train, *splits.validation), rows, recipe)
        recipe = write_recipe()
        splits = load_splits(recipe)
    return _finished(scratch, folder, written, recipe, splits, proposal)


def _write_adopted(
    scratch: Path,
    folder: Path,
    name: str,
    data: str,
    test: str | None,
    proposal: Proposal,
    base: _Base,
    adapter: Path,
) -> Started:
    """As `_write`, for an adapter that exists: all rows are evaluated unless others are named for that."""
    written = [Path(target) for target in _targets(name, ADAPTER_STEM)]
    recipe_file = scratch / written[0]
    train, evaluated = (None, data) if test is None else (data, test)
    reasons = (
        *proposal.reasons,
        "text_template must be the one that the adapter was trained with: this one is a guess.",
        *(
            ()
            if train is not None
            else ("Its training rows are not known: name them in data.train for gap and leaks.",)
        ),
    )
    guessed = replace(proposal, reasons=reasons)

    def write_recipe(labels: Sequence[str]) -> Recipe:
        text = recipes.recipe_text(
            guessed,
            train=None if train is None else relative_source(train, folder),
            test=relative_source(evaluated, folder),
            adapter=folder_text(adapter, folder),
            labels=labels,
            base_model=base.name,
        )
        recipe_file.write_text(text, encoding="utf-8")
        return recipes.load(recipe_file, name=f"{name}/{ADAPTER_STEM}")

    labels: tuple[str, ...] = ()
    if proposal.task in CLASSES and proposal.answer is not None and train is None:
        labels = tuple(sorted({str(row[proposal.answer]) for row in _rows(evaluated) if proposal.answer in row}))
    recipe = write_recipe(labels)
    return _finished(scratch, folder, written, recipe, load_splits(recipe), guessed)


def _finished(
    scratch: Path, folder: Path, written: Sequence[Path], recipe: Recipe, splits: Splits, proposal: Proposal
) -> Started:
    """Write the test file of a recipe that is there, and tell what was written."""
    levels, margin = _levels(recipe, splits), _margin(recipe, splits)
    primary = PRIMARY[recipe.task]
    (scratch / written[1]).write_text(text_for_rows(recipe, splits), encoding="utf-8")
    return Started(
        folder=folder,
        files=tuple(folder / path for path in written),
        task=recipe.task,
        reasons=proposal.reasons,
        rows={"train": len(splits.train), "validation": len(splits.validation), "test": len(splits.test)},
        primary=primary,
        majority=levels[0].majority if levels else None,
        margin=margin,
    )


def text_for_rows(recipe: Recipe, splits: Splits) -> str:
    """The test file that the rows of a recipe can support."""
    return suite_text(
        recipe,
        primary=PRIMARY[recipe.task],
        levels=_levels(recipe, splits),
        margin=_margin(recipe, splits),
        rows=len(splits.test),
        gap=_gap(recipe, splits),
    )


def relative_source(source: str, folder: Path) -> str:
    """A source of rows as the recipe of a suite names it."""
    body, bracket, part = source.partition("[")
    if not Path(body).is_file():
        return source  # a hub data set
    path = os.path.relpath(Path(body).absolute(), folder.absolute())
    return path + bracket + part


def _split_files(
    scratch: Path, examples: Sequence[Example], rows: Sequence[Mapping[str, Json]], recipe: Recipe
) -> list[Path]:
    """Set a fifth of the rows aside for the test, stratified by class, equal inputs on one side."""
    train, held = hold_out(examples, TEST_SHARE, stratified=recipe.task in CLASSES)
    (scratch / "data").mkdir()
    place = {id(row): number for number, row in enumerate(rows)}
    for name, chosen in (("train", train), ("test", held)):
        ordered = sorted((example.row for example in chosen), key=lambda row: place.get(id(row), 0))
        lines = [json.dumps(dict(row), ensure_ascii=False) for row in ordered]
        (scratch / "data" / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [Path("data/train.jsonl"), Path("data/test.jsonl")]


def _levels(recipe: Recipe, splits: Splits) -> tuple[Level, ...]:
    """Thresholds just above what the most frequent answer reaches: of the whole split first, then of each slice."""
    if recipe.task not in CLASSES:
        return ()
    metrics = METRICS[recipe.task]
    found = []
    for slice_name in (None, *recipe.data.slices):
        examples = [item for item in splits.test if slice_name is None or slice_name in item.slices]
        if not examples:
            continue
        predictions = majority(splits.train or splits.test, examples)
        for metric in ("accuracy", "f1") if slice_name is None else ("accuracy",):
            score = measure(metrics[metric], predictions, ScoreSource(name="majority", task=recipe.task))
            interval = score.interval
            found.append(
                Level(
                    metric=metric,
                    slice_name=slice_name,
                    majority=float(score),
                    low=interval[0] if interval else None,
                    high=interval[1] if interval else None,
                    n=len(examples),
                )
            )
    return tuple(found)


def _margin(recipe: Recipe, splits: Splits) -> float:
    """The margin within which these rows prove an unchanged model with 80 % probability, rounded up to .01.

    A metric of which nothing is known before the first run takes its own margin.
    """
    metric = METRICS[recipe.task][PRIMARY[recipe.task]].info
    planned = gates.plan(metric, len(splits.test))
    return metric.margin if planned is None else math.ceil(100 * planned.provable_margin - 1e-9) / 100


_SPREAD = 0.5
"""Variance of one row's difference between two models of which nothing is known: that of two fair coins."""


def _gap(recipe: Recipe, splits: Splits) -> GapBound | None:
    """The gap in accuracy that these rows can prove a model without one to keep, beyond the gap of its base model."""
    if recipe.task != "classification" or not splits.train:
        return None
    evaluation = len(splits.test)
    train = len(train_subset(splits, evaluation))
    # Two independent means: their variances add, as for one mean of so many examples.
    examples = 1.0 / (1.0 / train + 1.0 / evaluation)
    return GapBound(provable=provable_margin(_SPREAD, examples), train=train, evaluation=evaluation)


def move_files(scratch: Path, folder: Path, files: Sequence[Path]) -> None:
    """Put the files of a new suite in place."""
    relative = [path.relative_to(folder) for path in files]
    refuse_existing(folder, [str(path) for path in relative])
    for path in relative:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        os.replace(scratch / path, folder / path)


def run_name(started: Started) -> str:
    """The name of the run that the new recipe makes."""
    return name_of(started.files[0])
