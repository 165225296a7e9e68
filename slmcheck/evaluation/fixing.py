"""Findings -> a recipe file that carries out their remedies."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from slmcheck import recipes
from slmcheck.data.sources import parse_source
from slmcheck.diagnosis import flattened
from slmcheck.errors import InputError
from slmcheck.recipes import patched
from slmcheck.recipes.documents import read_document
from slmcheck.records import Finding, Json, Recipe, to_json

_LOCAL = ("./", "../")
_SOURCES = ("train", "validation", "test")


def patch_of(findings: Sequence[Finding]) -> dict[str, Json]:
    """The recipe fields that the remedies change: of every problem that is a cause, else of the first warning.

    Of two remedies of one field the earlier stays, because its cause comes first.
    """
    found: dict[str, Json] = {}
    for finding in findings:
        if finding.severity == "problem":
            found = {**finding.recipe_patch, **found}
    if found:
        return found
    warnings = [finding for finding in flattened(findings) if finding.severity != "note" and finding.recipe_patch]
    return dict(warnings[0].recipe_patch) if warnings else {}


def write_recipe(recipe: Recipe, findings: Sequence[Finding], target: Path) -> Mapping[str, Json]:
    """Write the recipe with the remedies of findings; paths in it stay true from where it is written.

    Args:
        recipe: A recipe that was read from a file.
        findings: What a diagnosis gave.
        target: A file that does not exist, `.yaml` or `.json`.

    Returns:
        The fields that were changed.

    Raises:
        InputError: If no finding changes the recipe, the recipe has no file, or the target cannot be written.
        RecipeError: If the changed recipe cannot be carried out.
    """
    patch = patch_of(findings)
    if not patch:
        raise InputError(
            f"No finding of '{recipe.name}' has a change of the recipe; nothing was written.\n"
            f"What they ask for is an edit of rows or of a model: slmcheck diagnose {recipe.name}"
        )
    if target.exists() or target.suffix not in (".yaml", ".yml", ".json"):
        expected = "exists already" if target.exists() else "is no .yaml or .json file"
        raise InputError(f"'{target}' {expected}; nothing was written.\nName a new file: --write-recipe fixed.yaml")
    if recipe.path is None or not recipe.path.is_file():
        raise InputError(f"'{recipe.name}' was not read from a file, so there is none to write again.")
    patched(recipe, patch)  # refuses a change that the fields do not allow
    plain = read_document(recipe.path).root.plain()
    assert isinstance(plain, dict)
    document = _moved(plain, recipe.path.absolute().parent, target.absolute().parent)
    for name, value in patch.items():
        _set(document, name.split("."), to_json(value))
    _drop_rivals(document, patch)
    causes = ", ".join(finding.cause for finding in findings if finding.recipe_patch) or "its findings"
    text = f"# {recipe.name} with the remedy of {causes}.\n" if target.suffix != ".json" else ""
    target.write_text(text + _text(document, target), encoding="utf-8")
    recipes.load(target)
    return patch


def _set(document: dict[str, object], path: Sequence[str], value: object) -> None:
    if len(path) == 1:
        document[path[0]] = value
        return
    inner = document.setdefault(path[0], {})
    assert isinstance(inner, dict)
    _set(inner, path[1:], value)


def _drop_rivals(document: dict[str, object], patch: Mapping[str, Json]) -> None:
    """Fields of which only one may be given: the patched one stays."""
    for one, other in (("num_train_epochs", "max_steps"), ("warmup_ratio", "warmup_steps"), ("bf16", "fp16")):
        for kept, dropped in ((one, other), (other, one)):
            if kept in patch and dropped in document and dropped not in patch:
                del document[dropped]


def _moved(document: dict[str, object], old: Path, new: Path) -> dict[str, object]:
    """The document with relative paths as they read from another folder."""
    if old == new:
        return document
    moved = dict(document)
    data = dict(found) if isinstance(found := moved.get("data"), dict) else {}
    for name in _SOURCES:
        value = data.get(name)
        if isinstance(value, str):
            data[name] = _source(value, old, new)
        elif isinstance(value, list):
            data[name] = [_source(str(item), old, new) for item in value]
    template = data.get("chat_template")
    if isinstance(template, str) and "{" not in template:
        data["chat_template"] = _path(template, old, new)
    if data:
        moved["data"] = data
    base = moved.get("base_model")
    if isinstance(base, str) and base.startswith(_LOCAL):
        moved["base_model"] = _path(base, old, new)
    loss = moved.get("loss")
    if isinstance(loss, str) and ".py:" in loss:
        file, _, name = loss.rpartition(":")
        moved["loss"] = f"{_path(file, old, new)}:{name}"
    options = moved.get("options")
    if isinstance(options, dict):
        local = {name: value for name, value in options.items() if isinstance(value, str) and value.startswith(_LOCAL)}
        moved["options"] = {**options, **{name: _path(value, old, new) for name, value in local.items()}}
    return moved


def _source(text: str, old: Path, new: Path) -> str:
    if parse_source(text, old).path is None:
        return text  # a hub data set
    body, bracket, part = text.partition("[")
    return _path(body, old, new) + bracket + part


def _path(text: str, old: Path, new: Path) -> str:
    if Path(text).is_absolute():
        return text
    moved = Path(os.path.relpath(old / text, new)).as_posix()
    return moved if moved.startswith("../") or not text.startswith("./") else f"./{moved}"


def _text(document: Mapping[str, object], target: Path) -> str:
    if target.suffix == ".json":
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    import yaml

    text: str = yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True, width=110)
    return text
