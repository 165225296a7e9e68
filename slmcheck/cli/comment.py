"""`slmcheck comment`: a report -> one comment of its pull request, found again by a hidden marker.

Made for a workflow on `workflow_run`: it holds the token and runs no code of the pull request. The report that it
reads was written by such code, so that nothing in it is trusted: it is parsed as data and rendered anew, the pull
request is looked up by what the event of GitHub says, and the conclusion of the job stands beside what the report says.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slmcheck import reports
from slmcheck.cli.github import API, Comment, GitHub, retried
from slmcheck.cli.output import Result
from slmcheck.cli.parsing import Parser
from slmcheck.errors import InputError
from slmcheck.evaluation.library import report_folder
from slmcheck.records import Json, Report
from slmcheck.reports import markdown
from slmcheck.reports.decision import decide
from slmcheck.reports.json import FILE_NAME
from slmcheck.reports.prepared import prepare

EXAMPLES = """\
  slmcheck comment slm-report                                      in a workflow on workflow_run: everything is known
  slmcheck comment slm-report --pull-request 12 --repository o/r   from anywhere, with GITHUB_TOKEN set
  slmcheck comment slm-report --print                              what the comment would be; sends nothing"""
BOT = "github-actions[bot]"
_MOST_BYTES = 200_000_000
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,60}")
_SHA = re.compile(r"[0-9a-f]{7,64}")
_MARK = re.compile(r"<!-- slmcheck:([A-Za-z0-9_.-]+) state=([a-z]+) sha=([0-9a-f]*) -->")
_ENDED = re.compile(r"[a-z_]{1,30}")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Which job wrote the report, as GitHub tells it."""

    owner: str = ""
    """Owner of the repository that the branch is in: a fork's, of a pull request from one."""
    branch: str = ""
    sha: str = ""
    conclusion: str = ""
    url: str = ""
    number: int | None = None
    repository: str = ""
    """Where the pull request is."""


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "source", metavar="DIR", nargs="?", default="latest", help="folder of a report, or latest (default: latest)"
    )
    parser.add_argument("--pull-request", type=int, metavar="N", help="its number (default: that of the event)")
    parser.add_argument("--repository", metavar="OWNER/NAME", help="default: GITHUB_REPOSITORY")
    parser.add_argument("--name", default="report", help="which comment, where a pull request has several")
    parser.add_argument("--event", metavar="FILE", help="the event of the workflow (default: GITHUB_EVENT_PATH)")
    parser.add_argument("--api", metavar="URL", help=f"address of the API (default: GITHUB_API_URL or {API})")
    parser.add_argument(
        "--author", default=BOT, metavar="NAME", help=f"whose comment is kept up to date (default: {BOT})"
    )
    parser.add_argument("--retries", type=int, default=3, metavar="N", help="when GitHub fails (default: 3)")
    parser.add_argument("--print", action="store_true", help="print the comment and send nothing")


def execute(arguments: argparse.Namespace) -> Result:
    """Write or update the comment."""
    if not _NAME.fullmatch(arguments.name):
        raise InputError(f"--name is '{arguments.name}'.\nExpected letters, digits, dots and dashes, 60 at most.")
    if arguments.retries < 0:
        raise InputError(f"--retries is {arguments.retries}; expected 0 or more.")
    origin = _origin(arguments)
    report = _untrusted_report(arguments.source, origin)
    if arguments.print:
        text = body(report, origin, name=arguments.name)
        return Result(text=text.rstrip("\n"), document={"action": "printed", "body": text})
    github = GitHub(
        arguments.repository or os.environ.get("GITHUB_REPOSITORY") or origin.repository,
        os.environ.get("GITHUB_TOKEN") or os.environ.get("GH_TOKEN") or "",
        api=arguments.api or os.environ.get("GITHUB_API_URL") or API,
    )
    number, why_not = _number(arguments.pull_request, origin, github)
    if number is None:
        return Result(text=why_not, document={"action": "none", "reason": why_not})
    done: dict[str, Json] = {"pull_request": number}

    def write() -> str:
        known = _sticky(github, number, arguments.name, arguments.author)
        text = body(report, origin, name=arguments.name, before=known.body if known is not None else "")
        if known is None:
            done["action"] = "created"
            return github.create_comment(number, text)
        if known.body == text:
            done["action"] = "unchanged"
            return known.url
        done["action"] = "updated"
        return github.update_comment(known.id, text)

    done["url"] = retried(write, retries=arguments.retries)
    return Result(text=f"Comment {done['action']}: {done['url']}", document=done)


