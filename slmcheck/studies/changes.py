"""What differs between two runs, in groups that can be reverted one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

from slmcheck import pipeline
from slmcheck.data import load_splits
from slmcheck.data.digests import content_digest
from slmcheck.data.sources import parse_source
from slmcheck.errors import DataError
from slmcheck.evaluation import Run
from slmcheck.recipes import patched, resolved_options
from slmcheck.recipes.keys import DEFAULT_EPOCHS
from slmcheck.records import DataSpec, Environment, EvaluationSpec, Example, Json, Recipe, stage_of, to_json

GroupKind = Literal[
    "evaluation", "library", "data rows", "template", "base model", "trainer", "hyperparameter", "seed", "slmcheck"
]

_TEMPLATE = ("text_template", "messages", "chat_template", "chat_template_kwargs", "template_date", "answer", "loss_on")
_COUPLED = (("num_train_epochs", "max_steps"), ("warmup_ratio", "warmup_steps"), ("bf16", "fp16"))
"""Fields of which a recipe gives one or the other."""
_OWN_GROUPS = frozenset({"base_model", "trust_remote_code", "trainer", "seed", "data", "options", "task"})
_ROWS = ("train", "validation", "group")
_ASKED = ("test", "evaluate_on", "references", "id")
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, kw_only=True)
class Group:
    """Differences that are reverted together."""

    kind: GroupKind
    name: str
    """What a reader calls it: `learning_rate`, `data rows`."""
    old: str
    new: str
    """What it was and what it is, short."""
    revert: Callable[[Recipe], Recipe] | None = None
    """Gives the newer recipe with this group as the older one has it; None where that cannot be done."""
    reason: str = ""
    """Why it cannot be reverted, or what it needs."""


def groups_between(old: Run, new: Run) -> tuple[Group, ...]:
    """Everything in which two runs differ, in groups; what needs no training first.

    Args:
        old: The older run.
        new: The newer run; its recipe is what reverting starts from.
    """
    a, b = _anchored(old.recipe), _anchored(new.recipe)
    found = [*_evaluation(old, new, a, b), *_libraries(old.environment, new.environment)]
    found += _versions(old, new)
    rows, template = _rows(old, new, a), _template(a, b)
    if rows is not None and rows.revert is not None and template is not None and not _readable(rows.revert(b)):
        rows, template = _together(rows, template), None
    found += [group for group in (rows, template) if group is not None]
    found += [*_model(a, b), *_hyperparameters(a, b)]
    if a.seed != b.seed:
        found.append(_of_fields("seed", "seed", ("seed",), a, b))
    return tuple(found)


def _anchored(recipe: Recipe) -> Recipe:
    """The recipe with its data sources by absolute path, so that another recipe can take them over."""
    here = recipe.directory.absolute()

    def anchored(sources: Sequence[str]) -> tuple[str, ...]:
        return tuple(str(here / text) if parse_source(text, here).path is not None else text for text in sources)

    data = recipe.data
    validation = anchored(data.validation) if isinstance(data.validation, tuple) else data.validation
    data = replace(data, train=anchored(data.train), validation=validation, test=anchored(data.test))
    return replace(recipe, data=data, search=None)


# Groups


def _rows(old: Run, new: Run, a: Recipe) -> Group | None:
    """Training and validation rows, whatever template they are rendered with."""
    first, second = _content(old), _content(new)
    stale = [run for run in (old, new) if _rows_changed_since(run)]
    if first == second and not stale:
        return None
    counts = [f"{len(run.splits.train):,} + {len(run.splits.validation):,} rows" for run in (old, new)]
    if stale:
        reason = f"the files of '{stale[0].name}' hold other rows than those it was trained on ({stale[0].key[:12]})"
        return Group(kind="data rows", name="data rows", old=counts[0], new=counts[1], reason=reason)
    sources = {name: getattr(a.data, name) for name in _ROWS}

    def revert(recipe: Recipe) -> Recipe:
        return replace(recipe, data=replace(recipe.data, **sources))

    return Group(kind="data rows", name="data rows", old=counts[0], new=counts[1], revert=revert)


def _content(run: Run) -> str:
    def rows(examples: Sequence[Example]) -> Json:
        return [to_json(example.row) for example in examples]

    return content_digest([rows(run.splits.train), rows(run.splits.validation)])


def _rows_changed_since(run: Run) -> bool:
    """Whether the rows that a run's recipe reads today are not those that its key was made of."""
    now = pipeline.run_key(replace(run.recipe, seeds=1), run.splits, run.workspace)[1]
    then = run.workspace.store.inputs_of(run.key)
    assert isinstance(now, dict)
    assert isinstance(then, dict)
    return any(to_json(now[part]) != to_json(then[part]) for part in ("train", "validation"))


