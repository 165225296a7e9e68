"""The page in headless Chromium: with and without its script, for readers by ear, in the dark, on a phone, on paper."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from slmcheck.records import ExampleEvidence, Report
from slmcheck.reports.html import render

pytestmark = pytest.mark.slow
STRICT = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""As viewers of build artifacts impose it: no script runs."""
DARK = "--blink-settings=preferredColorScheme=0"
SMALL = "--window-size=500,900"
COUNT = 600


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no chromium is installed")
    return found


@pytest.fixture(scope="module")
def page(module_report: Report) -> str:
    """The realistic report with 600 more examples, every fifth wrong and every tenth of them new."""
    more = tuple(
        ExampleEvidence(
            id=f"more{number}",
            prompt=f"Phrase: number {number} of many\nTone:",
            reference="curious",
            answer="worried" if number % 5 == 0 else "curious",
            old_answer="curious" if number % 10 == 0 else ("worried" if number % 5 == 0 else "curious"),
            correct=number % 5 != 0,
            old_correct=number % 5 != 0 or number % 10 == 0,
            slices=("short",) if number % 3 == 0 else ("long",),
        )
        for number in range(COUNT)
    )
    run = module_report.runs[0]
    return render(replace(module_report, runs=(replace(run, examples=run.examples + more), *module_report.runs[1:])))


def with_policy(text: str, policy: str | None) -> str:
    """The page with another content security policy; with None without any, so that a test may add scripts."""
    tag = "" if policy is None else f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    changed, count = re.subn(r'<meta http-equiv="Content-Security-Policy"[^>]*>', tag, text)
    assert count == 1
    return changed


def opened(chromium: str, text: str, folder: Path, *flags: str) -> str:
    """What the page has become once it is idle."""
    (folder / "page.html").write_text(text, encoding="utf-8")
    command = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--window-size=1200,900",
        "--virtual-time-budget=20000", f"--user-data-dir={folder / 'profile'}", *flags,
    ]  # fmt: skip
    if not any(flag.startswith("--print-to-pdf") for flag in flags):
        command.append("--dump-dom")
    command.append(f"file://{folder / 'page.html'}")
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=True).stdout


def asked(chromium: str, text: str, folder: Path, script: str, *flags: str) -> object:
    """What a script in the page answers; it is an async function body, run when the page has loaded."""
    probe = (
        "<script>addEventListener('load', function () { setTimeout(async function () {"
        f" var answer = await (async function () {{ {script} }})();"
        " document.title = JSON.stringify(answer); }, 50); });</script>"
    )
    changed = with_policy(text, None).replace("</body>", f"{probe}</body>")
    found = re.search(r"<title>(.*?)</title>", opened(chromium, changed, folder, *flags), re.DOTALL)
    assert found is not None
    return json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


def test_under_a_strict_policy_every_example_and_chart_is_there(chromium: str, page: str, tmp_path: Path) -> None:
    drawn = opened(chromium, with_policy(page, STRICT), tmp_path)
    assert drawn.count("data-is=") == page.count("data-is=") > COUNT
    assert 'id="controls" hidden=""' in drawn
    assert drawn.count("<svg") == page.count("<svg") > 5
    assert 'class="live' not in drawn


def test_with_the_script_only_rows_near_the_window_are_in_the_page(chromium: str, page: str, tmp_path: Path) -> None:
    drawn = opened(chromium, page, tmp_path)
    assert drawn.count("data-is=") < COUNT / 2
    total = page.count("data-is=")
    assert f"{total} of {total} examples" in drawn


def test_examples_are_searched_and_filtered_by_answer_flip_slice_and_gate(
    chromium: str, page: str, tmp_path: Path
) -> None:
    script = """
        var wait = function () { return new Promise(function (done) { setTimeout(done, 300); }); };
        var found = {}, status = document.getElementById("found");
        var choose = function (name, value) {
            var place = document.getElementById(name);
            place.value = value;
            place.dispatchEvent(new Event(name === "search" ? "input" : "change"));
        };
        document.getElementById("examples").scrollIntoView({ behavior: "instant" });
        found.all = status.textContent;
        choose("search", "NUMBER 599 many"); await wait(); found.search = status.textContent;
        found.shown = document.querySelector("#cards tbody").textContent.indexOf("number 599 of many") >= 0;
        choose("search", ""); await wait();
        choose("flip", "w"); found.worse = status.textContent;
        choose("slice", "0"); found.worseLong = status.textContent;
        choose("slice", ""); choose("flip", ""); choose("verdict", "r"); found.right = status.textContent;
        choose("verdict", "");
        var gate = Array.prototype.slice.call(document.getElementById("gate").options)
            .filter(function (option) { return option.textContent.indexOf("short") >= 0; })[0];
        choose("gate", gate.value); found.gate = status.textContent;
        return found;
    """
    total = page.count("data-is=")
    rows = re.findall(r'data-is="(..)"(?: data-run="(\d)")?(?: data-slices="([\d ]*)")?', page)
    expected = {
        "all": total,
        "search": 1,
        "worse": sum(mark[1] == "w" for mark, _, _ in rows),
        "worseLong": sum(mark[1] == "w" and slices == "0" for mark, _, slices in rows),
        "right": sum(mark[0] == "r" for mark, _, _ in rows),
        "gate": sum(not run and slices == "1" for _, run, slices in rows),
    }
    found = asked(chromium, page, tmp_path, script)
    assert found == {name: f"{count} of {total} examples" for name, count in expected.items()} | {"shown": True}
    assert 0 < expected["worseLong"] < expected["worse"]


