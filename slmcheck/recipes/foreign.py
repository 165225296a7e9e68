"""Recipes in the form of another tool -> ours, through the readers that are installed (`slmcheck.recipe_readers`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, cast

from slmcheck.discovery import RECIPE_READERS, find_plugin, plugin_names
from slmcheck.recipes.documents import SUFFIXES, Node, read_document
from slmcheck.records import Json

BoundForm = Literal["at_least", "at_most", "no_worse_than_baseline", "better_than_base"]


@dataclass(frozen=True, kw_only=True)
class Note:
    """What became of one key of the other tool."""

    key: str
    """As the other tool has it: `--max_samples`, `passes.lora.r`."""
    text: str
    """One sentence without its final stop."""

    def __str__(self) -> str:
        return f"{self.key}: {self.text}"


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A condition on a score that the other tool's file states; a suite asserts it."""

    metric: str
    form: BoundForm
    value: float
    key: str
    """Where the file states it."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A recipe of another tool, as ours would have it."""

    fields: Mapping[str, Json]
    """The content of a recipe file."""
    notes: tuple[Note, ...] = ()
    """What changed or fell away, in the order of the source."""
    bounds: tuple[Bound, ...] = ()


class RecipeReader(Protocol):
    """Reads the recipes of one other tool."""

    def recognises(self, document: Mapping[str, Json]) -> bool:
        """Whether a mapping has the form of that tool."""
        ...

    def read(self, sources: Sequence[str], directory: Path) -> Reading:
        """The recipe of files or command lines; later ones change what earlier ones say.

        Args:
            sources: Paths or commands.
            directory: Where relative paths of the recipe will start.

        Raises:
            RecipeError: If something has no place in a recipe; lists every problem.
        """
        ...


def reader_of(name: str) -> RecipeReader:
    """The reader of a tool.

    Raises:
        UnknownPluginError: If none of that name is installed.
    """
    return cast("type[RecipeReader]", find_plugin(RECIPE_READERS, name))()


def foreign_reader(root: Node) -> RecipeReader | None:
    """The reader whose form a file has; None for a recipe of our own."""
    plain = root.plain()
    if not isinstance(plain, Mapping) or "base_model" in plain or "trainer" in plain:
        return None
    for name in plugin_names(RECIPE_READERS):
        reader = reader_of(name)
        if reader.recognises(cast("Mapping[str, Json]", plain)):
            return reader
    return None


def foreign_notes(path: Path) -> tuple[Note, ...]:
    """What changed or fell away where a file in another tool's form is read as a recipe; empty for one of our own.

    Raises:
        RecipeError: If the file cannot be read.
    """
    if path.suffix.lower() not in SUFFIXES:
        return ()
    reader = foreign_reader(read_document(path).root)
    return () if reader is None else reader.read([str(path)], path.absolute().parent).notes
