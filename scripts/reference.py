"""Write the reference pages that are made from the code: pytest, metrics and the Python interface.

    python scripts/reference.py            writes docs/reference/{pytest,metrics,api}.md
    python scripts/reference.py --check    exit status 1 if one of them is not current

The pages of the command line, of recipe files and of report.json are made by the packages that they describe:
`python -m slmcheck.cli.reference`, `slmcheck.recipes.reference` and `slmcheck.reports.reference`.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import FunctionType

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "reference"
MADE = "<!-- Made by `python scripts/reference.py`; a test keeps it true. -->"
WIDTH = 100

PYTEST = f"""# pytest plugin

{MADE}

The plugin is loaded by every pytest of an environment in which slmcheck is installed. A session that uses none of its
fixtures gets no output, no file and no further import.

Everything of pytest's own works: `-k`, `-m`, `--lf`, `-x`, `-q`, `-n` of pytest-xdist, `--collect-only`, `--junitxml`.
The exit status is pytest's. A test that passed with an inconclusive comparison is counted apart and shown as `~`.

"""
SHELL = """
## Environment variables

| variable | meaning |
| --- | --- |
| `SLMCHECK_STORE` | Folder of the store, in place of `.slmcheck/store/v1` of the project. |
| `SLMCHECK_TRACEBACK` | `1`: commands show where an error was raised. |
"""
METRICS = f"""# Metrics

{MADE}

`run.<name>` is one of these, by the task of the recipe. The direction decides which comparisons make sense: a bound in
the wrong direction raises. The margin is what `no_worse_than` allows when it is not told. "Reads" says what the model
is asked for it: to choose an **option**, to **generate** an answer, or for the likelihood (**nll**) of the reference.

