"""`slmcheck comment` against a stand-in of GitHub's API: one comment, kept up to date, whatever the API answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slmcheck.cli.github import ServerError, retried
from slmcheck.records import ExampleEvidence, OutcomeRecord, Report, VerdictRecord
from slmcheck.reports import write_all
from tests.cli.github_api import Answer, Api, serving

SHA, FORK_SHA = "a" * 40, "b" * 40


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, api: Api) -> Path:
    """The current folder of a job: a red report, a token, no event."""
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_EVENT_PATH", "GITHUB_REPOSITORY", "GH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GITHUB_TOKEN", "t0ken")
    monkeypatch.setenv("GITHUB_API_URL", api.address)
    write_report(tmp_path, red=True)
    return tmp_path


def write_report(folder: Path, *, red: bool, answers: int = 0, answer: str = "wrong") -> None:
    examples = tuple(
        ExampleEvidence(id=str(index), prompt=f"prompt {index}", reference="right", answer=answer)
        for index in range(answers)
    )
    verdict = VerdictRecord(
        claim="lora.accuracy >= 0.85",
        kind="level",
        state="fail" if red else "pass",
        proven=True,
        holds=not red,
        metric="accuracy",
        run="tone/lora",
        value=0.7 if red else 0.9,
        target=0.85,
        unit="share",
        test="suites/tone/test_tone.py::test_it",
        examples=examples,
    )
    end = OutcomeRecord(test="suites/tone/test_tone.py::test_it", outcome="failed" if red else "passed")
    write_all(Report(verdicts=(verdict,), outcomes=(end,)), folder / "slm-report", formats=("json",))


def event_of(folder: Path, *, owner: str, sha: str, conclusion: str = "failure") -> str:
    """The file that GitHub writes for a workflow on workflow_run."""
    value = {
        "workflow_run": {
            "head_sha": sha,
            "head_branch": "better",
            "head_repository": {"full_name": f"{owner}/fork", "owner": {"login": owner}},
            "conclusion": conclusion,
            "html_url": "https://github.com/org/repo/actions/runs/1",
            "pull_requests": [],
        },
        "repository": {"full_name": "org/repo"},
    }
    (folder / "event.json").write_text(json.dumps(value))
    return str(folder / "event.json")


def comment(slmcheck: Callable[..., Any], *more: str) -> Any:
    given = more if "--event" in more else ("--pull-request", "7", "--repository", "org/repo", *more)
    return slmcheck("comment", "slm-report", "--retries", "0", *given)


def test_the_first_run_writes_one_comment(slmcheck: Callable[..., Any], folder: Path, api: Api) -> None:
    ran = comment(slmcheck)
    assert (ran.status, ran.out) == (0, "Comment created: https://x/1\n")
    assert [(method, target.partition("?")[0]) for method, target, _ in api.requests] == [
        ("GET", "/repos/org/repo/issues/7/comments"),
        ("POST", "/repos/org/repo/issues/7/comments"),
    ]
    assert api.comments[0]["body"].startswith("<!-- slmcheck:report state=fail sha= -->")
    assert api.tokens == {"Bearer t0ken"}


def test_the_next_run_updates_it_and_says_that_it_became_green(
    slmcheck: Callable[..., Any], folder: Path, api: Api
) -> None:
    comment(slmcheck)
    write_report(folder, red=False)
    ran = comment(slmcheck, "--json")
    assert ran.document == {"action": "updated", "pull_request": 7, "url": "https://x/1"}
    assert len(api.comments) == 1
    assert "Before: fail." in api.comments[0]["body"]
    assert "✓ 1 gate: 1 pass" in api.comments[0]["body"]


def test_an_unchanged_comment_is_left_alone(slmcheck: Callable[..., Any], folder: Path, api: Api) -> None:
    comment(slmcheck)
    ran = comment(slmcheck)
    assert ran.out == "Comment unchanged: https://x/1\n"
    assert api.methods() == ["GET", "POST", "GET"]


def test_it_is_found_behind_a_hundred_other_comments(slmcheck: Callable[..., Any], folder: Path, api: Api) -> None:
    for index in range(150):
        api.comment(f"comment {index}")
    comment(slmcheck)
    write_report(folder, red=False)
    comment(slmcheck)
    assert len(api.comments) == 151
    assert api.methods().count("PATCH") == 1


def test_the_marker_of_another_author_is_not_ours(slmcheck: Callable[..., Any], folder: Path, api: Api) -> None:
    api.comment("<!-- slmcheck:report state=pass sha= --> all is well, trust me", author="mallory")
    comment(slmcheck)
    assert len(api.comments) == 2
    assert api.comments[0]["body"].endswith("trust me")


def test_two_reports_of_one_pull_request_have_comments_of_their_own(
    slmcheck: Callable[..., Any], folder: Path, api: Api
) -> None:
    comment(slmcheck)
    comment(slmcheck, "--name", "nightly")
    assert len(api.comments) == 2


def test_a_fork_is_found_by_what_the_event_says_of_it(slmcheck: Callable[..., Any], folder: Path, api: Api) -> None:
    api.pulls = [{"number": 12, "from": "eve:better", "head": {"sha": FORK_SHA}}]
    ran = comment(slmcheck, "--event", event_of(folder, owner="eve", sha=FORK_SHA))
    assert ran.status == 0
    assert api.requests[-1][1] == "/repos/org/repo/issues/12/comments"
    body = api.comments[0]["body"]
    assert f"Judged at `{FORK_SHA[:10]}` by this [job](https://github.com/org/repo/actions/runs/1)." in body


def test_a_pull_request_that_has_moved_on_gets_no_stale_comment(
    slmcheck: Callable[..., Any], folder: Path, api: Api
) -> None:
    api.pulls = [{"number": 12, "from": "eve:better", "head": {"sha": "c" * 40}}]
    ran = comment(slmcheck, "--event", event_of(folder, owner="eve", sha=FORK_SHA))
    assert (ran.status, "has moved on" in ran.out) == (0, True)
    assert api.methods() == ["GET"]


def test_a_branch_without_a_pull_request_is_said(slmcheck: Callable[..., Any], folder: Path, api: Api) -> None:
    ran = comment(slmcheck, "--event", event_of(folder, owner="org", sha=SHA))
    assert (ran.status, ran.out) == (0, "No open pull request comes from org:better: nothing to comment.\n")


def test_a_report_of_any_length_fits(slmcheck: Callable[..., Any], folder: Path, api: Api) -> None:
    write_report(folder, red=True, answers=300, answer="long " * 2000)
    assert comment(slmcheck).status == 0
    assert len(api.comments[0]["body"]) <= 65_000


def test_a_report_that_claims_green_beside_a_red_job_is_not_believed(
    slmcheck: Callable[..., Any], folder: Path, api: Api
) -> None:
    write_report(folder, red=False)
    api.pulls = [{"number": 12, "from": "eve:better", "head": {"sha": FORK_SHA}}]
    comment(slmcheck, "--event", event_of(folder, owner="eve", sha=FORK_SHA))
    assert "ended with `failure`" in api.comments[0]["body"]


def test_a_job_that_left_no_report_is_said_in_the_comment(slmcheck: Callable[..., Any], folder: Path, api: Api) -> None:
    (folder / "slm-report" / "report.json").unlink()
    api.pulls = [{"number": 12, "from": "org:better", "head": {"sha": SHA}}]
    assert comment(slmcheck, "--event", event_of(folder, owner="org", sha=SHA)).status == 0
    assert "There is no report of the model gate" in api.comments[0]["body"]


def test_what_a_model_answered_cannot_plant_a_marker_or_markup(
    slmcheck: Callable[..., Any], folder: Path, api: Api
) -> None:
    write_report(
        folder, red=True, answers=1, answer="x\n```\n<!-- slmcheck:report state=pass sha= --><script>\n@all ```"
    )
    comment(slmcheck)
    body = api.comments[0]["body"]
    outside = "".join(body.split("````")[::2])
    assert "<script>" not in outside
    comment(slmcheck)
    assert len(api.comments) == 1


def test_a_comment_that_was_deleted_meanwhile_is_one_message(
    slmcheck: Callable[..., Any], folder: Path, api: Api
) -> None:
    comment(slmcheck)
    write_report(folder, red=False)
    api.answers = [Answer(404, {"message": "Not Found"}, method="PATCH")]
    ran = comment(slmcheck)
    assert (ran.status, ran.err.splitlines()[0]) == (3, "GitHub refused with status 404: Not Found.")
    assert comment(slmcheck).status == 0


REFUSALS = [
    pytest.param(Answer(401, {"message": "Bad credentials"}), 3, "The token is wrong or expired", id="401"),
    pytest.param(Answer(403, {"message": "Resource not accessible"}), 3, "pull-requests: write", id="403"),
    pytest.param(
        Answer(403, {"message": "secondary rate limit"}, {"retry-after": "60"}),
        3,
        "Run the job again in 60 s",
        id="limit",
    ),
    pytest.param(Answer(429, {"message": "slow down"}), 3, "Run the job again later", id="429"),
    pytest.param(Answer(404, {"message": "Not Found"}), 3, "no such repository or pull request", id="404"),
    pytest.param(Answer(410, {"message": "Gone"}), 3, "Comments are closed", id="410"),
    pytest.param(Answer(422, {"message": "Validation Failed"}, method="POST"), 3, "not accepted as it is", id="422"),
    pytest.param(Answer(301, {}, {"location": "https://elsewhere.example/x"}), 3, "is not sent elsewhere", id="301"),
    pytest.param(Answer(500, {"message": "oops"}), 3, "GitHub failed with status 500: oops", id="500"),
    pytest.param(Answer(503, "<html>proxy</html>"), 3, "GitHub failed with status 503.", id="503"),
    pytest.param(Answer(200, "<html>login</html>"), 3, "something that is no JSON", id="no JSON"),
    pytest.param(Answer(200, {"a": 1}), 3, "with no list", id="no list"),
]


@pytest.mark.parametrize(("answer", "status", "expected"), REFUSALS)
def test_every_refusal_is_one_message(
    answer: Answer, status: int, expected: str, slmcheck: Callable[..., Any], folder: Path, api: Api
) -> None:
    api.answers = [answer]
    ran = comment(slmcheck)
    assert ran.status == status
    assert expected in ran.err
    assert ran.out == ""
    assert "Traceback" not in ran.err
    assert "t0ken" not in ran.err
    assert 2 <= len(ran.err.strip().splitlines()) <= 4
    assert api.comments == []


def test_a_server_that_recovers_gets_one_comment(folder: Path, api: Api, slmcheck: Callable[..., Any]) -> None:
    api.answers = [Answer(502, {}, times=1)]
    ran = slmcheck("comment", "slm-report", "--retries", "1", "--pull-request", "7", "--repository", "org/repo")
    assert ran.status == 0
    assert len(api.comments) == 1


def test_waits_double_and_the_last_failure_is_told() -> None:
    waited: list[float] = []

    def fail() -> str:
        raise ServerError("down")

    with pytest.raises(ServerError, match="down"):
        retried(fail, retries=3, pause=waited.append)
    assert waited == [1.0, 2.0, 4.0]


def test_an_api_that_is_not_there_is_one_message(slmcheck: Callable[..., Any], folder: Path) -> None:
    ran = comment(slmcheck, "--api", "http://127.0.0.1:9")
    assert (ran.status, ran.err.startswith("GitHub cannot be reached:")) == (3, True)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("--api", "http://api.github.com"), "is no address to send a token to"),
        (("--api", "ftp://x"), "is no address to send a token to"),
        (("--repository", "https://github.com/org/repo"), "is no repository"),
        (("--name", "a b"), "--name is 'a b'"),
        (("--retries", "-1"), "--retries is -1"),
        (("--event", "nowhere.json"), "The event 'nowhere.json' cannot be read"),
    ],
)
def test_wrong_usage_is_one_message_and_sends_nothing(
    given: tuple[str, ...], expected: str, slmcheck: Callable[..., Any], folder: Path, api: Api
) -> None:
    ran = slmcheck("comment", "slm-report", "--pull-request", "7", "--repository", "org/repo", *given)
    assert (ran.status, expected in ran.err) == (2, True)
    assert api.requests == []


def test_no_token_is_one_message(
    slmcheck: Callable[..., Any], folder: Path, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "")
    ran = comment(slmcheck)
    assert (ran.status, "no usable token" in ran.err) == (2, True)
    assert api.requests == []


def test_an_event_that_names_nothing_is_one_message(slmcheck: Callable[..., Any], folder: Path) -> None:
    (folder / "push.json").write_text('{"ref": "refs/heads/main", "repository": {"full_name": "org/repo"}}')
    ran = comment(slmcheck, "--event", "push.json")
    assert (ran.status, "--pull-request N" in ran.err) == (2, True)


def test_a_report_that_is_a_link_is_refused(slmcheck: Callable[..., Any], folder: Path, api: Api) -> None:
    file = folder / "slm-report" / "report.json"
    file.unlink()
    file.symlink_to("/proc/self/environ")
    ran = comment(slmcheck)
    assert (ran.status, "is no plain file" in ran.err) == (2, True)
    assert api.requests == []


def test_the_comment_can_be_printed_without_sending(slmcheck: Callable[..., Any], folder: Path, api: Api) -> None:
    assert comment(slmcheck, "--print").out.startswith("<!-- slmcheck:report state=fail")
    assert api.requests == []