def test_rows_come_into_the_page_when_they_are_scrolled_to(chromium: str, page: str, tmp_path: Path) -> None:
    script = """
        var last = document.querySelector("#cards").lastChild;
        var before = last.querySelectorAll("tbody tr").length;
        last.scrollIntoView({ behavior: "instant" });
        await new Promise(function (done) { setTimeout(done, 1500); });
        return [before, last.querySelectorAll("tbody tr").length > 0, document.querySelectorAll("#cards tr").length];
    """
    found = asked(chromium, page, tmp_path, script)
    assert isinstance(found, list)
    assert found[:2] == [0, True]
    assert found[2] < COUNT


@pytest.mark.parametrize(
    ("flags", "has_script"),
    [((), True), ((DARK,), True), ((SMALL,), True), ((SMALL, DARK), False)],
    ids=["light", "dark", "phone", "dark phone without script"],
)
def test_axe_finds_nothing_serious(
    chromium: str, page: str, tmp_path: Path, flags: tuple[str, ...], *, has_script: bool
) -> None:
    spec = importlib.util.find_spec("axe_core_python")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("axe-core-python is not installed, which brings axe")
    axe = (Path(spec.submodule_search_locations[0]) / "axe.min.js").read_text(encoding="utf-8")
    text = page if has_script else re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    text = with_policy(text, STRICT).replace("</body>", f"<script>{axe}</script></body>")
    script = """
        var found = await axe.run(document, { resultTypes: ["violations"] });
        return found.violations.filter(function (one) { return one.impact === "serious" || one.impact === "critical"; })
            .map(function (one) { return one.id + ": " + one.nodes.slice(0, 3).map(function (node) {
                return node.html.slice(0, 160); }).join(" | "); });
    """
    assert asked(chromium, text, tmp_path, script, *flags) == []


def test_a_phone_never_scrolls_the_page_sideways(chromium: str, page: str, tmp_path: Path) -> None:
    script = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth];"
    found = asked(chromium, page, tmp_path, script, SMALL)
    assert isinstance(found, list)
    assert found[0] <= found[1]


def test_the_keyboard_reaches_every_control_in_reading_order(chromium: str, page: str, tmp_path: Path) -> None:
    script = """
        var stops = Array.prototype.filter.call(
            document.querySelectorAll("a[href], input, select, summary, [tabindex]"),
            function (one) { return one.checkVisibility() || one.className === "skip"; });
        return stops.map(function (one) { one.focus(); return [one === document.activeElement, one.tabIndex,
            one.id || one.className]; });
    """
    stops = asked(chromium, page, tmp_path, script)
    assert isinstance(stops, list)
    assert [stop for stop in stops if stop[:2] != [True, 0]] == []
    names = [name for _, _, name in stops]
    assert names[0] == "skip"
    controls = [name for name in names if name in ("search", "verdict", "flip", "run", "slice", "gate")]
    assert controls == ["search", "verdict", "flip", "run", "slice", "gate"]


def test_paper_holds_every_example(chromium: str, page: str, tmp_path: Path) -> None:
    reader = shutil.which("pdftotext")
    if reader is None:
        pytest.skip("no pdftotext is installed")
    paper = tmp_path / "page.pdf"
    opened(chromium, page, tmp_path, f"--print-to-pdf={paper}", "--no-pdf-header-footer")
    text = subprocess.run([reader, str(paper), "-"], capture_output=True, text=True, timeout=60, check=True).stdout
    assert "Do not ship" in text
    missing = [number for number in range(COUNT) if not re.search(rf"number {number}\s+of", text)]
    assert missing == []
