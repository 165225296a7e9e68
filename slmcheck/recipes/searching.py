"""What the search of a recipe may be: which fields, which values; and the values that stand for a field in its key."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace

from slmcheck.errors import RecipeError
from slmcheck.recipes.patching import field_problem, patched
from slmcheck.recipes.structure import FieldPath, FieldProblem
from slmcheck.records import DataSpec, Json, Recipe, SearchRange, SearchSpec, stage_of

VALIDATION_LOSS = "validation_loss"
LARGEST = 10_000
"""Trials of one search, at most."""
_FIXED: Mapping[str, str] = {
    "seed": "it is no setting to choose: a lucky seed is not a better recipe (seeds: 3 repeats a recipe)",
    "task": "trials of different tasks cannot be compared",
    "data.train": "trials on different rows cannot be compared",
    "data.validation": "trials that validate on different rows cannot be compared",
    "data.answer": "trials with different answers cannot be compared",
}
_ENDS = ("low", "high")
Problems = Callable[[Recipe], Sequence[FieldProblem]]


def search_problems(recipe: Recipe, problems: Problems) -> Iterator[FieldProblem]:
    """Everything wrong with the search of a recipe.

    Args:
        recipe: The recipe; None of its other fields is looked at for itself.
        problems: What is wrong with a recipe without a search.
    """
    search = recipe.search
    if search is None:
        return
    yield from _whole(recipe, search)
    single = replace(recipe, search=None)
    known = {(problem.path, problem.text) for problem in problems(single)}
    for name, values in search.space.items():
        path = ("search", "space", name)
        refused = _field_refused(name)
        if refused is not None:
            yield FieldProblem(path, f"search.space: {refused}")
            continue
        wrong = list(_range(path, values))
        yield from wrong
        if wrong:
            continue
        told = set[str]()
        for place, value in _outermost(values):
            for text in _misfits(single, name, value, problems, known):
                if text not in told:
                    yield FieldProblem((*path, *place), f"search.space.{name}: {text}")
                told.add(text)


def canonical(recipe: Recipe) -> Recipe:
    """The recipe with the first value of each searched field and no search: equal for recipes that search alike."""
    assert recipe.search is not None
    first = {name: next(_outermost(values))[1] for name, values in recipe.search.space.items()}
    return replace(patched(recipe, first), search=None)


def _whole(recipe: Recipe, search: SearchSpec) -> Iterator[FieldProblem]:
    if not 1 <= search.num_trials <= LARGEST:
        text = f"search.num_trials is {search.num_trials}; expected at least 1 and at most {LARGEST}"
        yield FieldProblem(("search", "num_trials"), text)
    if not 0 <= search.seed < 2**32:
        yield FieldProblem(("search", "seed"), f"search.seed is {search.seed}; expected at least 0 and below 2**32")
    if not search.space:
        yield FieldProblem(("search", "space"), "search.space names no field to search, such as learning_rate")
    if recipe.evaluates_on_validation:
        text = (
            "search chooses by the validation rows, so scores must be of rows that it never saw: give data.test"
            if not recipe.data.test
            else "search chooses by the validation rows, and data.evaluate_on is 'validation'; leave evaluate_on out"
        )
        yield FieldProblem(("search",), text)


def _field_refused(name: str) -> str | None:
    if name in _FIXED:
        return f"'{name}' cannot be searched; {_FIXED[name]}"
    unknown = field_problem(name)
    if unknown is not None:
        return unknown
    path = name.split(".")
    if len(path) == 1 and path[0] in ("data", "evaluation", "options", "search", "seeds"):
        return f"'{name}' cannot be searched as a whole; name one field, as in {_EXAMPLES.get(name, 'learning_rate')}"
    stages = {item.name: stage_of(item) for item in fields(DataSpec if path[0] == "data" else Recipe)}
    if path[0] == "evaluation" or stages.get(path[-1] if path[0] == "data" else path[0], "training") != "training":
        return f"'{name}' decides nothing of the training, so there is nothing to search"
    return None


_EXAMPLES = {"data": "data.max_length", "options": "options.r"}


def _range(path: FieldPath, values: SearchRange) -> Iterator[FieldProblem]:
    name = ".".join(path)
    if values.kind == "choice":
        given = [word for word in ("low", "high", "step") if getattr(values, word) is not None]
        given += ["log"] if values.log else []
        if given:
            yield FieldProblem((*path, given[0]), f"{name}: {given[0]} does not go with choices")
        if not values.choices or len(values.choices) < 2:
            yield FieldProblem((*path, "choices"), f"{name}: choices need two values at least")
        elif len({repr(item) for item in values.choices}) < len(values.choices):
            yield FieldProblem((*path, "choices"), f"{name}: choices hold a value twice")
        return
    if values.choices is not None:
        yield FieldProblem((*path, "choices"), f"{name}: choices need type choice, or no type; type is '{values.kind}'")
        return
    numbers = [_number(path, word, values) for word in _ENDS]
    yield from (item for item in numbers if isinstance(item, FieldProblem))
    low, high = numbers
    if isinstance(low, FieldProblem) or isinstance(high, FieldProblem):
        return
    if low >= high:
        yield FieldProblem((*path, "high"), f"{name}: high is {high:g}; expected more than low, {low:g}")
    if values.log and low <= 0:
        yield FieldProblem((*path, "low"), f"{name}: low is {low:g}; a logarithmic scale needs a low above 0")
    if values.step is None:
        return
    step = _number(path, "step", values)
    if isinstance(step, FieldProblem):
        yield step
    elif values.log:
        yield FieldProblem((*path, "step"), f"{name}: step does not go with log; keep one of them")
    elif not 0 < step <= high - low:
        yield FieldProblem((*path, "step"), f"{name}: step is {step:g}; expected above 0 and at most high - low")


def _number(path: FieldPath, word: str, values: SearchRange) -> float | FieldProblem:
    value, name = getattr(values, word), f"{'.'.join(path)}.{word}"
    place = (*path, word)
    if value is None:
        return FieldProblem(path, f"{name} is missing; a range is {{low: 1, high: 5}} or {{choices: [4, 8]}}")
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return FieldProblem(place, f"{name} is {value!r}; expected a number")
        mantissa, _, exponent = value.lower().partition("e")
        written = f"{mantissa}.0e{exponent}" if exponent and "." not in mantissa else repr(number)
        return FieldProblem(place, f"{name} is text, {value!r}: YAML 1.1 reads it so; write {written}")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return FieldProblem(place, f"{name} is {value!r}; expected a number")
    if values.kind == "int" and not isinstance(value, int):
        return FieldProblem(place, f"{name} is {value!r}; expected a whole number, for type is int")
    return value


def _outermost(values: SearchRange) -> Iterator[tuple[tuple[str, ...], Json]]:
    """The values at the ends of a range, or all choices, each with its place."""
    if values.kind == "choice":
        assert values.choices is not None
        yield from ((("choices", str(index)), choice) for index, choice in enumerate(values.choices))
        return
    for word in _ENDS:
        value = getattr(values, word)
        yield (word,), float(value) if values.kind == "float" else value


def _misfits(
    single: Recipe, name: str, value: Json, problems: Problems, known: set[tuple[FieldPath, str]]
) -> Iterator[str]:
    """What is wrong with one value that is not wrong without it."""
    try:
        changed = patched(single, {name: value})
    except RecipeError as error:
        yield " ".join(str(error).splitlines()).removeprefix(f"{single.name}: ").rstrip(".")
        return
    yield from (problem.text for problem in problems(changed) if (problem.path, problem.text) not in known)
