"""What a RUN on the command line and in `slmcheck.open_run` means: a recipe file, a name, or the beginning of a key."""

from __future__ import annotations

import configparser
import os
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from slmcheck import recipes
from slmcheck.errors import UnknownRunError
from slmcheck.recipes.documents import SUFFIXES
from slmcheck.records import RunRecord
from slmcheck.storage import Store

_OWN_FILES = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini")
"""Files that make a folder pytest's root by being there."""
_SKIPPED_FOLDERS = frozenset({"__pycache__", "baselines", "build", "dist", "node_modules", "site-packages", "waivers"})
_LARGEST_RECIPE_BYTES = 1_000_000
_KEY = re.compile(r"^[0-9a-f]{4,64}$")
_SHOWN = 12


@dataclass(frozen=True, kw_only=True)
class Named:
    """What a name of a run means."""

    recipe_path: Path
    record: RunRecord | None = None
    """The stored run whose key was given; its recipe may differ from today's file."""


def project_root(paths: Sequence[Path] = (), *, cwd: Path | None = None) -> Path:
    """The folder that reports and the store belong to: pytest's rootdir for the same paths.

    The nearest folder at or above what the paths share that configures pytest; else the nearest one with a
    `pyproject.toml` or `setup.py`; else what the paths and the current folder share.

    Args:
        paths: Files or folders that a command was given; those that do not exist do not count.
        cwd: The current folder.
    """
    here = (cwd or Path.cwd()).absolute()
    given = [Path(os.path.normpath(here / path)) for path in paths]
    folders = [path if path.is_dir() else path.parent for path in given if path.exists()]
    shared = Path(os.path.commonpath(folders)) if folders else here
    found = _configured([shared]) or _nearest([shared], lambda folder: (folder / "setup.py").is_file())
    if found is None and folders != [shared]:
        found = _configured(folders or [here])
    if found is None:
        together = Path(os.path.commonpath([here, shared]))
        found = shared if together == Path(together.anchor) else together
    return found


def _configured(folders: Sequence[Path]) -> Path | None:
    """The nearest folder at or above these that configures pytest, else the nearest with a pyproject.toml."""
    configures = _nearest(folders, lambda folder: _has_own_file(folder) or _has_section(folder))
    return configures or _nearest(folders, lambda folder: (folder / "pyproject.toml").is_file())


def _nearest(folders: Sequence[Path], fits: Callable[[Path], bool]) -> Path | None:
    upwards = (candidate for folder in folders for candidate in (folder, *folder.parents))
    return next((candidate for candidate in upwards if fits(candidate)), None)


def _has_own_file(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _OWN_FILES)


def _has_section(folder: Path) -> bool:
    return (
        _configures_pytest(folder / "pyproject.toml")
        or _has_ini_section(folder / "tox.ini", "pytest")
        or _has_ini_section(folder / "setup.cfg", "tool:pytest")
    )


def _configures_pytest(path: Path) -> bool:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("pytest", {})
    except (FileNotFoundError, tomllib.TOMLDecodeError):
        return False
    # An empty [tool.pytest] configures nothing, an empty [tool.pytest.ini_options] does.
    return bool(table)


def _has_ini_section(path: Path, name: str) -> bool:
    if not path.is_file():
        return False
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except configparser.Error:
        return False
    return parser.has_section(name)


