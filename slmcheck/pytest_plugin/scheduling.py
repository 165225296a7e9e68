"""Tests of one recipe go to one xdist worker.

`--dist loadgroup` cannot be relied on: pytest 9.2 with pytest-xdist 3.8 ignores its groups without a message. This is
an optimisation only: that a run trains once is the promise of the store.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

_RUN = re.compile(r"\[(?:.*-)?(run=\w+)")


def scope_of(node_id: str) -> str:
    """The token that keeps tests together: test folder and recipe, or the test itself where no recipe is involved."""
    found = _RUN.search(node_id)
    if found is None:
        return node_id
    folder = node_id.partition("::")[0].rpartition("/")[0]
    return f"{folder}::{found[1]}"


def make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A scheduler that groups by recipe, or None to leave the choice to xdist."""
    if config.getoption("dist") not in ("load", "loadgroup"):
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByRecipe(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return scope_of(nodeid)

    return ByRecipe(config, log)
