"""The in-toto Statement of a bundle: what was tested, with what result, under which configuration.

A pure function of the bundle's other files, so that whoever has these can make it again and compare. It is not signed:
the bytes are ready for an external signer (payload type `application/vnd.in-toto+json`).

Source: in-toto attestation, Statement v1 and predicate test-result v0.1.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from slmcheck.records import Json, Report

FILE_NAME = "statement.json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://in-toto.io/attestation/test-result/v0.1"
EXTENSION = "https://github.com/slmcheck/slmcheck/bundle/v1"
"""A property of the predicate, as its parsing rules allow: the digest of every other file of the bundle."""
_ORDER = ("PASSED", "WARNED", "FAILED")


def statement_text(report: Report, materials: Mapping[str, Any], files: Mapping[str, bytes]) -> bytes:
    """The text of the statement.

    Args:
        report: The report of the bundle.
        materials: What its `materials.json` says: weights, data, recipes and baselines by run, with digests.
        files: Every other file of the bundle by name.
    """
    tests = tests_by_result(report)
    configuration = [
        _descriptor(item)
        for run in materials["runs"]
        for kind in ("recipe", "data", "baselines", "waivers")
        for item in run[kind]
    ]
    for name in ("versions.txt", "environment.json"):
        configuration.append(_descriptor({"name": name, "sha256": _sha256(files[name])}))
    statement: dict[str, Json] = {
        "_type": STATEMENT_TYPE,
        "subject": _subjects(materials["runs"]),
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "result": max((name for name, found in tests.items() if found), key=_ORDER.index, default="FAILED"),
            "configuration": _unique(configuration),
            "passedTests": tests["PASSED"],
            "warnedTests": tests["WARNED"],
            "failedTests": tests["FAILED"],
            EXTENSION: {
                "schema": 1,
                "slmcheck": report.slmcheck_version,
                "policy": report.policy,
                "files": {name: _sha256(content) for name, content in sorted(files.items())},
            },
        },
    }
    return (json.dumps(statement, indent=1, ensure_ascii=True, allow_nan=False) + "\n").encode()


def tests_by_result(report: Report) -> dict[str, list[str]]:
    """Node ids of tests that passed, that passed with something left open or waived, and that failed; sorted.

    Skipped tests are in none: they say nothing of the model.
    """
    doubtful = {found.test for found in report.verdicts if found.shown not in ("pass", "fail") or not found.holds}
    tests: dict[str, list[str]] = {name: [] for name in _ORDER}
    for end in report.outcomes:
        if end.outcome in ("failed", "error"):
            tests["FAILED"].append(end.test)
        elif end.outcome in ("waived", "quarantined") or (end.outcome == "passed" and end.test in doubtful):
            tests["WARNED"].append(end.test)
        elif end.outcome == "passed":
            tests["PASSED"].append(end.test)
    return {name: sorted(set(found)) for name, found in tests.items()}


def _subjects(runs: Sequence[Mapping[str, Any]]) -> list[Json]:
    """The weights that were tested: their files, and where these are not here the key of the checkpoint."""
    found: list[Json] = []
    for run in runs:
        for item in run["weights"]:
            found.append({"name": f"{run['name']}/{item['name']}", "digest": {"sha256": item["sha256"]}})
        if not run["weights"]:
            found.append({"name": run["name"], "digest": {"slmcheckCheckpointKey": run["checkpoint"]}})
    return _unique(found)


def _descriptor(item: Mapping[str, Any]) -> Json:
    if "sha256" in item:
        return {"name": item["name"], "digest": {"sha256": item["sha256"]}}
    return {"name": item["name"], "annotations": dict(item["identity"])}


def _unique(items: Sequence[Json]) -> list[Json]:
    return [item for index, item in enumerate(items) if item not in items[:index]]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
