"""The command line of a recipe: its placeholders, and what is wrong with them."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from difflib import get_close_matches

from slmcheck.records import Json, Recipe
from slmcheck.records.recipe import stage_of
from slmcheck_command import CommandOptions

PLACES = ("base_model", "train", "validation", "output_dir", "device")
"""Placeholders that the job fills in."""
NOT_PASSED = frozenset({"base_model", "task", "trainer", "data", "options", "seeds", "search", "examples"})
"""Fields of a recipe that are no setting of a training program."""
OPTIONAL = frozenset({"trust_remote_code", "save_steps"})

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def command_problems(recipe: Recipe, options: CommandOptions) -> list[str]:
    """What cannot be carried out, one sentence each; nothing is run."""
    if not options.command.strip():
        return ["options.command is missing; give the command line that trains, with {train} and {output_dir}"]
    try:
        words = shlex.split(options.command)
    except ValueError as error:
        return [f"options.command cannot be taken apart: {error}"]
    used, problems = _used(options.command)
    known = {**settings_of(recipe), **dict.fromkeys(PLACES), **options.values}
    for name in sorted(used - set(known)):
        close = get_close_matches(name, known, n=1)
        hint = f"; did you mean {{{close[0]}}}?" if close else f"; there are {', '.join(sorted(known))}"
        problems.append(f"options.command has the placeholder {{{name}}}, which nothing fills in{hint}")
    if "output_dir" not in used:
        problems.append("options.command has no {output_dir}; the command must leave its model where slmcheck looks")
    if "train" not in used and not options.files:
        problems.append(
            "options.command has neither {train} nor options.files, so the key of the run would know nothing of its "
            "data; name the files that the command reads in options.files"
        )
    problems += [
        f"{name} is set in the recipe, but options.command has no {{{name}}}, so it changes nothing; use or remove it"
        for name in _changed(recipe)
        if name not in used
    ]
    if recipe.seeds > 1 and "seed" not in used:
        problems.append("seeds is more than 1, but options.command has no {seed}, so all of them would be one model")
    problems += [
        f"options.files names '{name}', and there is no {recipe.directory / name}"
        for name in options.files
        if not (recipe.directory / name).exists()
    ]
    program = words[0] if words else ""
    if "{" not in program and shutil.which(program, path=None) is None and not (recipe.directory / program).is_file():
        problems.append(f"options.command starts '{program}', which is no program of this machine")
    return problems


def settings_of(recipe: Recipe) -> dict[str, Json]:
    """The fields of a recipe that a command may ask for, by name; None where the recipe leaves one out."""
    return {
        item.name: getattr(recipe, item.name)
        for item in fields(recipe)
        if stage_of(item) in ("training", "display")
        and item.name not in NOT_PASSED
        and item.name not in ("name", "path")
    } | {"max_length": recipe.data.max_length, "threads": recipe.threads}


def filled_in(options: CommandOptions, values: Mapping[str, Json]) -> list[str]:
    """The words of the command with its placeholders filled in; a value is never taken apart.

    Raises:
        KeyError: For a placeholder without a value.
    """
    return [_filled(word, values) for word in shlex.split(options.command)]


def _filled(word: str, values: Mapping[str, Json]) -> str:
    def value_of(match: re.Match[str]) -> str:
        if match[0] in ("{{", "}}"):
            return match[0][0]
        return _text(values[match[1]], match[1])

    return _PLACEHOLDER.sub(value_of, word)


def _text(value: Json, name: str) -> str:
    if value is None:
        raise KeyError(name)
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _used(command: str) -> tuple[set[str], list[str]]:
    used, problems = set[str](), []
    for match in _PLACEHOLDER.finditer(command):
        if match[0] in ("{", "}"):
            problems.append(f"options.command has a single '{match[0]}' at place {match.start()}; double it to mean it")
        elif match[1] is not None:
            used.add(match[1])
    return used, problems


def _changed(recipe: Recipe) -> list[str]:
    """Training settings of the recipe that are not the default."""
    return [
        item.name
        for item in fields(recipe)
        if stage_of(item) == "training"
        and item.name not in NOT_PASSED | OPTIONAL
        and item.name != "seed"
        and getattr(recipe, item.name) != _default(item)
    ]


def _default(item: Field[object]) -> object:
    return item.default_factory() if item.default_factory is not MISSING else item.default
