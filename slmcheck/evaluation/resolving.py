"""Two people accepted different runs of one recipe: judge both again, and write the baseline of what was merged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from slmcheck.errors import DataError, InputError, MissingBaselineError, OfflineMissError, UnknownRunError
from slmcheck.evaluation.accepting import Acceptance, candidate, replace_baseline
from slmcheck.evaluation.baseline import FOLDER, Baseline
from slmcheck.evaluation.keys import keys_of
from slmcheck.evaluation.opening import open_run, recipe_view
from slmcheck.records import Recipe
from slmcheck.storage import read_baseline
from slmcheck.storage.baselines import Baseline as BaselineFile
from slmcheck.storage.baselines import examples_path, header_path, parse_baseline
from slmcheck.storage.git import contents, merge_sides
from slmcheck.workspace import Workspace

Side = Literal["ours", "theirs"]


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """Which run became the baseline, and how it compares with both that were accepted."""

    acceptance: Acceptance
    taken: str
    """`ours`, `theirs` or `merged`: a run of the merged recipe that neither side had accepted."""
    keys: Mapping[Side, str]
    """The run that each side had accepted."""


def resolve(
    recipe: Recipe,
    workspace: Workspace,
    *,
    anchor: bool = False,
    take: Side | None = None,
    measured: BaselineFile | None = None,
    reason: str | None = None,
) -> Resolved:
    """Write the baseline of a recipe whose file git could not merge.

    The run of the merged recipe is what is shipped, so its scores are judged against both sides and written: what a
    session measured elsewhere, what the store holds, or the side that had accepted this very run.

    Args:
        recipe: The recipe as it was merged.
        workspace: Whose store is asked.
        anchor: Whether the pinned first release is meant.
        take: Take this side, whatever the recipe asks for now.
        measured: What a session measured elsewhere.
        reason: Why a regression is accepted.

    Raises:
        InputError: If there is no conflict, or the merged recipe was not run yet.
        ComparisonError: If the run is worse than one of the sides and no reason is given.
        DataError: If a side's baseline is damaged.
    """
    stem = recipe.name.rpartition("/")[2] + (".anchor" if anchor else "")
    folder = recipe.directory / FOLDER
    _refuse_whole(folder, stem)
    sides = _sides(folder, stem)
    taken, file = _chosen(recipe, workspace, sides, take, measured)
    view = recipe_view(recipe, workspace)
    before = [
        Baseline(view, side, missing="{has}", folder=recipe.directory, label=name)
        for name, side in sides.items()
        if name != taken
    ]
    done = replace_baseline(
        view, before, file, recipe.directory, reason=reason, why=_why(file, taken, sides), anchor=anchor
    )
    keys: dict[Side, str] = {name: side.header.run_key or "none" for name, side in sides.items()}
    return Resolved(acceptance=done, taken=taken, keys=keys)


def _refuse_whole(folder: Path, stem: str) -> None:
    """Refuse a baseline that can be read: it would be thrown away for nothing."""
    try:
        read_baseline(folder, stem)
    except (DataError, MissingBaselineError):
        return
    raise InputError(
        f"There is no conflict in {header_path(folder, stem)}: the baseline can be read.\n"
        "To put another run in its place: slmcheck baseline accept RUN"
    )


def _sides(folder: Path, stem: str) -> dict[Side, BaselineFile]:
    path, lines = header_path(folder, stem), examples_path(folder, stem)
    commits = merge_sides(path)
    if commits is None:
        raise InputError(
            f"{path} cannot be read, and git knows of no merge that is under way.\n"
            f"Restore it: git checkout HEAD -- '{path}' '{lines}'"
        )
    named: tuple[tuple[Side, str], ...] = (("ours", commits.ours), ("theirs", commits.theirs))
    headers = contents(path, [commit for _, commit in named])
    texts = contents(lines, [commit for _, commit in named])
    found: dict[Side, BaselineFile] = {}
    for (name, commit), header, text in zip(named, headers, texts, strict=True):
        if header is None or text is None:
            missing = path if header is None else lines
            raise InputError(
                f"'{name}' ({commit[:10]}) has no {missing.name}, so there are no two baselines to judge.\n"
                f"Take the other side: git checkout --{'theirs' if name == 'ours' else 'ours'} -- '{path}' '{lines}'"
            )
        found[name] = parse_baseline(path, header, lines, text)
    return found


def _chosen(
    recipe: Recipe,
    workspace: Workspace,
    sides: Mapping[Side, BaselineFile],
    take: Side | None,
    measured: BaselineFile | None,
) -> tuple[str, BaselineFile]:
    if take is not None:
        return take, sides[take]
    file = measured if measured is not None else _in_store(recipe, workspace)
    asked = file.header.run_key if file is not None else keys_of(recipe, workspace)[0]
    for name, side in sides.items():
        if side.header.run_key == asked:
            return name, side if file is None else file
    if file is not None:
        return "merged", file
    accepted = " and ".join(f"{(side.header.run_key or 'none')[:12]} ({name})" for name, side in sides.items())
    raise InputError(
        f"The merged recipe '{recipe.name}' asks for run {(asked or 'none')[:12]}, which neither side accepted "
        f"and nobody measured yet.\nAccepted: {accepted}.\n"
        f"Run its suite first: pytest {recipe.directory} (or --from REPORT_DIR), then resolve again; "
        "or take a side as it is: --take ours | theirs"
    )


def _in_store(recipe: Recipe, workspace: Workspace) -> BaselineFile | None:
    """What the store holds of the merged recipe; None where nothing was measured."""
    try:
        return candidate(open_run(recipe, workspace=workspace))
    except (UnknownRunError, MissingBaselineError, OfflineMissError):
        return None


def _why(file: BaselineFile, taken: str, sides: Mapping[Side, BaselineFile]) -> str:
    """What is kept as the reason: that of the side that was taken, and that there was another."""
    others = [f"{(side.header.run_key or 'none')[:12]} by {side.header.by or 'unknown'}"
              for name, side in sides.items() if name != taken]  # fmt: skip
    own = f"{file.header.reason}; " if file.header.reason else ""
    return f"{own}resolved against {' and '.join(others)}"
