"""Recipe files -> recipes: read, validated, every problem listed at once with file and line."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from slmcheck.discovery import TRAINERS, find_plugin
from slmcheck.errors import RecipeError, UnknownPluginError
from slmcheck.recipes.base_models import base_model_problem, context_tokens_of
from slmcheck.recipes.documents import SUFFIXES, Document, Node, node_of, read_document
from slmcheck.recipes.foreign import foreign_reader
from slmcheck.recipes.rules import problems_of, value_at
from slmcheck.recipes.searching import search_problems
from slmcheck.recipes.structure import FieldPath, FieldProblem, StructureReader
from slmcheck.records import TASKS, DataSpec, Json, Recipe, to_json

_DEFAULTS = Recipe(name="", base_model="", task="generation", trainer="", data=DataSpec())


def load(path: Path | str, *, name: str | None = None) -> Recipe:
    """The recipe of a file.

    Fields, their combinations and the trainer's options are checked; whether the base model can be used is asked by
    `check`, since a finished run is judged without it. Where something is wrong, that is asked too and listed.

    Args:
        path: YAML, TOML or JSON.
        name: Name of the run; `<folder>/<stem>` without it.

    Raises:
        RecipeError: If the file cannot be read or the recipe not be carried out; lists every problem.
    """
    path = Path(path)
    document = _translated(read_document(path), path)
    reader = StructureReader()
    extra = {"name": name or f"{path.absolute().parent.name}/{path.stem}", "path": path}
    root = _with_chat_template(document.root, path)
    recipe: Recipe | None = reader.record(Recipe, root, extra=extra)
    problems = [FieldProblem((), text, line) for line, text in document.problems] + reader.problems
    whole = recipe or _mended(root, reader.problems, extra)
    found = [*problems_of(whole), *_trainer_problems(whole, root)]
    found += search_problems(whole, lambda other: [*problems_of(other), *_trainer_problems(other, None)])
    if problems or found:
        found += _late_problems(whole, asked={problem.path for problem in (*reader.problems, *found)})
    wrong = [problem.path for problem in reader.problems]
    problems += [_placed(item, root) for item in found if not any(item.path[: len(path)] == path for path in wrong)]
    if problems or recipe is None:
        raise RecipeError(_listed(path, problems))
    return recipe


def find(folder: Path | str) -> list[Path]:
    """The recipe files of a folder: those with the key `base_model`, sorted; files that cannot be read count too."""
    return [path for path in sorted(Path(folder).iterdir()) if path.suffix.lower() in SUFFIXES and _is_recipe(path)]


def check(recipe: Recipe) -> None:
    """Look for everything that would keep a recipe from being carried out, without a model library.

    Raises:
        RecipeError: If a field, the trainer, its options or the base model cannot be used; lists every problem.
        UnknownPluginError: If nothing but the trainer is wrong: none of that name is installed.
    """
    problems = [*problems_of(recipe), *_trainer_problems(recipe, None)]
    problems += _late_problems(recipe, asked={problem.path for problem in problems})
    if not problems:
        return
    if [problem.path for problem in problems] == [("trainer",)]:
        find_plugin(TRAINERS, recipe.trainer)
    raise RecipeError(_listed(recipe.path, problems, name=recipe.name))


def resolved_options(recipe: Recipe) -> Mapping[str, Json]:
    """The options of a recipe with the defaults of its trainer filled in.

    Raises:
        UnknownPluginError: If no trainer of that name is installed.
        RecipeError: If an option is unknown or of another type.
    """
    kind = _options_kind(find_plugin(TRAINERS, recipe.trainer))
    if kind is None:
        return dict(recipe.options)
    reader = StructureReader()
    options = reader.record(kind, node_of(recipe.options), ("options",))
    if reader.problems:
        raise RecipeError(_listed(recipe.path, reader.problems, name=recipe.name))
    resolved: Mapping[str, Json] = to_json(options)
    return resolved


def _trainer_problems(recipe: Recipe, root: Node | None) -> list[FieldProblem]:
    try:
        plugin = find_plugin(TRAINERS, recipe.trainer)
    except UnknownPluginError as error:
        return [FieldProblem(("trainer",), _unknown_trainer(error))]
    problems = []
    if not recipe.data.train and getattr(plugin, "trains", True):
        text = "data.train is missing: a file, a list of files, or a hub data set"
        problems.append(FieldProblem(("data", "train"), text))
    kind = _options_kind(plugin)
    if kind is None:
        return problems
    reader = StructureReader()
    given = _child(root, "options") if root is not None else None
    reader.record(kind, given or node_of(recipe.options), ("options",))
    return problems + reader.problems


def _late_problems(recipe: Recipe, asked: set[FieldPath]) -> list[FieldProblem]:
    """What the trainer says of the whole recipe, and whether the base model can be used."""
    problems = []
    base = base_model_problem(recipe)
    if base is not None:
        problems.append(FieldProblem(("base_model",), base))
    problems += _beyond_context(recipe)
    if asked:
        return problems  # the trainer would repeat what is known to be wrong
    plugin = find_plugin(TRAINERS, recipe.trainer)
    trainer = plugin() if isinstance(plugin, type) else plugin
    ask = getattr(trainer, "check", None)
    if ask is None:
        return problems
    try:
        ask(recipe)
    except RecipeError as error:
        lines = str(error).splitlines()
        body = lines[1:] if len(lines) > 1 and "has " in lines[0] and "problem" in lines[0] else lines
        problems += [FieldProblem(("trainer",), line.rstrip(".")) for line in body]
    return problems


def _beyond_context(recipe: Recipe) -> Iterator[FieldProblem]:
    """Lengths that the recipe states and the base model cannot read; a default is not a statement."""
    context = context_tokens_of(recipe)
    if context is None:
        return
    for path in (("data", "max_length"), ("evaluation", "window")):
        tokens = value_at(recipe, path)
        if isinstance(tokens, int) and tokens > context and tokens != value_at(_DEFAULTS, path):
            text = f"{'.'.join(path)} is {tokens}; the base model reads at most {context} tokens"
            yield FieldProblem(path, text)


def _options_kind(plugin: object) -> type | None:
    kind = getattr(plugin, "options", None)
    return kind if isinstance(kind, type) and dataclasses.is_dataclass(kind) else None


def _mended(root: Node, problems: Sequence[FieldProblem], extra: Mapping[str, object]) -> Recipe:
    """The recipe without what is wrong in it, so that the rest can be checked too.

    Fields that a recipe cannot do without get a stand-in; what is then said of them is not repeated to the user.
    """
    assert isinstance(root.value, Mapping)
    wrong = {problem.path for problem in problems}
    kept: dict[str, Node] = {}
    for name, node in root.value.items():
        if name in ("data", "evaluation") and isinstance(node.value, Mapping):
            parts = {
                part: item for part, item in node.value.items() if not any(path[:2] == (name, part) for path in wrong)
            }
            kept[name] = Node(parts, node.line)
        elif not any(path[:1] == (name,) for path in wrong):
            kept[name] = node
    task = _child(root, "task")
    close = get_close_matches(str(task.value) if task is not None else "", TASKS, n=1)
    stand_ins = {"base_model": "./", "trainer": "none", "task": close[0] if close else "classification"}
    for name, value in stand_ins.items():
        kept.setdefault(name, Node(value))
    kept.setdefault("data", Node({}))
    mended: Recipe = StructureReader().record(Recipe, Node(kept), extra=extra)
    return mended


def _with_chat_template(root: Node, path: Path) -> Node:
    """The recipe with the content of the file that `data.chat_template` names, so that keys see the content."""
    data = _child(root, "data")
    node = _child(data, "chat_template") if data is not None else None
    if data is None or node is None or not isinstance(node.value, str) or "{" in node.value:
        return root
    file = path.parent / node.value
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(
            f"{path}:{node.line}: data.chat_template is '{node.value}', neither Jinja text nor a file.\n"
            f"Looked for {file}: {error.strerror}."
        ) from error
    assert isinstance(data.value, Mapping)
    assert isinstance(root.value, Mapping)
    parts = {**data.value, "chat_template": Node(text, node.line)}
    return Node({**root.value, "data": Node(parts, data.line)}, root.line)


def _translated(document: Document, path: Path) -> Document:
    """A file in the form of another tool as the recipe that it means; one of our own as it is."""
    foreign = foreign_reader(document.root)
    if foreign is None:
        return document
    return Document(node_of(foreign.read([str(path)], path.absolute().parent).fields), document.problems)


def _is_recipe(path: Path) -> bool:
    try:
        root = read_document(path).root
    except RecipeError:
        # Only a file that says so is reported as a broken recipe; other YAML beside a suite is not ours.
        return b"base_model" in path.read_bytes()
    return isinstance(root.value, Mapping) and "base_model" in root.value


def _child(node: Node, name: str) -> Node | None:
    return node.value.get(name) if isinstance(node.value, Mapping) else None


def _placed(problem: FieldProblem, root: Node) -> FieldProblem:
    """A problem with the line of its field, or of the nearest field around it."""
    if problem.line is not None:
        return problem
    node, line = root, None
    for name in problem.path:
        inner = _child(node, name)
        if inner is None:
            break
        node, line = inner, inner.line
    return dataclasses.replace(problem, line=line)


def _listed(path: Path | None, problems: Sequence[FieldProblem], *, name: str = "") -> str:
    where = str(path) if path is not None else f"recipe '{name}'"
    ordered = sorted(dict.fromkeys(problems), key=lambda problem: problem.line or 0)
    lines = [f"{where}{f':{item.line}' if item.line else ''}: {_sentence(item.text)}" for item in ordered]
    if len(lines) == 1:
        return lines[0]
    return "\n".join([f"{where} has {len(lines)} problems.", *lines])


def _sentence(text: str) -> str:
    if text.endswith("?"):
        return text
    return text.rstrip(".") + ("?" if "did you mean" in text.rpartition(";")[2] else ".")


def _unknown_trainer(error: UnknownPluginError) -> str:
    lines = str(error).splitlines()
    return " ".join(lines[:2] if lines[0].startswith("Unknown") else lines)
