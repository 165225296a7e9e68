"""A recipe of another tool -> a new suite: our recipe with a comment for each key that changed, and tests."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from slmcheck import recipes
from slmcheck.data import load_splits
from slmcheck.data.sources import parse_source
from slmcheck.errors import DataError, InputError
from slmcheck.evaluation.naming import name_of
from slmcheck.evaluation.starting import (
    PRIMARY,
    check_name,
    folder_text,
    move_files,
    refuse_existing,
    relative_source,
    text_for_rows,
)
from slmcheck.evaluation.suite_text import suite_text
from slmcheck.metrics import METRICS
from slmcheck.recipes.foreign import Bound, Note, Reading, reader_of
from slmcheck.recipes.writing import fields_text
from slmcheck.records import Json, Recipe, Task

_FORMS = {
    "at_least": "run.{metric} >= {value:g}",
    "at_most": "run.{metric} <= {value:g}",
    "no_worse_than_baseline": "run.{metric}.no_worse_than(baseline.{metric}, margin={value:g})",
    "better_than_base": "run.{metric}.better_than(run.base.{metric}, by={value:g})",
}
_BOUND = """

def test_{name}({arguments}) -> None:
    # {key}
    assert {claim}
"""


@dataclass(frozen=True, kw_only=True)
class Translated:
    """What was written for a recipe of another tool."""

    folder: Path
    files: tuple[Path, ...]
    task: Task
    notes: tuple[Note, ...]
    bounds: tuple[Bound, ...]

    @property
    def run(self) -> str:
        """The name of the run that the new recipe makes."""
        return name_of(self.files[0])


def start_from(
    tool: str,
    name: str,
    sources: Sequence[str],
    *,
    test: str | None = None,
    model: str | None = None,
    task: Task | None = None,
    home: Path = Path("suites"),
) -> Translated:
    """Write `<home>/<name>/<trainer>.yaml` and a test file beside it; existing files are never touched.

    Args:
        tool: Name of the reader plugin.
        name: Of the suite: letters, digits, `_` and `-`.
        sources: Files or command lines of the tool; a later one changes what the earlier ones say.
        test: File with rows for evaluation, relative to the current folder.
        model: Base model, in place of that of the tool, as in a recipe but relative to the current folder.
        task: In place of that of the tool.
        home: Folder of suites.

    Raises:
        InputError: If the name cannot be used, or files are there already.
        RecipeError: If a key has no place in a recipe, or the recipe cannot be carried out.
    """
    check_name(name)
    folder = home / name
    reading = reader_of(tool).read(sources, folder)
    if test is not None:  # what the reader says of missing test rows is settled
        reading = replace(reading, notes=tuple(note for note in reading.notes if note.key != "test"))
    if "base_model" not in reading.fields:
        raise InputError(
            f"{', '.join(sources)} names no base model and no data: it is a part of a recipe.\n"
            f"Give it together with the file or command that it changes: --from-{tool} WHOLE --from-{tool} PART"
        )
    fields = _settled(reading, folder, test=test, model=model, task=task)
    files = (Path(f"{fields['trainer']}.yaml"), Path(f"test_{name.replace('-', '_')}.py"))
    refuse_existing(folder, [str(file) for file in files])
    home.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=home))
    try:
        text = fields_text(fields, [_origin(tool, sources), *map(str, reading.notes)])
        (scratch / files[0]).write_text(text, encoding="utf-8")
        recipe = recipes.load(scratch / files[0], name=f"{name}/{files[0].stem}")
        suite, problem = _suite(recipe, reading.bounds)
        if problem is not None:
            reading = replace(reading, notes=(*reading.notes, problem))
        (scratch / files[1]).write_text(suite, encoding="utf-8")
        move_files(scratch, folder, [folder / file for file in files])
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Translated(
        folder=folder,
        files=tuple(folder / file for file in files),
        task=recipe.task,
        notes=reading.notes,
        bounds=reading.bounds,
    )


def _origin(tool: str, sources: Sequence[str]) -> str:
    return f"Read from {tool}: {' and '.join(' '.join(source.split()) for source in sources)}"


def _settled(
    reading: Reading, folder: Path, *, test: str | None, model: str | None, task: Task | None
) -> dict[str, Json]:
    """The fields with what was said on the command line."""
    fields = dict(reading.fields)
    data = fields.get("data")
    if test is not None and isinstance(data, dict):
        data = {name: value for name, value in data.items() if name != "evaluate_on"}
        fields["data"] = {**data, "test": relative_source(test, folder)}
    if model is not None:
        path = Path(model).expanduser()
        fields["base_model"] = folder_text(path, folder) if path.is_dir() else model
    if task is not None:
        fields["task"] = task
    return fields


def _suite(recipe: Recipe, bounds: Sequence[Bound]) -> tuple[str, Note | None]:
    """The test file; its thresholds and margins are what the rows can support, where they are at hand and sound."""
    known, primary = METRICS[recipe.task], PRIMARY[recipe.task]
    for bound in bounds:
        if bound.metric not in known:
            raise InputError(
                f"'{bound.metric}' ({bound.key}) is no metric of task '{recipe.task}'.\n"
                f"Its metrics: {', '.join(known)}.\n"
                "Say another task with --task, or remove the goal."
            )
    splits, problem = None, None
    if _has_test_rows(recipe):
        try:
            splits = load_splits(recipe)
        except DataError as error:
            told = " ".join(str(error).splitlines()[:2]).rstrip(".")
            problem = Note(key="data", text=f"thresholds are not those of the rows, which cannot be used yet: {told}")
    if splits is not None:
        text = text_for_rows(recipe, splits)
    else:
        text = suite_text(recipe, primary=primary, levels=(), margin=known[primary].info.margin, rows=None, gap=None)
    return text + _bounds(bounds), problem


def _has_test_rows(recipe: Recipe) -> bool:
    """Whether there are test rows, and all rows are files that are there."""
    validation = recipe.data.validation if isinstance(recipe.data.validation, tuple) else ()
    sources = [parse_source(text, recipe.directory) for text in (*recipe.data.train, *validation, *recipe.data.test)]
    return bool(recipe.data.test) and all(source.path is not None and source.path.is_file() for source in sources)


def _bounds(bounds: Sequence[Bound]) -> str:
    parts, seen = [], Counter[str]()
    for bound in bounds:
        name = f"{bound.metric}_is_{bound.form}" if bound.form.startswith("at_") else f"{bound.metric}_{bound.form}"
        seen[name] += 1
        if seen[name] > 1:
            name = f"{name}_{seen[name]}"
        arguments = "run: Run, baseline: Baseline" if bound.form == "no_worse_than_baseline" else "run: Run"
        claim = _FORMS[bound.form].format(metric=bound.metric, value=bound.value)
        parts.append(_BOUND.format(name=name, arguments=arguments, key=bound.key, claim=claim))
    return "".join(parts)
