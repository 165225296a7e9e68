"""The `peft` block of a recipe held against the fields of peft's own configuration class.

The source of the installed peft is read, not imported: importing it takes seconds, and recipes are checked without a
model library.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from slmcheck.errors import MissingExtraError
from slmcheck_adapters.methods import Method

SHARED = ("config", "tuners.lycoris_utils")
"""Modules with the bases of configuration classes."""
OURS = frozenset(
    {
        *("auto_mapping", "base_model_name_or_path", "inference_mode", "peft_type", "peft_version", "revision"),
        *("num_attention_heads", "num_layers", "num_transformer_submodules", "task_type", "token_dim"),
        *("tokenizer_name_or_path", "tokenizer_kwargs"),
    }
)
"""Fields that follow from the base model and the recipe."""
STARTS = (True, "gaussian", "pissa", "olora", "orthogonal")
"""Values of `init_lora_weights` that start at the base model without data of their own."""


@dataclass(frozen=True)
class PeftField:
    """A field of a configuration class, as its annotation has it."""

    kinds: frozenset[str]
    """Names of the types in the annotation: bool, int, float, str, list, dict, None."""
    literals: tuple[object, ...]
    """Values that a Literal in the annotation allows."""
    needs_object: bool
    """Whether only an object of a configuration class would do."""

    def accepts(self, value: object) -> bool:
        """Whether a value of a recipe is of this type."""
        if isinstance(value, bool) or value is None:
            return ("bool" if isinstance(value, bool) else "None") in self.kinds
        if isinstance(value, str):
            return value in self.literals or "str" in self.kinds
        if isinstance(value, int | float):
            allowed = {"int", "float"} if isinstance(value, int) else {"float"}
            return bool(allowed & self.kinds) or value in self.literals
        return ("dict" if isinstance(value, Mapping) else "list") in self.kinds

    @property
    def expected(self) -> str:
        """In words."""
        names = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "text", "list": "a list"}
        words = [word for name, word in names.items() if name in self.kinds]
        if "dict" in self.kinds:
            words.append("a mapping")
        return " or ".join([*words, *map(str, self.literals)])


def block_problems(method: Method, block: Mapping[str, object]) -> list[str]:
    """What is wrong with the `peft` block of a recipe, one sentence a field.

    Raises:
        MissingExtraError: If peft is not installed.
    """
    known = fields_of(method)
    usable = sorted(name for name, one in known.items() if name not in OURS and not one.needs_object)
    problems = []
    for name, value in block.items():
        place = f"options.peft.{name}"
        if name not in known:
            close = get_close_matches(name, usable, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"fields: {', '.join(usable)}"
            problems.append(f"{place} is no field of peft's {method.config}; {hint}")
        elif name in OURS:
            problems.append(f"{place} follows from the base model and the recipe; leave it out")
        elif name in method.fixed:
            if value != method.fixed[name]:
                problems.append(f"{place} is {value!r}, but method '{method.name}' is {name}: {method.fixed[name]!r}")
        elif known[name].needs_object:
            problems.append(f"{place} takes an object of Python and cannot be written in a recipe; leave it out")
        elif not known[name].accepts(value):
            problems.append(f"{place} is {value!r}; expected {known[name].expected}")
        else:
            problems += _value_problems(place, name, value)
    return problems


def fields_of(method: Method) -> Mapping[str, PeftField]:
    """The fields of a method's configuration class in the installed peft.

    Raises:
        MissingExtraError: If peft is not installed.
    """
    if find_spec("peft") is None:
        raise MissingExtraError(
            f"Method '{method.name}' of trainer 'adapters' needs peft, which is not installed.\n"
            "Install it: pip install 'slmcheck[train]'"
        )
    return _read_fields(method.config, method.module)


@cache
def _read_fields(config: str, module: str) -> Mapping[str, PeftField]:
    found = find_spec("peft")
    assert found is not None
    assert found.origin is not None
    root, classes = Path(found.origin).parent, dict[str, ast.ClassDef]()
    for name in (*SHARED, module):
        tree = ast.parse(root.joinpath(*name.split(".")).with_suffix(".py").read_bytes())
        classes.update({node.name: node for node in tree.body if isinstance(node, ast.ClassDef)})
    return dict(_fields(config, classes))


def _fields(name: str, classes: Mapping[str, ast.ClassDef]) -> Iterator[tuple[str, PeftField]]:
    if name not in classes:
        return
    for base in classes[name].bases:
        yield from _fields(ast.unparse(base), classes)
    for node in classes[name].body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, _field(node.annotation)


def _field(annotation: ast.expr) -> PeftField:
    literals = tuple(_literals(annotation))
    text = re.sub(r"Literal\[[^\]]*\]", "", ast.unparse(annotation))
    words = set(re.findall(r"\w+", text))
    kinds = {
        *(words & {"bool", "int", "float", "str", "list", "dict", "None"}),
        *(["None"] if "Optional" in words else []),
    }
    has_object = any(word.endswith("Config") for word in words)
    return PeftField(frozenset(kinds), literals, has_object)


def _literals(annotation: ast.expr) -> Iterator[object]:
    for node in ast.walk(annotation):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Literal":
            inner: Sequence[ast.expr] = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            yield from (ast.literal_eval(one) for one in inner)


def _value_problems(place: str, name: str, value: object) -> list[str]:
    """Values that peft takes and that end in a wrong training."""
    if name == "init_lora_weights" and value not in STARTS:
        return [
            f"{place} is {value!r}, which starts elsewhere than at the base model or needs data of its own; "
            f"expected {', '.join(str(start).lower() for start in STARTS)}"
        ]
    if name == "init_weights" and value is False:
        return [f"{place} is false, so training would not start at the base model; leave it out"]
    if name in ("r", "num_virtual_tokens") and isinstance(value, int) and value < 1:
        return [f"{place} is {value}; expected at least 1"]
    if name.endswith("dropout") and isinstance(value, int | float) and not 0.0 <= value < 1.0:
        return [f"{place} is {value:g}; expected at least 0 and below 1"]
    if name in ("target_modules", "feedforward_modules") and not value:
        return [f"{place} is empty; name layers, or leave it out"]
    return []
