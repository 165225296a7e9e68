"""Options that several commands share, and the workspace that they describe."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from slmcheck.cli.parsing import Parser
from slmcheck.cli.progress import progress_line
from slmcheck.evaluation.naming import is_recipe_file, project_root
from slmcheck.workspace import Workspace

RUN_HELP = "recipe file, name (suite/recipe) or first digits of a run key"


def add_work_options(parser: Parser) -> None:
    """Options of commands that may load a model."""
    parser.add_argument("--device", choices=("cpu", "cuda", "mps"), help="device class (default: detected)")
    parser.add_argument(
        "--offline", action="store_true", help="never train or predict: what the store lacks is an error"
    )


def workspace_of(arguments: argparse.Namespace, runs: Sequence[str] = (), *, folders: Sequence[str] = ()) -> Workspace:
    """The workspace of the project that recipe files among `runs`, or folders of suites, lie in.

    Names of runs, models and rows say nothing of the project: then it is that of the current folder.
    """
    paths = [Path(text) for text in runs if is_recipe_file(Path(text))]
    workspace = Workspace.at(project_root([*paths, *map(Path, folders)]))
    return replace(
        workspace,
        device=getattr(arguments, "device", None),
        offline=bool(getattr(arguments, "offline", False)),
        on_progress=progress_line(),
    )
