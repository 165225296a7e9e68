from __future__ import annotations

from pathlib import Path

import pytest

from slmcheck.errors import OriginError
from slmcheck.records import Environment, PredictedRow
from slmcheck.storage import Origin, Store
from slmcheck.storage.origin import ALLOWED, may_read, origin_of
from tests.storage.conftest import PublishRun

GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_WORKFLOW": "model gate",
    "GITHUB_REF": "refs/heads/main",
    "GITHUB_SHA": "0123456789abcdef0123456789abcdef01234567",
    "GITHUB_EVENT_NAME": "push",
    "GITHUB_REPOSITORY": "org/models",
    "GITHUB_RUN_ID": "77",
}
PULL_REQUEST = {**GITHUB, "GITHUB_REF": "refs/pull/12/merge", "GITHUB_EVENT_NAME": "pull_request"}


@pytest.fixture
def in_job(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ALLOWED:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def be(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("variables", "ref", "is_pull_request"),
    [
        (GITHUB, "refs/heads/main", False),
        (PULL_REQUEST, "refs/pull/12/merge", True),
        ({**GITHUB, "GITHUB_EVENT_NAME": "pull_request_target"}, "refs/heads/main", True),
        ({**GITHUB, "GITHUB_REF": "refs/pull/3/head"}, "refs/pull/3/head", True),
        ({"GITLAB_CI": "true", "CI_COMMIT_REF_NAME": "main", "CI_PIPELINE_SOURCE": "push"}, "main", False),
        ({"GITLAB_CI": "true", "CI_COMMIT_REF_NAME": "x", "CI_MERGE_REQUEST_IID": "9"}, "merge request 9", True),
        ({"JENKINS_URL": "http://ci", "GIT_BRANCH": "main"}, "main", False),
        ({"JENKINS_URL": "http://ci", "CHANGE_ID": "5"}, "change 5", True),
        ({"TF_BUILD": "True", "BUILD_SOURCEBRANCH": "main", "BUILD_REASON": "PullRequest"}, "main", True),
    ],
)
def test_a_ci_job_is_told_by_what_its_service_says(variables: dict[str, str], ref: str, is_pull_request: bool) -> None:
    origin = origin_of(variables)
    assert origin is not None
    assert (origin.ref, origin.is_pull_request) == (ref, is_pull_request)


def test_a_machine_that_is_no_ci_runner_made_it_without_an_origin() -> None:
    assert origin_of({"HOME": "/root", "GITHUB_SHA": "left over"}) is None


def test_no_other_variable_enters_a_record() -> None:
    secrets = {"GITHUB_TOKEN": "ghs_secret", "AWS_SECRET_ACCESS_KEY": "aws_secret", "HF_TOKEN": "hf_secret"}
    assert "secret" not in repr(origin_of({**GITHUB, **secrets}))


def test_control_characters_of_a_branch_name_are_dropped() -> None:
    origin = origin_of({**GITHUB, "GITHUB_REF": "refs/heads/\x1b[31mred" + "x" * 500})
    assert origin is not None
    assert "\x1b" not in origin.ref
    assert len(origin.ref) == 200


def test_a_release_reads_what_no_pull_request_made_and_a_pull_request_its_own() -> None:
    main, own, other = (
        Origin(service="github", ref=ref, is_pull_request=ref != "main") for ref in ("main", "pull/1", "pull/2")
    )
    assert may_read(None, main)
    assert may_read(main, main)
    assert not may_read(own, main)
    assert not may_read(own, None)
    assert may_read(own, own)
    assert not may_read(other, own)


def test_every_kind_of_entry_says_who_made_it(
    store: Store, publish_run: PublishRun, cpu: Environment, in_job: pytest.MonkeyPatch
) -> None:
    be(in_job, PULL_REQUEST)
    made = Store(store.root)
    record = publish_run(into=made)
    made.write_findings("f" * 64, {"a": 1})
    made.predictions("b" * 64).add([PredictedRow(row="r1", text="glad")], cpu)
    for name in PULL_REQUEST:
        in_job.delenv(name)
    release = Store(store.root, is_release=True)
    with pytest.raises(OriginError, match=r"runs/.* was made by refs/pull/12/merge, workflow model gate, commit 01234"):
        release.find_run(record.key, cpu)
    with pytest.raises(OriginError, match=r"findings/ffff"):
        release.read_findings("f" * 64)
    with pytest.raises(OriginError, match=r"predictions/bbbb"):
        release.predictions("b" * 64).read(cpu)
    assert list(release.runs()) == []
    assert Store(store.root).find_run(record.key, cpu) is not None


def test_what_pull_requests_made_is_deleted_on_request_and_nothing_else(
    store: Store, publish_run: PublishRun, cpu: Environment, in_job: pytest.MonkeyPatch
) -> None:
    own = publish_run(seed=1)
    store.predictions("b" * 64).add([PredictedRow(row="r1", text="glad")], cpu)
    be(in_job, PULL_REQUEST)
    theirs = publish_run(seed=2, into=Store(store.root))
    Store(store.root).predictions("b" * 64).add([PredictedRow(row="r2", text="glad")], cpu)
    for name in PULL_REQUEST:
        in_job.delenv(name)
    would = store.gc(of_pull_requests=True, dry_run=True)
    assert store.find_run(theirs.key, cpu) is not None
    done = store.gc(of_pull_requests=True)
    assert done.deleted == would.deleted
    assert len(done.deleted) == 2
    release = Store(store.root, is_release=True)
    assert release.find_run(theirs.key, cpu) is None
    assert release.find_run(own.key, cpu) is not None
    assert set(release.predictions("b" * 64).read(cpu)) == {"r1"}


def test_a_clock_that_is_behind_deletes_nothing(
    store: Store, publish_run: PublishRun, cpu: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    from slmcheck.errors import StoreError

    record = publish_run()
    monkeypatch.setattr(time, "time", lambda: 1_000_000_000.0)
    with pytest.raises(StoreError, match=r"the clock of this machine says 2001-09-09 01:46 UTC"):
        store.gc(keep_days=1)
    monkeypatch.undo()
    assert store.find_run(record.key, cpu) is not None


def test_an_origin_is_recorded_without_its_absence_being_written(store: Store, publish_run: PublishRun) -> None:
    record = publish_run()
    assert "origin" not in (Path(record.directory) / "manifest.json").read_text()