def _template(a: Recipe, b: Recipe) -> Group | None:
    changed = tuple(f"data.{name}" for name in _TEMPLATE if getattr(a.data, name) != getattr(b.data, name))
    return _of_fields("template", "template", changed, a, b) if changed else None


def _together(rows: Group, template: Group) -> Group:
    """Rows and template as one group, where the rows of one run cannot be read with the template of the other."""
    first, second = rows.revert, template.revert
    assert first is not None
    assert second is not None
    return Group(
        kind="data rows",
        name="data rows and template",
        old=f"{rows.old}, {template.old}",
        new=f"{rows.new}, {template.new}",
        revert=lambda recipe: first(second(recipe)),
    )


def _readable(recipe: Recipe) -> bool:
    try:
        load_splits(recipe)
    except DataError:
        return False
    return True


def _model(a: Recipe, b: Recipe) -> Iterator[Group]:
    bases = tuple(name for name in ("base_model", "trust_remote_code") if getattr(a, name) != getattr(b, name))
    if bases:
        yield _of_fields("base model", "base model", bases, a, b)
    if a.trainer != b.trainer:
        yield _of_fields("trainer", "trainer", ("trainer", "options"), a, b)


def _hyperparameters(a: Recipe, b: Recipe) -> Iterator[Group]:
    names = [item.name for item in fields(Recipe) if stage_of(item) == "training" and item.name not in _OWN_GROUPS]
    # The default of one field is that another is given.
    values = [{name: getattr(recipe, name) for name in names} for recipe in (a, b)]
    for recipe, given in zip((a, b), values, strict=True):
        if recipe.max_steps is None and recipe.num_train_epochs is None:
            given["num_train_epochs"] = DEFAULT_EPOCHS
    changed = [name for name in names if values[0][name] != values[1][name]]
    for name in changed:
        coupled = next((pair for pair in _COUPLED if name in pair), (name,))
        if name == next(item for item in changed if item in coupled):
            yield _of_fields("hyperparameter", " and ".join(item for item in changed if item in coupled), coupled, a, b)
    data = [
        item.name for item in fields(DataSpec) if stage_of(item) == "training" and item.name not in (*_TEMPLATE, *_ROWS)
    ]
    for name in data:
        if getattr(a.data, name) != getattr(b.data, name):
            yield _of_fields("hyperparameter", f"data.{name}", (f"data.{name}",), a, b)
    if a.labels != b.labels and b.task == "sequence_classification":
        yield _of_fields("hyperparameter", "labels", ("labels",), a, b)  # they are the rows of the new head
    if a.trainer == b.trainer:
        yield from _options(a, b)


def _options(a: Recipe, b: Recipe) -> Iterator[Group]:
    old, new = resolved_options(a), resolved_options(b)
    for name in dict.fromkeys((*old, *new)):
        if old.get(name) == new.get(name):
            continue
        value = old.get(name)
        yield Group(
            kind="hyperparameter",
            name=f"options.{name}",
            old=_short(value),
            new=_short(new.get(name)),
            revert=lambda recipe, name=name, value=value: patched(recipe, {f"options.{name}": value}),  # type: ignore[misc]
        )


