"""The report as one page: complete without JavaScript, without a network and under a strict content security policy.

Charts are in the page twice, as static SVG and as specifications that its script draws in place of them.
"""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import resources

from slmcheck.records import Report
from slmcheck.reports import charts
from slmcheck.reports.decision import Decision, decide
from slmcheck.reports.page.elements import Html, element, joined, trusted
from slmcheck.reports.page.evidence import evidence_section, run_figures
from slmcheck.reports.page.examples import example_section
from slmcheck.reports.page.first import first_screen, gate_section
from slmcheck.reports.page.palette import style_sheet
from slmcheck.reports.prepared import prepare
from slmcheck.reports.rows import SYMBOLS, moment
from slmcheck.reports.text import one_line


def render(report: Report) -> str:
    """The page, as text of an HTML file."""
    report = prepare(report)
    decision = decide(report)
    gates = charts.verdict_intervals(report)
    of_runs = [run_figures(run, f"run-{index}") for index, run in enumerate(report.runs)]
    drawn = [*gates, *(figure for found in of_runs for figure in found)]
    scripts = [charts.javascript(), _asset("page.js")] if drawn else [_asset("page.js")]
    body = joined(
        (
            element("a", "Skip to the gates", href="#gates", class_="skip"),
            _header(report),
            element(
                "main",
                first_screen(report, decision),
                gate_section(report, gates),
                *(
                    evidence_section(run, found, index)
                    for index, (run, found) in enumerate(zip(report.runs, of_runs, strict=True))
                ),
                example_section(report),
                id="report",
            ),
            _footer(report),
            element(
                "script",
                _json({figure.name: figure.spec for figure in drawn}),
                type="application/json",
                id="specifications",
            ),
            *(element("script", trusted(script)) for script in scripts),
        ),
        "\n",
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(scripts)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="generator", content=f"slmcheck {report.slmcheck_version}"),
        element("title", _title(report, decision)),
        element("style", trusted(style_sheet() + _asset("page.css"))),
    )
    return f"<!doctype html>\n{element('html', head, element('body', body), lang='en')}\n"


def _policy(scripts: list[str]) -> str:
    """Only these scripts run, whatever else the page may hold, and nothing is loaded from anywhere."""
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{value}'" for value in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )


def _json(value: object) -> Html:
    """JSON for a script element: no character of it can end the element or a line."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    return trusted(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _title(report: Report, decision: Decision) -> str:
    names = ", ".join(one_line(run.name) for run in report.runs[:3])
    return f"{SYMBOLS[decision.state]} {decision.headline} – {names or 'slmcheck'}"


def _header(report: Report) -> Html:
    parts = [moment(report.created)]
    parts += [" ".join(item for item in (report.git.get("branch"), report.git.get("commit", "")[:10]) if item)]
    parts += [report.command]
    made = [element("span", one_line(part)) for part in parts if part.strip()]
    return element(
        "header",
        element("p", element("strong", "slmcheck"), " report", class_="brand"),
        element("p", *made, class_="made"),
    )


def _footer(report: Report) -> Html:
    facts = [f"slmcheck {report.slmcheck_version}", str(report.environment), f"{report.policy} policy"]
    facts += [f"{word} {value}" for word, value in report.git.items()]
    return element("footer", element("p", " · ".join(one_line(fact) for fact in facts)))


def _asset(name: str) -> str:
    return resources.files("slmcheck.reports.page").joinpath(name).read_text(encoding="utf-8")
