"""Data sets of a hub, through the datasets library; imported only when a recipe names one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from slmcheck.data.hub_cache import GatedError, asked_commit, cached_commit
from slmcheck.data.problems import Problem
from slmcheck.data.readers import Row, Table, as_row
from slmcheck.data.sources import Source
from slmcheck.errors import DataError, InputError, MissingExtraError


def read_hub(source: Source) -> Table:
    """The rows of a hub data set; its identity is repository, commit, configuration and split expression.

    Raises:
        MissingExtraError: If the datasets library is not installed.
        DataError: If the data set cannot be read, or its commit cannot be told.
    """
    commit = _commit(source)
    loaded = _load(source, commit)
    items = [as_row(values, f"{source.text}:{number}") for number, values in enumerate(loaded, start=1)]
    return Table(
        rows=tuple(item for item in items if isinstance(item, Row)),
        problems=tuple(item for item in items if isinstance(item, Problem)),
        identity={
            "repository": source.repository,
            "commit": commit,
            "config": source.config,
            "split": source.split,
        },
    )


def _commit(source: Source) -> str:
    repository = str(source.repository)
    cached = cached_commit("datasets", repository, source.revision)
    if cached is not None:
        return cached
    try:
        return asked_commit("datasets", repository, source.revision)
    except MissingExtraError:
        raise
    except GatedError as error:
        raise DataError(str(error)) from error
    except InputError as error:
        raise DataError(
            f"{source.text} is not on this machine and the hub gave no answer ({error}); "
            "pin it to a commit (org/set@<40 hex digits>) or use a file"
        ) from error


def _load(source: Source, commit: str) -> list[Mapping[str, object]]:
    try:
        from datasets import load_dataset
        from datasets.exceptions import DatasetsError
    except ImportError as error:
        raise MissingExtraError(
            f"Reading '{source.text}' needs the datasets library, which is not installed.\n"
            "Install it: pip install 'slmcheck[train]'"
        ) from error
    try:
        loaded = load_dataset(source.repository, source.config, split=source.split, revision=commit)
    except (DatasetsError, OSError, ValueError) as error:
        raise DataError(f"{source.text}: {str(error).strip().splitlines()[0]}") from error
    return cast("list[Mapping[str, object]]", list(loaded))
