"""Plugin name -> installed plugin, imported on demand."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points

from slmcheck.errors import UnknownPluginError

TRAINERS = "slmcheck.trainers"
EXPORTERS = "slmcheck.exporters"
RECIPE_READERS = "slmcheck.recipe_readers"


def plugin_names(group: str) -> list[str]:
    """Names of the installed plugins of an entry-point group, sorted."""
    return sorted({entry.name for entry in entry_points(group=group)})


def find_plugin(group: str, name: str) -> object:
    """The object that an entry point names; imports its module.

    Raises:
        UnknownPluginError: If no installed plugin of the group has that name, or its module cannot be imported.
    """
    found = _entry_point(group, name)
    try:
        return found.load()
    except ImportError as error:
        raise UnknownPluginError(
            f"Plugin '{name}' is installed but cannot be imported: {error}.\n"
            f"It is {found.value} of group {group}.\n"
            "Install what it needs, or reinstall it."
        ) from error


def _entry_point(group: str, name: str) -> EntryPoint:
    for entry in entry_points(group=group):
        if entry.name == name:
            return entry
    kind, names = group.rpartition(".")[2].removesuffix("s").replace("_", " "), plugin_names(group)
    close = get_close_matches(name, names, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    raise UnknownPluginError(
        f"Unknown {kind} '{name}'.\nInstalled {kind}s: {', '.join(names) or 'none'}.{hint}\n"
        "If it comes from a package of its own, install that package."
    )
