"""`slmcheck baseline`: accept, show and compare the committed scores of a run, through its history and its merges."""

from __future__ import annotations

import argparse
from pathlib import Path

from slmcheck.cli.options import RUN_HELP, add_work_options, workspace_of
from slmcheck.cli.output import Result, say, table
from slmcheck.cli.parsing import Parser, comma_separated
from slmcheck.cli.releases import change_line, log, settle
from slmcheck.cli.scores import changed_document, changes_text, flips_document
from slmcheck.errors import ComparisonError, MissingBaselineError
from slmcheck.evaluation.accepting import Acceptance, accept, accepted_before, header_of, replace_baseline
from slmcheck.evaluation.baseline import FOLDER, Baseline
from slmcheck.evaluation.comparing import compare_sides
from slmcheck.evaluation.library import accepted_file
from slmcheck.evaluation.opening import open_run, recipe_meant, recipe_view
from slmcheck.records import Json, to_json
from slmcheck.storage import BaselineScore, read_baseline

EXAMPLES = """\
  slmcheck baseline accept phrase_tone/lora                       what the store holds of the run becomes the baseline
  slmcheck baseline accept phrase_tone/lora --from slm-report     what CI measured, without store, GPU or torch
  slmcheck baseline show phrase_tone/lora
  slmcheck baseline log phrase_tone/lora                          every release: primary scores, who accepted it and why
  slmcheck baseline resolve phrase_tone/lora                      after a merge of two accepts: judge both, write one
  slmcheck baseline diff phrase_tone/lora                         the run against what was accepted"""


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    commands = parser.add_subcommands()
    accepting = commands.add_parser(
        "accept",
        help="make the measured scores of a run its baseline",
        description="Make the measured scores of a run its baseline. Never trains and never measures.",
    )
    accepting.add_argument("run", metavar="RUN", help=RUN_HELP)
    accepting.add_argument(
        "--from",
        dest="source",
        metavar="REPORT_DIR",
        help="accept what a session measured elsewhere: its report folder",
    )
    accepting.add_argument(
        "--accept-regression", metavar="REASON", help="accept although a score became worse; the reason is kept"
    )
    accepting.add_argument("--reason", metavar="TEXT", default="", help="why this run is accepted; kept in the file")
    accepting.add_argument("--anchor", action="store_true", help="write the pinned first release (baseline.anchor)")
    accepting.add_argument("--private", action="store_true", help="keep answers as hashes only")
    showing = commands.add_parser("show", help="what was accepted", description="What was accepted, when and of what.")
    showing.add_argument("run", metavar="RUN", help=RUN_HELP)
    showing.add_argument("--anchor", action="store_true", help="the pinned first release")
    differing = commands.add_parser(
        "diff", help="the run against its baseline", description="The run against its baseline, flipped examples first."
    )
    differing.add_argument("run", metavar="RUN", help=RUN_HELP)
    differing.add_argument("--anchor", action="store_true", help="against the pinned first release")
    add_work_options(differing)
    logging = commands.add_parser(
        "log", help="every release with its scores", description="The accepted baselines in the history of git."
    )
    logging.add_argument("run", metavar="RUN", help=RUN_HELP)
    logging.add_argument(
        "--metric",
        action="append",
        type=comma_separated,
        metavar="NAME",
        help="which scores; may be repeated (default: those of gates marked slm_primary)",
    )
    logging.add_argument("--anchor", action="store_true", help="the pinned first release")
    resolving = commands.add_parser(
        "resolve",
        help="judge both sides of a merge again and write one",
        description="Write the baseline that git could not merge: the run of the merged recipe, judged against both.",
    )
    resolving.add_argument("run", metavar="RUN", help=RUN_HELP)
    resolving.add_argument(
        "--from", dest="source", metavar="REPORT_DIR", help="what a session measured of the merged recipe"
    )
    resolving.add_argument("--take", choices=("ours", "theirs"), help="take a side as it is")
    resolving.add_argument(
        "--accept-regression", metavar="REASON", help="accept although a score became worse; the reason is kept"
    )
    resolving.add_argument("--anchor", action="store_true", help="the pinned first release")


