"""The exported model that several tests look at."""

from __future__ import annotations

import pytest

from slmcheck.records import Checkpoint


@pytest.fixture(scope="session")
def source(exported_model) -> Checkpoint:
    return Checkpoint(kind="model", path=exported_model[0], key="source")


@pytest.fixture(scope="session")
def exported(exported_model, source) -> Checkpoint:
    from slmcheck.export import export_inputs, exported_checkpoint
    from slmcheck.storage import digest

    return exported_checkpoint(exported_model[1], digest("export", export_inputs(source, "fp32")), "fp32")
