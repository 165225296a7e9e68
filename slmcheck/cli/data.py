"""`slmcheck data check`: a recipe and its rows -> everything that is wrong with them, before training."""

from __future__ import annotations

import argparse

from slmcheck.cli.options import workspace_of
from slmcheck.cli.output import Result, indented, say_notes
from slmcheck.cli.parsing import Parser
from slmcheck.evaluation.checking import SPLITS, Checked, check_recipe
from slmcheck.evaluation.opening import recipe_meant
from slmcheck.records import Json, to_json

EXAMPLES = """\
  slmcheck data check suites/phrase_tone/lora.yaml         problems, findings, one rendered row
  slmcheck data check phrase_tone/lora --ids               the id of every row, for saved predictions"""


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    commands = parser.add_subcommands()
    check = commands.add_parser("check", help="every problem of a recipe and its rows", description=CHECK)
    check.add_argument("recipe", metavar="RECIPE", help="recipe file, or the name of one (suite/recipe)")
    check.add_argument("--ids", action="store_true", help="list the id and the place of every usable row")


CHECK = "Every problem of a recipe and its rows, and what is worth knowing of the rows. Exit status 1 if there is one."


def execute(arguments: argparse.Namespace) -> Result:
    """Check, and show one row as the model reads it."""
    recipe = recipe_meant(arguments.recipe, workspace_of(arguments, [arguments.recipe]))
    say_notes(recipe.path)
    checked = check_recipe(recipe)
    parts = [_ids(checked)] if arguments.ids else []
    return Result(
        text="\n\n".join([*parts, _text(checked)]),
        document=_document(checked, ids=bool(arguments.ids)),
        status=int(not checked.is_sound),
    )


def _text(checked: Checked) -> str:
    rows = ", ".join(f"{checked.rows[split]:,} {split}" for split in SPLITS)
    evaluated = checked.splits.evaluation_split(checked.recipe)
    parts = [f"{checked.recipe.name}: {rows} rows; scores are of {evaluated}."]
    if checked.problems:
        listed = "\n".join(f"  {problem}." for problem in checked.problems)
        parts.append(f"{_count(len(checked.problems), 'problem')} keep it from being trained:\n{listed}")
    for finding in checked.findings:
        lines = [f"{finding.severity}: {finding.summary}", *(f"  {line}" for line in finding.evidence)]
        parts.append("\n".join([*lines, *([f"  remedy: {finding.remedy}"] if finding.remedy else [])]))
    if checked.is_sound and all(finding.severity == "note" for finding in checked.findings):
        parts.append("Nothing is wrong with the rows.")
    if checked.rendered_row:
        what = "as the model reads it" if checked.has_tokenizer else "without special tokens (no tokenizer is at hand)"
        parts.append(f"One training row {what}, what is learned between [[ and ]]:\n{indented(checked.rendered_row)}")
    return "\n\n".join(parts)


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _ids(checked: Checked) -> str:
    return "\n".join(
        f"{example.id}  {split}  {example.source}" for split in SPLITS for example in checked.splits.of(split)
    )


def _document(checked: Checked, *, ids: bool) -> dict[str, Json]:
    document: dict[str, Json] = {
        "recipe": checked.recipe.name,
        "rows": {str(split): count for split, count in checked.rows.items()},
        "is_sound": checked.is_sound,
        "problems": [to_json(problem) for problem in checked.problems],
        "findings": [to_json(finding) for finding in checked.findings],
        "rendered_row": checked.rendered_row,
    }
    if ids:
        document["ids"] = {
            split: [{"id": example.id, "source": example.source} for example in checked.splits.of(split)]
            for split in SPLITS
        }
    return document