def body(report: Report | None, origin: Origin, *, name: str, before: str = "") -> str:
    """The text of the comment: marker, where it comes from, and the report within GitHub's limit.

    Args:
        report: The report; None where the job left none.
        origin: The job.
        name: Which comment.
        before: The text that it replaces; a change from red to green is said.
    """
    decision = decide(prepare(report)) if report is not None else None
    state = decision.state if decision is not None else "missing"
    head = [f"<!-- slmcheck:{name} state={state} sha={origin.sha} -->"]
    if decision is None:
        head.append("### ✗ There is no report of the model gate")
    head += _job(origin, state)
    earlier = _MARK.match(before)
    if earlier is not None and earlier[2] != state:
        head.append(f"Before: {earlier[2]}" + (f" at {markdown.code(earlier[3][:10])}." if earlier[3] else "."))
    start = "\n\n".join(head) + "\n\n"
    if report is None:
        return f"{start}The job ended before slmcheck could write one: see its log.\n"
    return start + markdown.render(report, limit=markdown.LIMIT - len(start))


def _job(origin: Origin, state: str) -> list[str]:
    """What GitHub itself says of the job, beside what the report claims."""
    at = f" at {markdown.code(origin.sha[:10])}" if origin.sha else ""
    job = f"[job]({origin.url})" if origin.url else "job"
    lines = [f"Judged{at} by this {job}."] if origin.sha or origin.url else []
    if origin.conclusion and origin.conclusion != "success" and state in ("pass", "accepted", "inconclusive", "waived"):
        lines.append(
            f"> [!CAUTION]\n> The {job} ended with {markdown.code(origin.conclusion)}, although the report below does "
            "not say why. The job counts."
        )
    return lines


def _sticky(github: GitHub, number: int, name: str, author: str) -> Comment | None:
    """Our comment: anybody can write a marker, so that its author counts too."""
    for comment in github.comments(number):
        found = _MARK.match(comment.body)
        if found is not None and found[1] == name and comment.author == author:
            return comment
    return None


def _number(given: int | None, origin: Origin, github: GitHub) -> tuple[int | None, str]:
    """The pull request, or why there is nothing to comment."""
    if given is not None:
        return given, ""
    if origin.number is not None:
        return origin.number, ""
    if not (origin.owner and origin.branch and origin.sha):
        raise InputError(
            "Which pull request the report belongs to is not known: the event names no branch.\n"
            "Call it in a workflow on workflow_run, or name it: --pull-request N"
        )
    pulls = github.open_pulls(origin.owner, origin.branch)
    here = [pull for pull in pulls if pull.head_sha == origin.sha]
    if here:
        return here[0].number, ""
    if pulls:
        numbers = ", ".join(f"#{pull.number}" for pull in pulls)
        return None, f"{numbers} has moved on from {origin.sha[:10]}; the job of its newest commit comments."
    return None, f"No open pull request comes from {origin.owner}:{origin.branch}: nothing to comment."


def _untrusted_report(source: str, origin: Origin) -> Report | None:
    """The report; None where the job is known to have ended and left none."""
    try:
        folder = report_folder(source)
    except InputError:
        if origin.conclusion and origin.conclusion != "success":
            return None
        raise
    file = folder / FILE_NAME
    if file.is_symlink() or (file.exists() and not file.is_file()):
        raise InputError(f"'{file}' is no plain file.\nExpected the {FILE_NAME} that slmcheck wrote.")
    if file.is_file() and file.stat().st_size > _MOST_BYTES:
        raise InputError(f"'{file}' has {file.stat().st_size:,} bytes; a report has {_MOST_BYTES:,} at most.")
    if not file.exists() and origin.conclusion and origin.conclusion != "success":
        return None
    return reports.read_report(folder)


def _origin(arguments: argparse.Namespace) -> Origin:
    path = arguments.event or os.environ.get("GITHUB_EVENT_PATH") or ""
    if not path:
        return Origin()
    try:
        event = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"The event '{path}' cannot be read: {error}.\n"
            "Expected the JSON file that GitHub writes for a workflow; or name the pull request: --pull-request N"
        ) from error
    run = _mapping(event, "workflow_run")
    if run:
        source = _mapping(run, "head_repository")
        return Origin(
            owner=_text(_mapping(source, "owner"), "login"),
            branch=_text(run, "head_branch"),
            sha=_matching(_SHA, _text(run, "head_sha")),
            conclusion=_matching(_ENDED, _text(run, "conclusion")),
            url=_address(_text(run, "html_url")),
            repository=_text(_mapping(event, "repository"), "full_name"),
        )
    pull = _mapping(event, "pull_request")
    number = pull.get("number")
    return Origin(
        number=number if isinstance(number, int) and not isinstance(number, bool) else None,
        sha=_matching(_SHA, _text(_mapping(pull, "head"), "sha")),
        repository=_text(_mapping(event, "repository"), "full_name"),
    )


def _mapping(value: object, name: str) -> Mapping[str, Any]:
    found = value.get(name) if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _text(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""


def _matching(pattern: re.Pattern[str], text: str) -> str:
    return text if pattern.fullmatch(text) else ""


def _address(text: str) -> str:
    return text if re.fullmatch(r"https://[\w.:-]+/[\w./-]+", text) else ""