Anything else is a function of predictions, `run.measure(function)`:
[metrics of your own](../how-to/write-a-suite.md#metrics-of-your-own).
How a score becomes a verdict: [what a comparison of scores means](../explanation/statistics.md).

"""
API = f"""# Python

{MADE}

What `import slmcheck` offers, and what a suite or a plugin imports from the packages below it. Importing loads no model
library; names are resolved when they are first used.

"""
SECTIONS: Sequence[tuple[str, str, Sequence[str]]] = (
    (
        "slmcheck.metrics",
        "Makers of metrics and of trivial baselines. The metrics themselves are on a page of their own: "
        "[metrics](metrics.md).",
        (
            *("agreement", "bleu_score", "chrf_score", "confusion", "cost", "evaluate_module", "exact_match_score"),
            *("f1_of", "f1_score", "majority", "metric_names", "precision_of", "precision_score", "recall_of"),
            *("recall_score", "rouge_score"),
        ),
    ),
    (
        "slmcheck.training",
        "What a trainer plugin is made of; see [CONTRIBUTING](../../CONTRIBUTING.md#a-trainer-of-your-own).",
        (
            *("Trainer", "TrainingJob", "NoOptions", "read_options", "loop_problems", "recipe_error"),
            *("supervised_loop", "finish_adapter", "finish_model"),
        ),
    ),
    ("slmcheck.testing", "Contracts that a plugin runs against itself.", ("TrainerContract",)),
)


def pages() -> Mapping[str, str]:
    """The text of every page by file name."""
    return {"pytest.md": pytest_page(), "metrics.md": metrics_page(), "api.md": api_page()}


# pytest


class RecordingParser:
    """Takes the options and ini values that the plugin declares, as pytest's parser would."""

    def __init__(self) -> None:
        self.options: list[tuple[str, Mapping[str, object]]] = []
        self.inis: list[tuple[str, str, object]] = []

    def getgroup(self, name: str, description: str = "") -> RecordingParser:
        """The group is the parser itself."""
        return self

    def addoption(self, name: str, **settings: object) -> None:
        """Keep an option."""
        self.options.append((name, settings))

    def addini(self, name: str, text: str, *, type: str, default: object) -> None:  # noqa: A002  as pytest calls it
        """Keep an ini value."""
        self.inis.append((name, text, default))


def pytest_page() -> str:
    """Options, ini values, marks, fixtures and hooks."""
    from slmcheck.pytest_plugin import baseline, finetune, hooks, run
    from slmcheck.pytest_plugin.options import MARKS, add_options

    parser = RecordingParser()
    add_options(parser)  # type: ignore[arg-type]
    parts = [PYTEST, "## Options\n\n| option | meaning |\n| --- | --- |\n"]
    parts += [
        f"| `{_cell(name + _value(settings))}` | {_cell(str(settings['help']))} |\n"
        for name, settings in parser.options
    ]
    parts.append("\n## Ini values\n\nIn `pytest.ini`, or under `[tool.pytest.ini_options]` of pyproject.toml.\n\n")
    parts.append("| name | default | meaning |\n| --- | --- | --- |\n")
    parts += [f"| `{name}` | {_default(default)} | {_cell(text)} |\n" for name, text, default in parser.inis]
    parts.append("\n## Marks\n\n| mark | meaning |\n| --- | --- |\n")
    for mark in MARKS:
        name, _, meaning = mark.partition(": ")
        parts.append(f"| `{name}` | {_cell(meaning)} |\n")
    parts.append("\n## Fixtures\n\n| fixture | gives |\n| --- | --- |\n")
    parts += [
        f"| `{name}` | {_cell(_sentence(fixture.__doc__))} |\n"
        for name, fixture in (("run", run), ("baseline", baseline), ("finetune", finetune))
    ]
    parts.append("\n`run` is a [`slmcheck.Run`](api.md#run), `baseline` a [`slmcheck.Baseline`](api.md#baseline).\n")
    parts.append(
        "\n## Hooks\n\nOther plugins and `conftest.py` may implement these.\n\n| hook | when |\n| --- | --- |\n"
    )
    for name, hook in vars(hooks).items():
        if isinstance(hook, FunctionType):
            arguments = ", ".join(inspect.signature(hook).parameters)
            parts.append(f"| `{name}({arguments})` | {_cell(_sentence(hook.__doc__))} |\n")
    return "".join([*parts, SHELL])


def _value(settings: Mapping[str, object]) -> str:
    if settings.get("action") == "store_true":
        return ""
    choices = settings.get("choices")
    return f" {'|'.join(choices)}" if isinstance(choices, tuple) else f" {settings['metavar']}"


def _default(value: object) -> str:
    return f"`{value}`" if value else "none"


# metrics


def metrics_page() -> str:
    """Every built-in metric by task, and the scores of parity."""
    from slmcheck.metrics import METRICS as BUILT_IN
    from slmcheck.parity import SCORES

    parts = [METRICS]
    for task, metrics in BUILT_IN.items():
        header = "| name | better | margin | reads | what it is |\n| --- | --- | --- | --- | --- |\n"
        parts.append(f"## {task}\n\n{header}")
        parts += [
            f"| `{name}` | {_direction(metric.info)} | {_margin(metric.info)} | {_reads(metric.needs)} | "
            f"{_cell(metric.description[:1].upper() + metric.description[1:])} |\n"
            for name, metric in metrics.items()
        ]
        parts.append("\n")
    parts.append(
        "## Exported models\n\n`run.onnx(precision)` has the metrics of the task, and how far it agrees with the "
    )
    parts.append("PyTorch model on the same rows.\n\n| name | better | margin |\n| --- | --- | --- |\n")
    parts += [f"| `{name}` | {_direction(score.info)} | {_margin(score.info)} |\n" for name, score in SCORES.items()]
    parts.append(
        "\n## Overfitting\n\n`run.gap(name)` is the score on training rows minus that on the evaluation split, "
    )
    parts.append("oriented so that\nlarger means more overfitting; see [overfitting](../explanation/overfitting.md).\n")
    return "".join(parts)


def _direction(info: object) -> str:
    return "higher" if info.higher_is_better else "lower"  # type: ignore[attr-defined]


def _margin(info: object) -> str:
    margin, kind, unit = info.margin, info.margin_kind, info.unit  # type: ignore[attr-defined]
    if kind == "relative":
        return f"{100 * margin:g} %"
    if unit == "share":
        return f"{100 * margin:g} point{'' if margin == 0.01 else 's'}"
    return f"{margin:g}{f' {unit}' if unit else ''}"


def _reads(needs: frozenset[str]) -> str:
    order = ("options", "generate", "nll")
    return " or ".join(name for name in order if name in needs)


# Python


def api_page() -> str:
    """Every public name with its signature and its docstring."""
    import slmcheck

    parts = [API, "## slmcheck\n\n"]
    parts += [_entry(name, getattr(slmcheck, name)) for name in sorted(set(slmcheck.__all__) - {"__version__"})]
    for module_name, introduction, names in SECTIONS:
        module = import_module(module_name)
        parts.append(f"## {module_name}\n\n{introduction}\n\n")
        parts += [_entry(name, getattr(module, name)) for name in names]
    errors = inspect.cleandoc(import_module("slmcheck.errors").__doc__ or "")
    parts.append(f"## slmcheck.errors\n\n{errors}\n")
    return "".join(parts)


def _entry(name: str, found: object) -> str:
    if inspect.isclass(found):
        return _class(name, found)
    return f"### {name}\n\n{_signature(name, found)}\n{_prose(found)}\n"


def _class(name: str, found: type) -> str:
    parts = [f"### {name}\n\n{_prose(found)}\n"]
    members = [*_fields(found), *_members(found)]
    if name == "Recipe":
        return "".join([*parts, "Its fields are those of a recipe file: [recipe fields](recipe.md).\n\n"])
    if name == "TrainerContract":
        tests = [method[5:].replace("_", " ") for method in vars(found) if method.startswith("test_")]
        members = [(f"`{name}`", text) for name, text in _docstrings(found).items()]
        parts.append("It promises: " + "; ".join(tests) + ".\n\n")
    if members:
        parts.append("| member | meaning |\n| --- | --- |\n")
        parts += [f"| {_cell(member)} | {_cell(text)} |\n" for member, text in members]
        parts.append("\n")
    return "".join(parts)


def _fields(found: type) -> Iterator[tuple[str, str]]:
    if dataclasses.is_dataclass(found):
        documented = _docstrings(found)
        for item in dataclasses.fields(found):
            yield f"`{item.name}: {item.type}`", documented.get(item.name, "")


def _members(found: type) -> Iterator[tuple[str, str]]:
    """Public methods and properties, those of base classes of slmcheck included; the first sentence of each."""
    seen = {item.name for item in dataclasses.fields(found)} if dataclasses.is_dataclass(found) else set[str]()
    for home in found.__mro__:
        if not home.__module__.startswith("slmcheck"):
            continue
        for name, member in vars(home).items():
            if name.startswith("_") or name in seen:
                continue
            function = getattr(member, "fget", None) or getattr(member, "func", None) or member
            function = getattr(function, "__func__", function)
            if not isinstance(function, FunctionType):
                continue
            seen.add(name)
            called = "" if isinstance(member, property) or hasattr(member, "func") else _arguments(function)
            yield f"`{name}{called}`", _sentence(function.__doc__)


def _arguments(function: FunctionType) -> str:
    shown = []
    for name, parameter in list(inspect.signature(function).parameters.items()):
        if name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in shown:
            shown.append("*")
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
        shown.append(f"{name}{default}")
    return f"({', '.join(shown)})"


def _signature(name: str, found: object) -> str:
    signature = inspect.signature(found)  # type: ignore[arg-type]
    shown: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in shown:
            shown.append("*")
        stars = {parameter.VAR_KEYWORD: "**", parameter.VAR_POSITIONAL: "*"}.get(parameter.kind, "")
        default = "" if parameter.default is parameter.empty else f" = {_quoted(repr(parameter.default))}"
        shown.append(f"{stars}{parameter.name}: {_annotation(parameter.annotation)}{default}")
    returned = f" -> {_annotation(signature.return_annotation)}"
    text = f"{name}({', '.join(shown)}){returned}"
    if len(text) > WIDTH:
        text = f"{name}(\n" + "".join(f"    {item},\n" for item in shown) + f"){returned}"
    return f"```python\ndef {text}: ...\n```\n"


def _annotation(annotation: object) -> str:
    """An annotation as it is written: modules without `from __future__ import annotations` have real types."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return _quoted(re.sub(r"\b(typing|collections\.abc|slmcheck\.[\w.]+)\.(?=\w)", "", text))


def _quoted(text: str) -> str:
    return text.replace("'", '"')


_SECTION = re.compile(r"^(Args|Returns|Raises|Source):\s*(.*)$")
_ITEM = re.compile(r"^    (\*{0,2}\w[\w. ]*): (.*)$")


def _prose(found: object) -> str:
    """A Google docstring as Markdown: sections become lists."""
    lines = inspect.cleandoc(found.__doc__ or "").split("\n")
    out: list[str] = []
    section = ""
    for line in lines:
        start = _SECTION.match(line)
        item = _ITEM.match(line)
        if start:
            section = start[1]
            out += [f"**{'Arguments' if section == 'Args' else section}**", ""] + ([start[2]] if start[2] else [])
        elif section and item:
            out.append(f"- `{item[1]}`: {item[2]}")
        elif section and line.startswith("    "):
            out.append(f"  {line.strip()}" if out and out[-1].startswith(("-", "  ")) else line.strip())
        else:
            out.append(line)
    return "\n".join(out).rstrip() + "\n"


def _docstrings(found: type) -> dict[str, str]:
    """The text under each annotated field of a class."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(found)))
    body = tree.body[0].body  # type: ignore[attr-defined]
    texts = {}
    for statement, after in pairwise(body):
        value = after.value if isinstance(after, ast.Expr) else None
        if isinstance(statement, ast.AnnAssign) and isinstance(value, ast.Constant) and isinstance(value.value, str):
            texts[statement.target.id] = " ".join(value.value.split())  # type: ignore[union-attr]
    return texts


def _sentence(text: str | None) -> str:
    """The first paragraph of a docstring on one line."""
    return " ".join(inspect.cleandoc(text or "").partition("\n\n")[0].split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or say which are not current."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 if a page is not current")
    check = parser.parse_args(arguments).check
    stale = []
    for name, text in pages().items():
        path = FOLDER / name
        if check and (not path.is_file() or path.read_text(encoding="utf-8") != text):
            stale.append(name)
        elif not check:
            path.write_text(text, encoding="utf-8")
    for name in stale:
        print(f"docs/reference/{name} is not current: python scripts/reference.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
