"""`slmcheck diagnose`: a run -> why it overfits or performs poorly, and what to change."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from slmcheck.cli.options import RUN_HELP, add_work_options, workspace_of
from slmcheck.cli.output import Result, indented, table
from slmcheck.cli.parsing import Parser
from slmcheck.cli.studies import add_diagnosis_studies, diagnosis_studies
from slmcheck.diagnosis import Diagnosed
from slmcheck.errors import UnknownRunError
from slmcheck.evaluation.description import describe
from slmcheck.evaluation.diagnosing import diagnosis_of
from slmcheck.evaluation.failed import failed_diagnosis
from slmcheck.evaluation.fixing import patch_of, write_recipe
from slmcheck.evaluation.opening import open_run, recipe_meant
from slmcheck.evaluation.run import Run
from slmcheck.records import Finding, Json, Recipe, to_json
from slmcheck.records.disclosure import shown_findings
from slmcheck.reports.compact import compact_pictures
from slmcheck.workspace import Workspace

EXAMPLES = """\
  slmcheck diagnose phrase_tone/lora                              the cause, its evidence and its remedy
  slmcheck diagnose phrase_tone/lora --write-recipe fixed.yaml    the recipe with the remedy carried out
  slmcheck diagnose phrase_tone/lora --try                        train that recipe, and compare
  slmcheck diagnose phrase_tone/lora --learning-curve             would more rows help
  slmcheck diagnose phrase_tone/lora --json                       every finding in order, for programs"""
SYMBOLS = {"problem": "✗", "warning": "~", "note": "+"}


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument("run", metavar="RUN", help=RUN_HELP)
    parser.add_argument(
        "--write-recipe",
        type=Path,
        metavar="FILE",
        help="write the recipe with the remedies carried out (.yaml, .json)",
    )
    add_diagnosis_studies(parser)
    add_work_options(parser)


def execute(arguments: argparse.Namespace) -> Result:
    """Diagnose, and write the changed recipe where that was asked for. Exit status 1 if there is a problem."""
    workspace = workspace_of(arguments, [arguments.run])
    run, recipe, found = _found(arguments.run, workspace)
    shown = found if run is None else replace(found, findings=shown_findings(found.findings, run.disclosure))
    text, document = diagnosis_text(recipe, shown), diagnosis_document(recipe, shown, run)
    if run is not None and (pictures := compact_pictures(describe(run))):
        text += f"\n\n{pictures}"
    if arguments.write_recipe is not None:
        patch = write_recipe(recipe, found.findings, arguments.write_recipe)
        changed = "\n".join(f"  {name}: {value}" for name, value in patch.items())
        text += f"\n\nwrote {arguments.write_recipe} with\n{changed}"
        document["written"] = str(arguments.write_recipe)
    texts, studied = diagnosis_studies(arguments, run, recipe, found.findings, workspace)
    text, document = "\n\n".join([text, *texts]), {**document, **studied}
    return Result(text=text, document=document, status=int(any(one.severity == "problem" for one in found.findings)))


def _found(name: str, workspace: Workspace) -> tuple[Run | None, Recipe, Diagnosed]:
    """The diagnosis of a run, or of the training that failed under its recipe."""
    try:
        run = open_run(name, workspace=workspace)
    except UnknownRunError:
        recipe = recipe_meant(name, workspace)
        failed = failed_diagnosis(recipe, workspace)
        if failed is None:
            raise
        return None, recipe, failed
    return run, run.recipe, diagnosis_of(run).found


def diagnosis_text(recipe: Recipe, found: Diagnosed) -> str:
    """The findings for a person: the cause first, what follows from it under it."""
    parts = [_head(recipe, found.findings)]
    parts += [finding_text(finding) for finding in found.findings]
    patch = patch_of(found.findings)
    if patch:
        rows = [(name, str(value)) for name, value in patch.items()]
        command = f"slmcheck diagnose {recipe.name} --write-recipe fixed.yaml"
        parts.append(f"recipe change ({command}):\n{indented(table(rows))}")
    if found.notes:
        parts.append("\n".join(found.notes))
    return "\n\n".join(parts)


def _head(recipe: Recipe, findings: Sequence[Finding]) -> str:
    first = next((finding for finding in findings if finding.severity != "note"), None)
    if first is None:
        return f"{recipe.name}: nothing is wrong with this run."
    return f"{recipe.name}: {first.cause}"


def finding_text(finding: Finding) -> str:
    """One finding with its evidence, remedy and consequences."""
    lines = [f"{SYMBOLS[finding.severity]} {finding.severity}: {finding.cause}", f"  {finding.summary}"]
    lines += [f"  - {line}" for line in finding.evidence]
    if finding.remedy:
        lines.append(f"  remedy: {finding.remedy}")
    if finding.next_experiment:
        lines.append(f"  next: {finding.next_experiment}")
    if finding.consequences:
        lines.append("  what follows from it:")
        lines += [f"    {SYMBOLS[one.severity]} {one.cause}: {one.summary}" for one in finding.consequences]
    return "\n".join(lines)


def diagnosis_document(recipe: Recipe, found: Diagnosed, run: Run | None) -> dict[str, Json]:
    """The findings for programs."""
    return {
        "run": recipe.name,
        "key": None if run is None else run.key,
        "findings": [to_json(finding) for finding in found.findings],
        "recipe_patch": patch_of(found.findings),
        "divergence": to_json(found.divergence),
        "reliability": [to_json(one) for one in found.reliability],
        "slices": [to_json(one) for one in found.slices],
        "notes": list(found.notes),
    }
