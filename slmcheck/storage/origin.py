"""Who made an entry: the workflow, ref and commit that a CI service names, by allow-list.

Nothing else of the environment is read, so no token can enter a record. What is said here is said by the job itself: it
tells honest mistakes apart. What a hostile job may write is decided by the credentials that it gets.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

ALLOWED = frozenset(
    {
        "GITHUB_ACTIONS", "GITHUB_WORKFLOW", "GITHUB_REF", "GITHUB_SHA", "GITHUB_EVENT_NAME", "GITHUB_REPOSITORY",
        "GITHUB_RUN_ID",
        "GITLAB_CI", "CI_JOB_NAME", "CI_COMMIT_REF_NAME", "CI_COMMIT_SHA", "CI_PIPELINE_SOURCE", "CI_PROJECT_PATH",
        "CI_PIPELINE_ID", "CI_MERGE_REQUEST_IID",
        "JENKINS_URL", "JOB_NAME", "GIT_BRANCH", "GIT_COMMIT", "BUILD_NUMBER", "CHANGE_ID",
        "TF_BUILD", "BUILD_DEFINITIONNAME", "BUILD_SOURCEBRANCH", "BUILD_SOURCEVERSION", "BUILD_REASON",
        "BUILD_REPOSITORY_NAME", "BUILD_BUILDID",
    }
)  # fmt: skip
"""Every environment variable that may enter a record."""
_LONGEST = 200
_MERGE_REQUESTS = frozenset({"merge_request_event", "external_pull_request_event"})
_PULL_REQUEST_EVENTS = frozenset(
    {"pull_request", "pull_request_target", "pull_request_review", "pull_request_review_comment"}
)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The CI job that made an entry; all fields are empty on a machine that is no CI runner."""

    service: str = ""
    """`github`, `gitlab`, `jenkins` or `azure`."""
    repository: str = ""
    workflow: str = ""
    ref: str = ""
    """Branch, tag or pull request."""
    commit: str = ""
    run: str = ""
    """Number of the workflow's run."""
    is_pull_request: bool = False

    def __str__(self) -> str:
        parts = (self.ref, f"workflow {self.workflow}" if self.workflow else "", f"commit {self.commit[:12]}")
        shown = ", ".join(part for part in parts if part and part != "commit ")
        return shown or "no CI job"


def origin_of(environment: Mapping[str, str]) -> Origin | None:
    """The CI job that environment variables name; None where they name none.

    Args:
        environment: Variables by name; only those in `ALLOWED` are looked at.
    """

    def read(name: str) -> str:
        assert name in ALLOWED
        return "".join(c for c in environment.get(name, "") if c.isprintable())[:_LONGEST]

    if read("GITHUB_ACTIONS") == "true":
        return Origin(
            service="github",
            repository=read("GITHUB_REPOSITORY"),
            workflow=read("GITHUB_WORKFLOW"),
            ref=read("GITHUB_REF"),
            commit=read("GITHUB_SHA"),
            run=read("GITHUB_RUN_ID"),
            is_pull_request=read("GITHUB_EVENT_NAME") in _PULL_REQUEST_EVENTS
            or read("GITHUB_REF").startswith("refs/pull/"),
        )
    if read("GITLAB_CI") == "true":
        request = read("CI_MERGE_REQUEST_IID")
        return Origin(
            service="gitlab",
            repository=read("CI_PROJECT_PATH"),
            workflow=read("CI_JOB_NAME"),
            ref=f"merge request {request}" if request else read("CI_COMMIT_REF_NAME"),
            commit=read("CI_COMMIT_SHA"),
            run=read("CI_PIPELINE_ID"),
            is_pull_request=bool(request) or read("CI_PIPELINE_SOURCE") in _MERGE_REQUESTS,
        )
    if read("JENKINS_URL"):
        change = read("CHANGE_ID")
        return Origin(
            service="jenkins",
            workflow=read("JOB_NAME"),
            ref=f"change {change}" if change else read("GIT_BRANCH"),
            commit=read("GIT_COMMIT"),
            run=read("BUILD_NUMBER"),
            is_pull_request=bool(change),
        )
    if read("TF_BUILD"):
        return Origin(
            service="azure",
            repository=read("BUILD_REPOSITORY_NAME"),
            workflow=read("BUILD_DEFINITIONNAME"),
            ref=read("BUILD_SOURCEBRANCH"),
            commit=read("BUILD_SOURCEVERSION"),
            run=read("BUILD_BUILDID"),
            is_pull_request=read("BUILD_REASON") == "PullRequest",
        )
    return None


def this_origin() -> Origin | None:
    """The CI job of this process."""
    return origin_of(os.environ)


def may_read(made_by: Origin | None, reader: Origin | None) -> bool:
    """Whether a release may use an entry: not one that a pull request made.

    The session of a pull request releases nothing, so it may use what its own pull request made.
    """
    if made_by is None or not made_by.is_pull_request:
        return True
    return reader is not None and reader.is_pull_request and _change(reader) == _change(made_by)


def _change(origin: Origin) -> tuple[str, str, str]:
    return origin.service, origin.repository, origin.ref
