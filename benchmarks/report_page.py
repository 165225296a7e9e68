"""How large the page of many examples is, how long it takes to make, and how long a browser takes to open it.

    python benchmarks/report_page.py [--examples 10000] [--runs 3]

Needs Chromium on the path. Opening is measured by the page itself: from the start of the navigation to the end of its
load event, and until everything near the window is laid out after its scripts have run.
Bars: below 6 MB and below 2 s with 10,000 examples.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from slmcheck.records import Environment, ExampleEvidence, HistoryPoint, Report, RunReport, ScoreRecord
from slmcheck.reports.html import render
from slmcheck.reports.json import render as render_json

LARGEST_BYTES = 6_000_000
LONGEST_SECONDS = 2.0
_TEXT = "the river is no place to swim alone after rain but I am happy for you and your letter came on the third"
_WORDS = tuple(_TEXT.split(" "))
_LABELS = ("apologetic", "curious", "enthusiastic", "frustrated", "grateful", "worried")
_PROBE = """<script>addEventListener("load", function () { setTimeout(function () {
document.body.getBoundingClientRect(); var entry = performance.getEntriesByType("navigation")[0];
document.body.dataset.opened = JSON.stringify([entry.domInteractive, entry.loadEventEnd, performance.now(),
document.getElementsByTagName("*").length]); }, 0); });</script>"""
"""Only in the measured copy of the page, whose policy is taken out for it."""


def make_report(count: int) -> Report:
    """A classification of so many examples of 30 words, with two slices and the answers of a baseline."""
    examples = tuple(_example(index) for index in range(count))
    right = sum(example.correct is True for example in examples)
    run = RunReport(
        name="tone/lora",
        key="9f1c2ab4" * 8,
        base_model="slmcheck/tiny",
        trainer="lora",
        task="classification",
        environment=Environment(),
        data={"test": count},
        history=tuple(
            HistoryPoint(
                step=step, epoch=step / 100, train_loss=2.0 / (1 + step / 50), validation_loss=2.1 / (1 + step / 60)
            )
            for step in range(0, 400, 10)
        ),
        scores=(ScoreRecord(metric="accuracy", value=right / count, n=count, unit="share"),),
        examples=examples,
    )
    return Report(created="2026-03-02T09:24:10Z", slmcheck_version="0", policy="release", runs=(run,))


def _example(index: int) -> ExampleEvidence:
    label = _LABELS[index % 6]
    answer = label if index % 7 else _LABELS[(index + 1) % 6]
    old = label if index % 11 else _LABELS[(index + 2) % 6]
    words = " ".join(_WORDS[(index * 7 + place * (1 + index % 5)) % len(_WORDS)] for place in range(30))
    return ExampleEvidence(
        id=f"{index * 7919 + 40503:016x}",
        prompt=f"Phrase {index}: {words}\nTone:",
        reference=label,
        answer=answer,
        old_answer=old,
        correct=answer == label,
        old_correct=old == label,
        slices=("short",) if index % 3 else ("long",),
    )


def open_page(chromium: str, page: Path) -> tuple[float, float, float, int]:
    """Seconds to the parsed page, to the end of its load event and to its finished layout; elements in it then."""
    with tempfile.TemporaryDirectory() as profile:
        flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --window-size=1200,900"
        command = [chromium, *flags.split(), f"--user-data-dir={profile}", "--dump-dom"]
        done = subprocess.run([*command, f"file://{page}"], capture_output=True, text=True, timeout=180, check=True)
    found = re.search(r'data-opened="(\[[^"]*\])"', done.stdout)
    if found is None:
        raise SystemExit("The page did not finish opening within 30 s.")
    parsed, loaded, shown, elements = json.loads(found[1])
    return parsed / 1000, loaded / 1000, shown / 1000, int(elements)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=10_000, help="examples of the report (default: 10000)")
    parser.add_argument("--runs", type=int, default=3, help="how often the page is opened (default: 3)")
    options = parser.parse_args()
    report = make_report(options.examples)
    start = time.perf_counter()
    canonical = render_json(report)
    written = time.perf_counter()
    text = render(report)
    made = time.perf_counter()
    size = len(text.encode())
    print(f"report.json  {len(canonical.encode()) / 1e6:.2f} MB, made in {written - start:.2f} s")
    print(f"report.html  {size / 1e6:.2f} MB, made in {made - written:.2f} s")
    is_met = size < LARGEST_BYTES
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("No chromium is installed, so opening the page was not measured.")
    policy = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
    measured = policy.sub("", text).replace("</body>", f"{_PROBE}</body>")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        page.write_text(measured, encoding="utf-8")
        opened = [open_page(chromium, page) for _ in range(options.runs)]
    for parsed, loaded, shown, elements in opened:
        print(f"opened       parsed {parsed:.2f} s, loaded {loaded:.2f} s, shown {shown:.2f} s, {elements:,} elements")
    middle = statistics.median(shown for _, _, shown, _ in opened)
    is_met = is_met and middle < LONGEST_SECONDS
    print(f"{'met' if is_met else 'NOT MET'}: below {LARGEST_BYTES / 1e6:.0f} MB and {LONGEST_SECONDS:.0f} s")
    sys.exit(0 if is_met else 1)


if __name__ == "__main__":
    main()
