"""`slmcheck cache`: look after the store."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path

from slmcheck.cli.options import workspace_of
from slmcheck.cli.output import Result, megabytes, say
from slmcheck.cli.parsing import Parser
from slmcheck.errors import InputError
from slmcheck.evaluation.keys import base_checkpoints_of_suites, keys_of_baselines, keys_of_suites, why
from slmcheck.records import Json, to_json
from slmcheck.storage import Carried, key_of_runs, remote_at

EXAMPLES = """\
  slmcheck cache why phrase_tone/lora                         why the stored run does not count any more
  slmcheck cache why 3f2a 9b1c                                the leaf in which two run keys differ
  slmcheck cache gc --max-size 20G --keep-days 30             runs that baselines name always stay
  slmcheck cache verify                                       compare every file with its hash
  slmcheck cache export --keys-for suites -o cache.tar        for another machine
  slmcheck cache import cache.tar
  slmcheck cache pull                                         what the recipes here ask for, from SLMCHECK_REMOTE
  slmcheck cache push --keys-for suites --remote s3://models/slmcheck
  slmcheck cache key --suites suites                          one key for a CI cache"""
SIZE = re.compile(r"^(\d+(?:\.\d+)?)\s*([kKMGT]?)B?$")
FACTORS = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    commands = parser.add_subcommands()
    asking = commands.add_parser(
        "why", help="the leaves in which two run keys differ", description="The leaves in which two run keys differ."
    )
    asking.add_argument("a", metavar="A", help="a RUN; a recipe stands for what it asks for now")
    asking.add_argument("b", metavar="B", nargs="?", help="a RUN (default: A compared with its newest stored run)")
    collecting = commands.add_parser(
        "gc",
        help="delete what was not used for a while",
        description="Delete what was not used for a while, then the least recently used above a size. "
        "Runs that committed baselines name, and trainings under way, stay.",
    )
    collecting.add_argument("--max-size", metavar="SIZE", help="how much the store may hold, such as 20G or 500M")
    collecting.add_argument(
        "--keep-days", type=float, default=30.0, metavar="N", help="how long an unused entry stays (default: 30)"
    )
    collecting.add_argument(
        "--pull-requests", action="store_true", help="delete what pull requests made, and nothing else"
    )
    collecting.add_argument("--dry-run", action="store_true", help="say what would be deleted, delete nothing")
    commands.add_parser(
        "verify",
        help="compare every file with its hash",
        description="Compare every file with its hash; damaged entries are put aside and made again. Exit status 1 "
        "if there was one.",
    )
    exporting = commands.add_parser(
        "export", help="write runs to a tar file", description="Write runs and what was made of them to a tar file."
    )
    exporting.add_argument(
        "--keys-for", action="append", required=True, metavar="SUITES", help="folder of suites, or a recipe; repeatable"
    )
    exporting.add_argument("-o", "--output", required=True, metavar="FILE", help="the tar file")
    importing = commands.add_parser(
        "import", help="take over such a tar file", description="Take over the entries of a tar file, verified."
    )
    importing.add_argument("file", metavar="FILE", help="what slmcheck cache export wrote")
    keying = commands.add_parser(
        "key", help="one key for the runs of suites", description="One key for the runs of suites: that of a CI cache."
    )
    keying.add_argument(
        "--suites", action="append", metavar="SUITES", help="folder of suites, or a recipe; repeatable (default: .)"
    )

    pushing = commands.add_parser(
        "push",
        help="carry entries to the remote",
        description="Carry entries to the remote, one by one; those that are whole there stay. May be interrupted at "
        "any moment and repeated. Exit status 3 if an entry is damaged.",
    )
    pulling = commands.add_parser(
        "pull",
        help="take over entries of the remote",
        description="Take over entries of the remote, each verified; those in the store stay. May be interrupted at "
        "any moment and repeated. Exit status 3 if an entry is damaged.",
    )
    for moving in (pushing, pulling):
        which = moving.add_mutually_exclusive_group()
        which.add_argument(
            "--keys-for",
            action="append",
            metavar="SUITES",
            help="folder of suites, or a recipe; repeatable (default: .)",
        )
        which.add_argument("--all", action="store_true", help="every entry, whatever recipe asks for it")
        moving.add_argument(
            "--remote", metavar="PLACE", help="a folder, s3://, gs:// or hf:// (default: the variable SLMCHECK_REMOTE)"
        )
    pushing.add_argument("--replace", action="store_true", help="carry also what looks whole on the remote")
    pulling.add_argument("--release", action="store_true", help="leave what pull requests made")


def execute(arguments: argparse.Namespace) -> Result:
    """Carry out the named part."""
    return {
        "why": _why, "gc": _collect, "verify": _verify, "export": _export, "import": _import, "key": _key,
        "push": _move, "pull": _move,
    }[arguments.subcommand](arguments)  # fmt: skip


def _why(arguments: argparse.Namespace) -> Result:
    given = [arguments.a, arguments.b] if arguments.b is not None else [arguments.a]
    found = why(arguments.a, arguments.b, workspace_of(arguments, given))
    text = "\n".join(map(str, found)) or "Nothing differs: both have the same key."
    return Result(text=text, document={"differences": [to_json(difference) for difference in found]})


def _collect(arguments: argparse.Namespace) -> Result:
    workspace = workspace_of(arguments)
    limit = size_of(arguments.max_size) if arguments.max_size is not None else None
    keep = keys_of_baselines(workspace.root)
    done = workspace.store.gc(
        max_bytes=limit,
        keep_days=arguments.keep_days,
        keep_runs=keep,
        of_pull_requests=bool(arguments.pull_requests),
        dry_run=bool(arguments.dry_run),
    )
    verb = "would be deleted" if arguments.dry_run else "deleted"
    text = (
        f"{len(done.deleted):,} entries {verb}, {megabytes(done.freed_bytes)}; {done.kept:,} stay, "
        f"{megabytes(done.kept_bytes)}, {done.protected:,} of them because baselines name them."
    )
    listed = "".join(f"\n  {name}" for name in done.deleted) if arguments.dry_run else ""
    return Result(text=text + listed, document=to_json(done))


def size_of(text: str) -> int:
    """Bytes of a size such as `20G`.

    Raises:
        InputError: If it is no size.
    """
    found = SIZE.match(text.strip())
    if found is None:
        raise InputError(f"'{text}' is no size.\nWrite a number of bytes, or one with k, M, G or T: 500M, 20G.")
    return round(float(found[1]) * FACTORS[found[2]])


def _verify(arguments: argparse.Namespace) -> Result:
    store = workspace_of(arguments).store
    found = store.check()
    lines = [f"{found.whole:,} entries of {store.root} are whole.", *found.damaged]
    return Result(text="\n".join(lines), document=to_json(found), status=int(bool(found.damaged)))


def _export(arguments: argparse.Namespace) -> Result:
    workspace = workspace_of(arguments, folders=arguments.keys_for)
    folders = [Path(folder) for folder in arguments.keys_for]
    keys = keys_of_suites(folders, workspace)
    done = workspace.store.export_runs(
        [key for found in keys.values() for key in found],
        Path(arguments.output),
        checkpoint_keys=base_checkpoints_of_suites(folders, workspace),
    )
    recipes = f"{len(keys)} recipe{'s' if len(keys) != 1 else ''}"
    text = f"{arguments.output}: {recipes}, {len(done.entries):,} entries, {megabytes(done.size_bytes)}."
    return Result(text=text, document=_carried(done))


def _import(arguments: argparse.Namespace) -> Result:
    done = workspace_of(arguments).store.import_tar(Path(arguments.file))
    text = f"{len(done.entries):,} entries, {done.already_there:,} of them already in the store."
    return Result(text=text, document=_carried(done))


def _move(arguments: argparse.Namespace) -> Result:
    remote = remote_at(arguments.remote)
    given = arguments.keys_for or ["."]
    workspace = workspace_of(arguments, folders=() if arguments.all else given)
    keys: list[str] | None = None
    names: dict[str, str] = {}
    if not arguments.all:
        folders = [Path(folder) for folder in given]
        names = {key: name for name, found in keys_of_suites(folders, workspace).items() for key in found}
        keys = [*names, *base_checkpoints_of_suites(folders, workspace)]
    pushes = arguments.subcommand == "push"
    if pushes:
        done = workspace.store.push(remote, keys, replaces=bool(arguments.replace))
    else:
        done = workspace.store.pull(remote, keys, is_release=bool(arguments.release))
    done = replace(done, missing=tuple(key for key in done.missing if key in names))  # base models are no runs
    missing = [f"{names[key]} ({key[:12]})" for key in done.missing]
    source = "in the store" if pushes else "on the remote"
    lines = [
        f"{len(done.moved):,} entries {'pushed to' if pushes else 'pulled from'} {done.remote}, "
        f"{megabytes(done.size_bytes)}; {done.already_there:,} were there already."
    ]
    lines += [f"Not {source}: {', '.join(missing)}."] if missing else []
    lines += [f"Left, for a release: {item}" for item in done.refused]
    lines += [f"Note: {note}" for note in done.notes]
    if done.damaged:
        say(
            f"{len(done.damaged)} damaged, nothing of it was taken:\n" + "\n".join(f"  {item}" for item in done.damaged)
        )
    return Result(text="\n".join(lines), document=to_json(done), status=3 if done.damaged else 0)


def _carried(done: Carried) -> dict[str, Json]:
    return {"entries": list(done.entries), "already_there": done.already_there, "size_bytes": done.size_bytes}


def _key(arguments: argparse.Namespace) -> Result:
    folders = arguments.suites or ["."]
    keys = keys_of_suites([Path(folder) for folder in folders], workspace_of(arguments, folders=folders))
    digest = key_of_runs([key for found in keys.values() for key in found])
    return Result(text=digest, document={"key": digest, "runs": {name: list(found) for name, found in keys.items()}})
