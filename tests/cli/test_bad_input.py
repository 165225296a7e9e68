"""What bad input gets: one clear message, the same in pytest and on the command line, and nothing lost."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from slmcheck.cli import main
from tests.acceptance.project import Project, Ran
from tests.mood import RECIPE, write_suite

TESTS = """
def test_level(run):
    assert run.accuracy >= 0.0


def test_history(run):
    assert run.history
"""
TINY = Path(__file__).parents[2] / "slmcheck" / "models" / "tiny"


def edit(path: Path, old: str, new: str) -> None:
    """Replace the first of a text that is there."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def missing_file(suite: Path) -> None:
    (suite / "test.jsonl").unlink()


def broken_line(suite: Path) -> None:
    edit(suite / "train.jsonl", '"mood": "sad"}', '"mood": "sad"')


def empty_split(suite: Path) -> None:
    (suite / "test.jsonl").write_text("")


def unknown_label(suite: Path) -> None:
    edit(suite / "test.jsonl", '"mood": "sad"', '"mood": "furious"')


def missing_field(suite: Path) -> None:
    edit(suite / "train.jsonl", '"text": "i am so happy', '"txt": "i am so happy')


def unknown_field(suite: Path) -> None:
    edit(suite / "lora.yaml", "{text}", "{texts}")


def answer_cut(suite: Path) -> None:
    edit(suite / "train.jsonl", '"mood": "glad"', f'"mood": "{"very " * 80}glad"')


def one_of_a_class(suite: Path) -> None:
    edit(suite / "lora.yaml", "  validation: validation.jsonl\n", "")
    edit(suite / "train.jsonl", '"mood": "glad"', '"mood": "calm"')


def unknown_trainer(suite: Path) -> None:
    edit(suite / "lora.yaml", "trainer: lora", "trainer: lroa")


def no_weights(suite: Path) -> None:
    shutil.copytree(TINY, suite / "base", ignore=shutil.ignore_patterns("*.safetensors"))
    edit(suite / "lora.yaml", "slmcheck/tiny", "./base")


def pickled_weights(suite: Path) -> None:
    no_weights(suite)
    (suite / "base" / "pytorch_model.bin").write_bytes(b"\x80\x04N.")


def no_module(suite: Path) -> None:
    edit(suite / "lora.yaml", "{r: 4}", "{r: 4, target_modules: [query, value]}")


def not_a_number(suite: Path) -> None:
    edit(suite / "lora.yaml", "learning_rate: 3.0e-3", "learning_rate: 1.0e+30\nmax_grad_norm: 1.0e+30")


@dataclass(frozen=True)
class Case:
    """A mistake, and what the message about it must say."""

    spoil: Callable[[Path], None]
    says: tuple[str, ...]
    status: int = 2


CASES = [
    Case(missing_file, ("x",)),
    Case(broken_line, ("x",)),
    Case(empty_split, ("x",)),
    Case(unknown_label, ("x",)),
    Case(missing_field, ("x",)),
    Case(unknown_field, ("x",)),
    Case(answer_cut, ("x",)),
    Case(one_of_a_class, ("x",)),
    Case(unknown_trainer, ("x",)),
    Case(no_weights, ("x",)),
    Case(pickled_weights, ("x",)),
    Case(no_module, ("x",)),
    Case(not_a_number, ("x",), status=3),
]