def is_recipe_file(path: Path) -> bool:
    """Whether a path is a file that could be a recipe, by its name."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def recipe_paths(root: Path) -> tuple[Path, ...]:
    """Every recipe file of a project, sorted; hidden folders, environments and baselines are passed over."""
    found: list[Path] = []
    for folder, inner, files in os.walk(root):
        inner[:] = sorted(name for name in inner if may_hold_recipes(Path(folder) / name))
        if any(_may_be_recipe(Path(folder) / name) for name in files):
            found += recipes.find(folder)
    return tuple(found)


def may_hold_recipes(folder: Path) -> bool:
    """Whether a folder of a project may be one of its own: not hidden, no environment, nothing that a tool made."""
    hidden = folder.name.startswith(".") or folder.name in _SKIPPED_FOLDERS
    return not hidden and not (folder / "pyvenv.cfg").is_file()


def _may_be_recipe(path: Path) -> bool:
    if not is_recipe_file(path):
        return False
    return path.stat().st_size <= _LARGEST_RECIPE_BYTES and b"base_model" in path.read_bytes()


def name_of(path: Path) -> str:
    """The name of the run of a recipe file: `<suite folder>/<recipe stem>`."""
    return f"{path.absolute().parent.name}/{path.stem}"


def find_named(text: str, root: Path, store: Store) -> Named:
    """What a RUN means in a project.

    Args:
        text: A recipe file, `<suite folder>/<recipe stem>`, a stem that only one recipe has, or the first four or more
            digits of the key of a stored run.
        root: The project root.
        store: Where keys are looked up.

    Raises:
        UnknownRunError: If it means nothing, or several runs; lists the candidates.
    """
    found = look_up(text, root, store)
    if found is None:
        raise UnknownRunError(_unknown(text, recipe_paths(root), root))
    return found


def look_up(text: str, root: Path, store: Store) -> Named | None:
    """As `find_named`, but None where it means nothing.

    Raises:
        UnknownRunError: If it means several runs, or the recipe of a stored run is gone.
    """
    path = Path(text)
    if is_recipe_file(path):
        return Named(recipe_path=path)
    known = recipe_paths(root)
    exact = [item for item in known if name_of(item) == text]
    found = exact or [item for item in known if item.stem == text]
    if len(found) == 1:
        return Named(recipe_path=_shortest(found[0]))
    if found:
        raise UnknownRunError(_several(text, found, root))
    if _KEY.match(text) and (record := _by_key(text, store)) is not None:
        return Named(recipe_path=_recipe_of(record, known, root), record=record)
    return None


def closest_name(text: str, root: Path) -> str | None:
    """The run that a misspelt name most likely means; None where nothing is close."""
    names = [name_of(path) for path in recipe_paths(root)]
    return next(iter(get_close_matches(text, [*names, *(name.rpartition("/")[2] for name in names)], n=1)), None)


def _by_key(prefix: str, store: Store) -> RunRecord | None:
    """The newest stored run whose key begins so.

    Raises:
        UnknownRunError: If runs of several keys do.
    """
    records = [record for record in store.runs() if record.key.startswith(prefix)]
    keys = list(dict.fromkeys(record.key for record in records))
    if len(keys) > 1:
        shown = ", ".join(f"{key[:12]} ({_name_by_key(key, records)})" for key in keys[:_SHOWN])
        raise UnknownRunError(
            f"The keys of {len(keys)} stored runs begin with '{prefix}': {shown}.\nGive more digits of the key."
        )
    return records[0] if records else None


def _name_by_key(key: str, records: Sequence[RunRecord]) -> str:
    return next(record.name for record in records if record.key == key)


def _recipe_of(record: RunRecord, known: Sequence[Path], root: Path) -> Path:
    """The recipe file that a stored run was made of: it says where the rows lie."""
    found = [path for path in known if name_of(path) == record.name]
    if len(found) == 1:
        return _shortest(found[0])
    problem = "no recipe has" if not found else f"{len(found)} recipes have"
    raise UnknownRunError(
        f"Run {record.key[:12]} is stored, but {problem} its name '{record.name}', so its rows cannot be found.\n"
        f"Recipes of {root}: {_listed([name_of(path) for path in known])}.\n"
        "Call the command in the project that the run was trained in."
    )


def _several(text: str, found: Sequence[Path], root: Path) -> str:
    names = [name_of(path) for path in found]
    if len(set(names)) == len(names):
        return f"'{text}' names {len(found)} recipes: {_listed(names)}.\nGive the suite too, as in '{names[0]}'."
    paths = [str(path.relative_to(root)) for path in found]
    return f"'{text}' names {len(found)} recipes: {_listed(paths)}.\nGive the path of the recipe file."


def _unknown(text: str, known: Sequence[Path], root: Path) -> str:
    names = [name_of(path) for path in known]
    close = closest_name(text, root)
    hint = f" Did you mean '{close}'?" if close else ""
    kind = "There is no recipe file" if Path(text).suffix.lower() in SUFFIXES else "No run is called"
    return (
        f"{kind} '{text}'.\n"
        f"Recipes of {root}: {_listed(names)}.{hint}\n"
        "A run is a recipe file, a name (suite/recipe), or the first digits of the key of a stored run."
    )


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _shortest(path: Path) -> Path:
    """A path relative to the current folder where it lies below, as a person would type it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
