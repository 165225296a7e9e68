"""Recipes and commands of Microsoft Olive, read without Olive: every key is mapped, noted or refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from slmcheck.errors import RecipeError
from slmcheck.recipes.documents import read_document
from slmcheck.recipes.foreign import Reading
from slmcheck.records import Json
from slmcheck_olive.command import ELSEWHERE, config_of_run, is_command, read_finetune, words_of
from slmcheck_olive.completing import completed
from slmcheck_olive.config import RECOGNISED, read_config
from slmcheck_olive.draft import Draft
from slmcheck_olive.places import place

__all__ = ["OliveReader", "read_command", "read_config"]


class OliveReader:
    """Reads run configs (YAML, JSON) and command lines of Olive, release 0.13 and the form of older tutorials."""

    def recognises(self, document: Mapping[str, Json]) -> bool:
        """Whether a mapping is a run config of Olive, or a part of one."""
        model = document.get("model")
        return bool(RECOGNISED & set(document)) or (isinstance(model, dict) and bool({"type", "config"} & set(model)))

    def read(self, sources: Sequence[str], directory: Path) -> Reading:
        """The recipe of files or commands; fragments, such as a search alone, change what the others say.

        Raises:
            RecipeError: If a key has no place in a recipe; lists every problem.
        """
        whole, folders = Draft(), [Path()]
        drafts = [(source, *_draft(source, folders)) for source in sources]
        # A fragment changes what a whole recipe says, whichever was named first.
        for _, draft, found in sorted(drafts, key=lambda item: item[1].is_fragment):
            whole.follow(draft)
            folders += found
        where = ", ".join(_shown(source) for source, _, _ in drafts)
        if not whole.problems:
            place(whole, folders[::-1] if _beside(sources, directory) else folders, directory)
        reading = completed(whole)
        if whole.problems:
            raise _refused(where, whole.problems)
        return reading


def read_command(command: str) -> Draft:
    """What `olive finetune ...` says; no file is opened.

    Raises:
        RecipeError: If the command does not train, or cannot be taken apart.
    """
    try:
        words = words_of(command)
    except ValueError as error:
        raise RecipeError(f"The command cannot be taken apart: {error}.\n{command.strip()}") from error
    name = words[0] if words else ""
    if name == "finetune":
        return read_finetune(words[1:])
    raise RecipeError(
        f"'olive {name}' has no place in a recipe: {ELSEWHERE.get(name, 'it does not train')}.\n"
        "A recipe describes training: olive finetune, or olive run --config FILE."
    )


def _draft(source: str, folders: Sequence[Path]) -> tuple[Draft, list[Path]]:
    """What a source says, and the folder of its file."""
    if not is_command(source):
        return _of_file(Path(source))
    try:
        words = words_of(source)
    except ValueError:
        words = []
    if words[:1] != ["run"]:
        return read_command(source), []
    draft = Draft()
    file = config_of_run(draft, words[1:])
    if file is None:
        return draft, []
    of_file, found = _of_file(Path(file))
    draft.follow(of_file)
    return draft, found


def _of_file(path: Path) -> tuple[Draft, list[Path]]:
    document = read_document(path)
    if document.problems:
        raise _refused(str(path), [f"line {line}: {text}." for line, text in document.problems])
    return read_config(cast("Mapping[str, Json]", document.root.plain())), [path.absolute().parent]


def _beside(sources: Sequence[str], directory: Path) -> bool:
    """Whether the only source is a file that serves as a recipe itself: then paths start at its own folder."""
    return len(sources) == 1 and not is_command(sources[0]) and Path(sources[0]).absolute().parent == directory


def _shown(source: str) -> str:
    return f"olive {words_of(source)[0]}" if is_command(source) else source


def _refused(where: str, problems: Sequence[str]) -> RecipeError:
    if len(problems) == 1:
        return RecipeError(f"{where}: {problems[0]}")
    return RecipeError("\n".join([f"{where} has {len(problems)} problems.", *(f"{where}: {one}" for one in problems)]))
