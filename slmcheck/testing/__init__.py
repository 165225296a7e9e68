"""Contracts that a trainer plugin runs against itself, and a model small enough to do so in seconds.

from slmcheck.testing import TrainerContract
from my_package import MyTrainer

class TestMyTrainer(TrainerContract):
trainer = MyTrainer
wrong_options = ({"rank": 0},)
"""

import pytest

# Editable installs are not rewritten by themselves, and a bare `assert` of the contract would then say nothing.
pytest.register_assert_rewrite("slmcheck.testing.trainer_contract")

from slmcheck.testing.small_model import write_small_model  # noqa: E402
from slmcheck.testing.trainer_contract import InterruptionError, TrainerContract  # noqa: E402

__all__ = ["InterruptionError", "TrainerContract", "write_small_model"]
