"""The entry point: help, errors, exit statuses, streams."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slmcheck import __version__
from slmcheck.cli import commands, main
from slmcheck.cli.commands import COMMANDS
from slmcheck.cli.output import Result
from slmcheck.errors import TrainingKilledError

HEAVY = ("torch", "transformers", "peft", "tokenizers", "datasets", "pyarrow", "onnxruntime", "scipy", "sklearn")
HEAVY += ("altair", "vl_convert", "sacrebleu", "rouge_score", "evaluate", "rich", "yaml", "pytest", "numpy")


def loaded(code: str, cwd: Path | None = None) -> set[str]:
    """Which of the heavy libraries a fresh interpreter has loaded after some code."""
    listing = f"import sys\n{code}\nprint([name for name in {HEAVY!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True, cwd=cwd)
    return set(json.loads(result.stdout.splitlines()[-1].replace("'", '"')))


def test_help_lists_every_command_with_one_line(slmcheck: Callable[..., Any]) -> None:
    ran = slmcheck("--help")
    assert ran.status == 0
    lines = {line.split()[0]: line for line in ran.out.splitlines() if line.startswith("  ")}
    for name, text in COMMANDS.items():
        assert lines[name].endswith(text)


def test_the_package_is_the_command() -> None:
    def ran(*arguments: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "slmcheck", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    assert ran("--version") == (0, f"slmcheck {__version__}\n", "")
    status, out, err = ran("trian")
    assert (status, out) == (2, "")
    assert "did you mean 'train'" in err.lower()


def test_no_argument_shows_the_help_and_is_wrong_usage(slmcheck: Callable[..., Any]) -> None:
    ran = slmcheck()
    assert (ran.status, ran.out[:15]) == (2, "usage: slmcheck")


def test_the_version(slmcheck: Callable[..., Any]) -> None:
    assert slmcheck("--version").out == f"slmcheck {__version__}\n"
    assert slmcheck("--version", "--json").document == {"version": __version__}


def test_help_imports_nothing_heavy() -> None:
    assert loaded("from slmcheck.cli import main\nmain(['--help'])") == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_has_its_examples(name: str, slmcheck: Callable[..., Any]) -> None:
    ran = slmcheck(name, "--help")
    assert ran.status == 0
    assert f"usage: slmcheck {name}" in ran.out
    assert f"examples:\n  slmcheck {name}" in ran.out


def test_the_help_of_every_command_imports_no_model_library() -> None:
    code = f"from slmcheck.cli import main\nfor name in {list(COMMANDS)!r}:\n    main([name, '--help'])"
    assert loaded(code) <= {"numpy", "rich"}


def test_an_unknown_command_says_what_there_is_and_what_was_meant(slmcheck: Callable[..., Any]) -> None:
    ran = slmcheck("trian")
    assert ran.status == 2
    assert ran.out == ""
    assert ran.err.splitlines()[0] == "Unknown command 'trian'."
    assert "Did you mean 'train'?" in ran.err


def test_an_unknown_option_says_what_was_meant(slmcheck: Callable[..., Any]) -> None:
    ran = slmcheck("compare", "a", "b", "--margn", "0.1")
    assert ran.status == 2
    assert ran.err.splitlines()[0] == "slmcheck compare: unknown option '--margn'; did you mean '--margin'?"
    assert "Help: slmcheck compare --help" in ran.err


def test_an_option_before_the_command_is_refused(slmcheck: Callable[..., Any]) -> None:
    ran = slmcheck("--margin", "1", "compare")
    assert (ran.status, ran.err.splitlines()[0]) == (2, "Unknown option '--margin' before the command.")


def test_a_missing_argument_shows_the_usage(slmcheck: Callable[..., Any]) -> None:
    ran = slmcheck("train")
    assert ran.status == 2
    assert "the following arguments are required: RECIPE" in ran.err
    assert "Usage: slmcheck train RECIPE [options]" in ran.err


def test_a_surplus_argument_is_refused(slmcheck: Callable[..., Any]) -> None:
    assert "unexpected argument 'two'" in slmcheck("train", "one", "two").err


def test_a_wrong_choice_says_what_there_is_and_what_was_meant(slmcheck: Callable[..., Any]) -> None:
    ran = slmcheck("report", "--format", "htm")
    assert ran.status == 2
    assert "'htm' is none of terminal, html, markdown, json, card, annotations, bundle; did you mean 'html'?" in ran.err


def test_options_are_never_abbreviated(slmcheck: Callable[..., Any]) -> None:
    assert "unknown option '--marg'" in slmcheck("compare", "a", "b", "--marg", "0.1").err


def test_an_error_is_its_message_without_a_traceback(slmcheck: Callable[..., Any], project: Path) -> None:
    ran = slmcheck("train", "nothing")
    assert ran.status == 2
    assert ran.err.splitlines()[0] == "No run is called 'nothing'."
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_traceback_can_be_asked_for(
    how: str, slmcheck: Callable[..., Any], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLMCHECK_TRACEBACK", {"option": "0", "variable": "1"}[how])
    ran = slmcheck("train", "nothing", *{"option": ["--traceback"], "variable": []}[how])
    assert ran.status == 2
    assert ran.err.startswith("Traceback")


def test_an_error_is_a_json_object_too(slmcheck: Callable[..., Any], project: Path) -> None:
    ran = slmcheck("train", "nothing", "--json")
    assert ran.document["exit_status"] == 2
    assert ran.document["error"]["kind"] == "UnknownRunError"


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Make the command `train` raise an error."""

    class Failing:
        EXAMPLES = "  slmcheck train x"

        def __init__(self, error: BaseException) -> None:
            self.error = error

        def add_arguments(self, parser: object) -> None:
            pass

        def execute(self, arguments: object) -> Result:
            raise self.error

    def fail(error: BaseException) -> None:
        for module in (commands, sys.modules["slmcheck.cli.main"]):
            monkeypatch.setattr(module, "command_of", lambda name: Failing(error))

    return fail


def test_failed_work_has_status_3(slmcheck: Callable[..., Any], failing: Callable[..., None]) -> None:
    failing(TrainingKilledError("The training was killed by signal 9."))
    ran = slmcheck("train")
    assert (ran.status, ran.err) == (3, "The training was killed by signal 9.\n")


def test_ctrl_c_says_that_work_goes_on_where_it_was(slmcheck: Callable[..., Any], failing: Callable[..., None]) -> None:
    failing(KeyboardInterrupt())
    ran = slmcheck("train")
    assert ran.status == 130
    assert "resumes where it was" in ran.err


def test_a_mistake_of_ours_shows_everything_and_asks_for_a_report(
    slmcheck: Callable[..., Any], failing: Callable[..., None]
) -> None:
    failing(ZeroDivisionError("division by zero"))
    ran = slmcheck("train")
    assert ran.status == 3
    assert "Traceback" in ran.err
    assert "please report it" in ran.err


def test_a_reader_that_goes_away_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-c", "import sys; from slmcheck.cli import main; sys.exit(main(['--help']))"]
    result = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (result.returncode, result.stderr) == (141, "")


def test_the_installed_command_is_this_function() -> None:
    from importlib.metadata import entry_points

    (found,) = entry_points(group="console_scripts", name="slmcheck")
    assert found.load() is main