def execute(arguments: argparse.Namespace) -> Result:
    """Accept, show, compare, list or resolve; a regression that is refused is status 1."""
    commands = {"accept": _accept, "show": _show, "diff": _diff, "log": log, "resolve": settle}
    try:
        return commands[arguments.subcommand](arguments)
    except ComparisonError as error:
        if arguments.subcommand not in ("accept", "resolve"):
            raise
        say(str(error))
        return Result(text="", document={"accepted": False, "reason": str(error)}, status=1)


def _accept(arguments: argparse.Namespace) -> Result:
    accepted = _accepted(arguments)
    before = {verdict.record.metric: verdict for verdict in accepted.verdicts}
    lines = [change_line(verdict) for verdict in accepted.verdicts]
    listed = table([_row(score) for score in accepted.scores], header=_HEADER)
    text = "\n".join([f"Accepted {len(accepted.scores)} scores: {header_of(accepted)}", listed, *lines])
    return Result(
        text=f"{text}\nCommit both files: git add '{accepted.folder}'",
        document={
            "accepted": True,
            "file": str(header_of(accepted)),
            "scores": [to_json(score) for score in accepted.scores],
            "changes": {name: to_json(verdict.record) for name, verdict in before.items()},
        },
    )


def _accepted(arguments: argparse.Namespace) -> Acceptance:
    workspace = workspace_of(arguments, [arguments.run])
    reason, why, anchor = arguments.accept_regression, arguments.reason, bool(arguments.anchor)
    if arguments.source is None:
        run = open_run(arguments.run, workspace=workspace)
        private = bool(arguments.private)
        return accept(run, run.recipe.directory, reason=reason, why=why, anchor=anchor, private=private)
    recipe = recipe_meant(arguments.run, workspace)
    view = recipe_view(recipe, workspace)
    before = accepted_before(view, recipe.directory, anchor=anchor)
    file = accepted_file(arguments.source, recipe)
    return replace_baseline(view, before, file, recipe.directory, reason=reason, why=why, anchor=anchor)


_HEADER = ("score", "value", "95 % interval", "n", "split")


def _row(score: BaselineScore) -> tuple[str, str, str, str, str]:
    name = f"{score.variant} {score.metric}" if score.variant else score.metric
    bounds = "none" if score.low is None or score.high is None else f"{score.low:.4g} .. {score.high:.4g}"
    return name, f"{score.value:.4g}", bounds, f"{score.n:,}", score.split


def _show(arguments: argparse.Namespace) -> Result:
    workspace = workspace_of(arguments, [arguments.run])
    recipe = recipe_meant(arguments.run, workspace)
    stem = recipe.name.rpartition("/")[2] + (".anchor" if arguments.anchor else "")
    header = read_baseline(recipe.directory / FOLDER, stem).header
    facts = [("file", str(recipe.directory / FOLDER / f"{stem}.json")), ("accepted", header.created)]
    facts += [(name, value) for name, value in (("by", header.by), ("why", header.reason)) if value]
    facts += [("run key", (header.run_key or "none")[:12]), ("made on", str(header.environment))]
    facts += [(f"accepted although {item.metric} fell", item.reason) for item in header.regressions]
    listed = table([_row(score) for score in header.scores], header=_HEADER)
    document: dict[str, Json] = {"file": facts[0][1], "baseline": to_json(header)}
    return Result(text=f"{table(facts)}\n\n{listed}", document=document)


def _diff(arguments: argparse.Namespace) -> Result:
    run = open_run(arguments.run, workspace=workspace_of(arguments, [arguments.run]))
    baseline = Baseline.of(run, Path(run.recipe.directory), anchor=bool(arguments.anchor))
    if not baseline.exists:
        raise MissingBaselineError(
            f"Run '{run.recipe.name}' has no baseline yet.\nLooked in {run.recipe.directory / FOLDER}.\n"
            f"Accept the current scores: slmcheck baseline accept {run.recipe.path or run.recipe.name}"
        )
    compared = compare_sides(baseline, run, workspace=run.workspace)
    return Result(
        text=changes_text(compared, full=False),
        document={
            "run": run.recipe.name,
            "scores": [changed_document(changed) for changed in compared.scores],
            "flips": flips_document(compared.flips),
            "left_out": list(compared.left_out),
        },
    )
