"""Every command and option is documented, and the page is current."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from slmcheck.cli.commands import COMMANDS, command_of, parser_of
from slmcheck.cli.reference import parsers, reference_page

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "command-line.md"


def test_the_page_is_what_the_parsers_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference_page(), "python -m slmcheck.cli.reference > docs/reference/..."


def test_every_argument_has_a_help_text() -> None:
    bare = [f"{parser.prog} {action.dest}" for parser in parsers() for action in parser.arguments() if not action.help]
    assert bare == []


def test_every_command_and_option_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for parser in parsers():
        assert parser.prog in page
        for action in parser.arguments():
            assert all(f"`{name}" in page for name in action.option_strings or [action.metavar])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_subcommand_has_an_example(name: str) -> None:
    parser, examples = parser_of(name), command_of(name).EXAMPLES
    for leaf in parser.leaves():
        assert f"  {leaf.prog}" in examples


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_command_lines_that_parse(name: str) -> None:
    for line in command_of(name).EXAMPLES.splitlines():
        program, command, *rest = shlex.split(line.strip().split("   ")[0])
        assert (program, command) == ("slmcheck", name)
        understood = str(vars(parser_of(name).parse_args(rest)))
        assert all(word in understood for word in rest if not word.startswith("-"))


def test_every_command_takes_json_and_traceback() -> None:
    for parser in parsers():
        assert {"--json", "--traceback"} <= set(parser.options())
