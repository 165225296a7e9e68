"""A bundle from a session, and what is told of one that was changed."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slmcheck.cli import main
from slmcheck.errors import InputError
from slmcheck.evaluation.verifying import verify_bundle
from slmcheck.reports.archive import archive_of, files_of
from slmcheck.reports.statement import EXTENSION, PREDICATE_TYPE
from tests.cli.conftest import RECIPE as RECIPE_TEXT
from tests.cli.conftest import ROWS, Ran, answers, rows_of, write_rows

SUITE = """
def test_accuracy(run):
    assert run.accuracy >= 0.5

def test_f1(run):
    assert run.f1 > 0.95

def test_accuracy_did_not_drop(run, baseline):
    assert run.accuracy >= baseline.accuracy - 0.05

def test_short(run):
    assert run.slice("short").accuracy.at_least(0.3, confidence=0.9)

def test_change(run, baseline):
    assert run.f1 - baseline.f1 >= -0.2

def test_equivalent(run, baseline):
    assert run.accuracy.equivalent_to(baseline.accuracy, margin=0.3)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of one session with a red test; its project lies beside it."""
    root = tmp_path_factory.mktemp("bundle")
    suite = root / "suites" / "bundled"
    write_rows(suite / "data" / "train.jsonl", rows_of("train", 24))
    write_rows(suite / "data" / "test.jsonl", rows_of("test", ROWS))
    write_rows(suite / "old.jsonl", answers(range(9)))
    (suite / "old.yaml").write_text(RECIPE_TEXT.replace("PREDICTIONS", "old.jsonl"))
    (suite / "test_bundled.py").write_text(SUITE)
    (root / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider --import-mode=importlib\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("SLMCHECK_STORE", raising=False)
        assert main(["run", "suites", "-q"]) == 1
        assert main(["baseline", "accept", "bundled/old"]) == 0
        assert main(["run", "suites", "-q"]) == 1
        assert main(["report", "latest", "--format", "bundle", "--output", "bundle.tar"]) == 0
    return root / "bundle.tar"


def files(made: Path) -> dict[str, bytes]:
    return files_of(made.read_bytes(), str(made))


def test_a_bundle_is_verified_offline_and_all_is_computed_again(made: Path) -> None:
    found = verify_bundle(made)
    assert found.altered == ()
    assert found.result == "FAILED"
    assert found.verdicts == 6
    assert found.scores >= 3
    assert [name for name in found.not_recomputed if "trivial" not in name] == []


def test_it_holds_what_a_release_is_argued_with(made: Path) -> None:
    names = set(files(made))
    assert {"report.json", "keys.json", "materials.json", "environment.json", "versions.txt", "scores.json"} <= names
    assert {"baselines/bundled/old.json", "baselines/bundled/old.examples.jsonl", "statement.json"} <= names
    assert b"numpy==" in files(made)["versions.txt"]


def test_the_statement_is_an_in_toto_test_result(made: Path) -> None:
    statement = json.loads(files(made)["statement.json"])
    assert set(statement) == {"_type", "subject", "predicateType", "predicate"}
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == PREDICATE_TYPE
    assert [item["name"] for item in statement["subject"]] == ["bundled/old/predictions.jsonl"]
    assert len(statement["subject"][0]["digest"]["sha256"]) == 64
    predicate = statement["predicate"]
    assert predicate["result"] == "FAILED"
    assert predicate["failedTests"] == ["suites/bundled/test_bundled.py::test_f1[run=old]"]
    assert len(predicate["passedTests"]) + len(predicate["warnedTests"]) == 5
    assert {"name", "digest"} == set(predicate["configuration"][0])
    assert set(predicate[EXTENSION]["files"]) == set(files(made)) - {"statement.json"}


def test_the_same_report_gives_the_same_bytes(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made.parent)
    monkeypatch.delenv("SLMCHECK_STORE", raising=False)
    assert main(["report", "latest", "--format", "bundle", "--output", "again.tar"]) == 0
    assert (made.parent / "again.tar").read_bytes() == made.read_bytes()


@settings(max_examples=60)
@given(st.data())
def test_one_byte_changed_anywhere_is_found(made: Path, data: st.DataObject) -> None:
    content = bytearray(made.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    changed = made.with_name("changed.tar")
    changed.write_bytes(bytes(content))
    try:
        found = verify_bundle(changed)
    except InputError:
        return  # it is no bundle any more, which is said as well
    assert found.altered != ()


@settings(max_examples=15)
@given(st.data())
def test_bytes_that_are_added_or_missing_are_found(made: Path, data: st.DataObject) -> None:
    content = made.read_bytes()
    cut = data.draw(st.integers(0, len(content) - 1))
    more = data.draw(st.binary(min_size=0, max_size=5))
    changed = made.with_name("changed.tar")
    for altered in (content[:cut], content + b"\0" + more):
        changed.write_bytes(altered)
        try:
            found = verify_bundle(changed)
        except InputError:
            continue
        assert found.altered != ()


def rewritten(made: Path, change: Callable[[dict[str, bytes]], None]) -> tuple[str, ...]:
    """What is found in a bundle whose files were changed and put together again."""
    found = files(made)
    change(found)
    changed = made.with_name("changed.tar")
    changed.write_bytes(archive_of(found))
    return verify_bundle(changed).altered


def edit(name: str, old: str, new: str) -> Callable[[dict[str, bytes]], None]:
    def change(found: dict[str, bytes]) -> None:
        assert old.encode() in found[name]
        found[name] = found[name].replace(old.encode(), new.encode(), 1)

    return change


def test_a_score_that_was_made_up_is_shown_beside_what_its_statistics_give(made: Path) -> None:
    report = json.loads(files(made)["report.json"])
    value = report["runs"][0]["scores"][0]["value"]
    altered = rewritten(made, edit("report.json", f'"value": {value!r}', '"value": 0.99'))
    assert any("its statistics give" in text for text in altered)
    assert any("report.json: its content is not the one" in text for text in altered)


def test_a_verdict_that_was_turned_is_shown(made: Path) -> None:
    def turn(found: dict[str, bytes]) -> None:
        report = json.loads(found["report.json"])
        (red,) = [verdict for verdict in report["verdicts"] if not verdict["holds"]]
        red["holds"], red["state"] = True, "pass"
        found["report.json"] = json.dumps(report).encode()

    altered = rewritten(made, turn)
    assert any("holds is True, its statistics give False" in text for text in altered)
    assert any("state is 'pass', its statistics give 'fail'" in text for text in altered)


def test_a_consistent_forgery_of_the_report_is_found_by_its_statistics(made: Path) -> None:
    def forge(found: dict[str, bytes]) -> None:
        from slmcheck.records import Report, from_json
        from slmcheck.reports.statement import statement_text

        report = json.loads(found["report.json"])
        for verdict in report["verdicts"]:
            verdict["holds"], verdict["state"] = True, "pass"
        for end in report["outcomes"]:
            end["outcome"] = "passed"
        found["report.json"] = json.dumps(report).encode()
        del found["statement.json"]
        found["statement.json"] = statement_text(
            from_json(Report, report), json.loads(found["materials.json"]), dict(found)
        )

    altered = rewritten(made, forge)
    assert any("its statistics give" in text for text in altered)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (edit("statement.json", '"FAILED"', '"PASSED"'), "predicate.result is"),
        (edit("statement.json", "bundled/old/predictions.jsonl", "bundled/old/others.jsonl"), "subject"),
        (edit("materials.json", "test.jsonl", "best.jsonl"), "materials.json: its content is not the one"),
        (edit("versions.txt", "numpy==", "numpy==9"), "versions.txt: its content is not the one"),
        (lambda found: found.pop("versions.txt"), "versions.txt: listed in statement.json, and not there"),
        (lambda found: found.update({"extra.txt": b"x"}), "extra.txt: its content is not the one"),
        (lambda found: found.update({"report.json": b"{"}), "report.json: it cannot be read any more"),
        (lambda found: found.update({"materials.json": b"[]"}), "materials.json: it cannot be read"),
        (lambda found: found.update({"statement.json": b"[1]"}), "it does not list the files"),
        (lambda found: found.update({"scores.json": b'[{"run": 1}]'}), "a score cannot be computed again"),
        (
            lambda found: found.pop(next(name for name in found if name.startswith("verdicts/"))),
            "what it was judged from is not there",
        ),
        (lambda found: found.pop(next(name for name in found if name.startswith("tables/"))), "is not in the bundle"),
        (
            lambda found: found.update({next(name for name in found if name.startswith("tables/")): b"no table"}),
            "is damaged",
        ),
    ],
)  # fmt: skip
def test_each_change_is_told(made: Path, change: Callable[[dict[str, bytes]], None], says: str) -> None:
    altered = rewritten(made, change)
    assert any(says in text for text in altered), altered


def test_two_tables_that_were_exchanged_are_found(made: Path) -> None:
    def exchange(found: dict[str, bytes]) -> None:
        first, second = [name for name in found if name.startswith("tables/")][:2]
        found[first], found[second] = found[second], found[first]

    assert any("other statistics than its name says" in text for text in rewritten(made, exchange))


def test_the_command_shows_what_was_altered(made: Path, slmcheck: Callable[..., Ran]) -> None:
    whole = slmcheck("verify", str(made))
    assert whole.status == 0
    assert "is as it was written. Its statement says FAILED." in whole.out
    rewritten(made, edit("statement.json", '"FAILED"', '"PASSED"'))
    ran = slmcheck("verify", str(made.with_name("changed.tar")))
    assert ran.status == 1
    assert "was altered: 1 place." in ran.out
    assert 'predicate.result is "PASSED", and the bundle\'s files give "FAILED"' in ran.out


def no_bundle(tmp_path: Path, content: bytes | None) -> Path:
    path = tmp_path / "some.tar"
    if content is not None:
        path.write_bytes(content)
    return path


def hostile_tar(name: str, kind: bytes = tarfile.REGTYPE) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "There is no bundle"),
        (b"", "cannot be read as a bundle"),
        (b"no tar file at all", "cannot be read as a bundle"),
        (b"\0" * 10240, "it has no statement.json"),
        (hostile_tar("../../escape"), "which no bundle holds"),
        (hostile_tar("/etc/passwd"), "which no bundle holds"),
        (hostile_tar("a", tarfile.SYMTYPE), "which no bundle holds"),
        (hostile_tar("statement.json"), "it has no report.json"),
    ],
)
def test_what_is_no_bundle_says_so(
    tmp_path: Path, slmcheck: Callable[..., Ran], content: bytes | None, says: str
) -> None:
    ran = slmcheck("verify", str(no_bundle(tmp_path, content)))
    assert (ran.status, ran.out) == (2, "")
    assert says in ran.err
    assert len(ran.err.strip().splitlines()) <= 4


def test_a_report_whose_rows_changed_gives_no_bundle(
    made: Path, slmcheck: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(made.parent, tmp_path / "copy", symlinks=True)
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.delenv("SLMCHECK_STORE", raising=False)
    write_rows(Path("suites/bundled/old.jsonl"), answers(range(12)))
    ran = slmcheck("report", "latest", "--format", "bundle")
    assert ran.status == 2
    assert "changed since the report was written" in ran.err


def test_a_report_without_its_store_gives_no_bundle(
    made: Path, slmcheck: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made.parent)
    monkeypatch.setenv("SLMCHECK_STORE", str(tmp_path / "empty"))
    ran = slmcheck("report", "latest", "--format", "bundle")
    assert ran.status == 2
    assert "cannot be opened any more" in ran.err