def _evaluation(old: Run, new: Run, a: Recipe, b: Recipe) -> Iterator[Group]:
    """How the two are asked and what counts as right; reverting it trains nothing."""
    names = [f"evaluation.{item.name}" for item in fields(EvaluationSpec) if stage_of(item) == "evaluation"]
    changed = [name for name in names if _value(a, name) != _value(b, name)]
    changed += ["labels"] if a.labels != b.labels and b.task != "sequence_classification" else []
    # What counts is the rows that are asked and what is right: ids follow the template, paths say nothing.
    asked = [
        content_digest([[to_json(item.row), list(item.references)] for item in run.examples()]) for run in (old, new)
    ]
    if asked[0] != asked[1]:
        changed += [f"data.{name}" for name in _ASKED if getattr(a.data, name) != getattr(b.data, name)]
    if changed:
        yield _of_fields("evaluation", "evaluation", tuple(changed), a, b)


def _libraries(old: Environment, new: Environment) -> Iterator[Group]:
    def shown(environment: Environment, names: Sequence[str]) -> str:
        versions = [f"{name} {environment.versions.get(name, '-')}" for name in names]
        return ", ".join([*versions, *place(environment)])

    def place(environment: Environment) -> list[str]:
        same = (old.device, old.dtype, old.threads) == (new.device, new.dtype, new.threads)
        return [] if same else [f"{environment.device} {environment.dtype} {environment.threads} threads"]

    names = [
        name
        for name in dict.fromkeys((*old.versions, *new.versions))
        if old.versions.get(name) != new.versions.get(name)
    ]
    if names or place(old):
        reason = "name the interpreter that has the other libraries: --python OTHER"
        yield Group(kind="library", name="libraries", old=shown(old, names), new=shown(new, names), reason=reason)


def _versions(old: Run, new: Run) -> Iterator[Group]:
    """Versions of slmcheck's own training: another one may make other weights, and nothing brings the old one back."""
    then, now = (run.workspace.store.inputs_of(run.key) for run in (old, new))
    assert isinstance(then, dict)
    assert isinstance(now, dict)
    for part, name in (
        ("training_version", "training loop of slmcheck"),
        ("trainer_version", "version of the trainer"),
    ):
        if then.get(part) != now.get(part):
            reason = "another version of slmcheck trained it: install that one to compare"
            yield Group(kind="slmcheck", name=name, old=str(then.get(part)), new=str(now.get(part)), reason=reason)


def _of_fields(kind: GroupKind, name: str, names: tuple[str, ...], a: Recipe, b: Recipe) -> Group:
    shown = [item for item in names if _value(a, item) != _value(b, item)] or list(names)

    def text(recipe: Recipe) -> str:
        values = [_short(to_json(_value(recipe, item))) for item in shown]
        if len(shown) == 1:
            return values[0]
        return ", ".join(f"{item.rpartition('.')[2]} {value}" for item, value in zip(shown, values, strict=True))

    taken = {item: _value(a, item) for item in names}

    def revert(recipe: Recipe) -> Recipe:
        for item, value in taken.items():
            recipe = _set(recipe, item, value)
        return recipe

    return Group(kind=kind, name=name, old=text(a), new=text(b), revert=revert)


def _value(recipe: Recipe, name: str) -> object:
    value: object = recipe
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _set(recipe: Recipe, name: str, value: object) -> Recipe:
    outer, _, inner = name.partition(".")
    if not inner:
        return replace(recipe, **{outer: value})  # type: ignore[arg-type]
    record = replace(getattr(recipe, outer), **{inner: value})
    return replace(recipe, **{outer: record})


def _short(value: object) -> str:
    if isinstance(value, list | tuple):
        text = ", ".join(_short(item) for item in value)
    elif isinstance(value, float):
        text = f"{value:.4g}"
    else:
        text = "not given" if value is None else str(value)
    # A long path says most at its end.
    text = Path(text).name if text.startswith("/") and len(text) > _SHOWN_CHARACTERS else text
    text = text.replace("\n", "\\n")
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."
