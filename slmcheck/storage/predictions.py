"""Predicted rows, kept as immutable shards and merged on reading.

A set is one way of asking one checkpoint; a row is what was rendered. New rows add a shard, nothing is ever rewritten.
A shard is gzipped JSON lines: a header with its environment, then one row a line; its name is the hash of its bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slmcheck.errors import StoreError
from slmcheck.records import Environment, Json, PredictedRow, from_json, to_json
from slmcheck.storage.canonical import environment_digest
from slmcheck.storage.entries import SCHEMA, make_root
from slmcheck.storage.files import disk_errors, unique_name, write_whole
from slmcheck.storage.origin import Origin, this_origin

_FLUSH_ROWS = 2_000
_FLUSH_SECONDS = 30.0
_NAME_DIGITS = 32
_DEFAULTS = {item.name: item.default for item in fields(PredictedRow) if item.name != "row"}
_TUPLES = ("option_scores", "option_probabilities", "samples")
_ROW_START = b'{"row":"'


@dataclass(frozen=True, kw_only=True)
class _Shard:
    environment: Environment
    environment_digest: str
    created: str
    name: str
    lines: Mapping[str, bytes]
    """The JSON line of each row."""
    origin: Origin | None = None
    """The CI job that predicted them."""


class PredictionSet:
    """All stored answers of one checkpoint asked in one way."""

    def __init__(
        self,
        root: Path,
        key: str,
        inputs: Json,
        note: Callable[[str], None],
        *,
        refuse: Callable[[str, Origin | None], None] | None = None,
    ) -> None:
        self.key = key
        self.folder = root / "predictions" / key[:2] / key
        self._root = root
        self._inputs = inputs
        self._note = note
        self._refuse = refuse
        self._shards: dict[str, _Shard] = {}
        """Shards read so far by file name; they never change."""

    @property
    def environments(self) -> tuple[Environment, ...]:
        """Where the rows were predicted, the newest first."""
        found: dict[str, Environment] = {}
        for shard in sorted(self._read_shards(), key=lambda shard: shard.created, reverse=True):
            found.setdefault(shard.environment_digest, shard.environment)
        return tuple(found.values())

    def read(
        self, environment: Environment | None = None, *, same_environment: bool = False
    ) -> dict[str, PredictedRow]:
        """Every stored row by its digest: of this environment, else of the newest other one.

        Args:
            environment: Where the caller would predict; None takes the newest of all.
            same_environment: Whether rows of another environment count as absent.

        Raises:
            StoreError: If a newer slmcheck wrote a shard, or the disk refuses. A damaged shard is put aside and noted;
                its rows are absent.
        """
        merged = self._merged(environment, same_environment=same_environment)
        return {row: _parse(line) for row, (line, _) in merged.items()}

    def made_in(
        self, rows: Iterable[str], environment: Environment | None = None, *, same_environment: bool = False
    ) -> tuple[Environment, ...]:
        """The environments that the given rows come from under the rule of `read`; rows that are absent give none."""
        merged = self._merged(environment, same_environment=same_environment)
        found = {
            shard.environment_digest: shard.environment for row in rows if row in merged for shard in [merged[row][1]]
        }
        return tuple(found.values())

    def fingerprint(
        self, rows: Iterable[str], environment: Environment | None = None, *, same_environment: bool = False
    ) -> str | None:
        """Digest of the given rows' answers under the rule of `read`, for a score key; None when a row is absent."""
        merged = self._merged(environment, same_environment=same_environment)
        found = hashlib.sha256(b"slmcheck-predicted-v1\n")
        for row in sorted(set(rows)):
            if row not in merged:
                return None
            found.update(merged[row][0])
        return found.hexdigest()

    def add(self, rows: Iterable[PredictedRow], environment: Environment) -> None:
        """Store rows as one shard; rows that are there already stay as they are.

        Raises:
            StoreError: If the disk refuses; nothing half written is left.
        """
        lines = [_line(row) for row in rows]
        if not lines:
            return
        header = {
            "schema": SCHEMA,
            "set": self.key,
            "created": datetime.now(UTC).isoformat(timespec="microseconds"),
            "rows": len(lines),
            "environment": to_json(environment),
        }
        if (origin := this_origin()) is not None:
            header["origin"] = to_json(origin)
        text = b"\n".join([json.dumps(header, ensure_ascii=False).encode(), *lines]) + b"\n"
        content = gzip.compress(text, compresslevel=5, mtime=0)
        name = f"part-{hashlib.sha256(content).hexdigest()[:_NAME_DIGITS]}.jsonl.gz"
        with disk_errors(self._root, f"storing predictions {self.key[:12]}"):
            scratch = make_root(self._root) / "tmp"
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write_inputs(scratch)
            write_whole(self.folder / name, content, scratch=scratch)

    @contextmanager
    def writer(self, environment: Environment) -> Iterator[Callable[[Iterable[PredictedRow]], None]]:
        """Store rows as they come, a shard every 30 seconds or 2,000 rows; gives the function that takes rows.

        What was taken is stored also when the work ends by an error, so that it is not predicted again.

        Raises:
            StoreError: If the disk refuses.
        """
        waiting: list[PredictedRow] = []
        flushed = time.monotonic()

        def take(rows: Iterable[PredictedRow]) -> None:
            nonlocal flushed
            waiting.extend(rows)
            if len(waiting) >= _FLUSH_ROWS or time.monotonic() - flushed >= _FLUSH_SECONDS:
                self.add(waiting, environment)
                waiting.clear()
                flushed = time.monotonic()

        try:
            yield take
        finally:
            self.add(waiting, environment)

    def _write_inputs(self, scratch: Path) -> None:
        path = self.folder / "inputs.json"
        if not path.exists():
            content = {"schema": SCHEMA, "kind": "predictions", "key": self.key, "inputs": self._inputs}
            write_whole(path, (json.dumps(content, indent=1) + "\n").encode(), scratch=scratch)

    def _merged(self, environment: Environment | None, *, same_environment: bool) -> dict[str, tuple[bytes, _Shard]]:
        shards = self._read_shards()
        own = environment_digest(environment) if environment is not None else None
        newest: dict[str, str] = {}
        for shard in shards:
            newest[shard.environment_digest] = max(shard.created, newest.get(shard.environment_digest, ""))
        others = sorted((digest for digest in newest if digest != own), key=lambda digest: newest[digest], reverse=True)
        order = [own] if same_environment else [own, *others]
        merged: dict[str, tuple[bytes, _Shard]] = {}
        for digest in order:
            # Within an environment the first answer stays, so that two predictors at once change nothing later.
            for shard in sorted(shards, key=lambda shard: (shard.created, shard.name)):
                if shard.environment_digest == digest:
                    for row, line in shard.lines.items():
                        merged.setdefault(row, (line, shard))
        return merged

    def _read_shards(self) -> list[_Shard]:
        with disk_errors(self._root, f"reading predictions {self.key[:12]}"):
            for path in sorted(self.folder.glob("part-*.jsonl.gz")):
                if path.name not in self._shards and (shard := self._read_shard(path)):
                    if self._refuse is not None:
                        self._refuse(f"predictions/{self.key[:12]}", shard.origin)
                    self._shards[path.name] = shard
        with suppress(OSError):
            os.utime(self.folder / "inputs.json")  # the time of the last use, for gc
        return list(self._shards.values())

    def _read_shard(self, path: Path) -> _Shard | None:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None  # gc was faster
        damage = ""
        if path.name != f"part-{hashlib.sha256(content).hexdigest()[:_NAME_DIGITS]}.jsonl.gz":
            damage = "its content does not match its name"
        else:
            try:
                return _decode(path, gzip.decompress(content))
            except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
                damage = str(error)
        target = self._root / "quarantine" / unique_name(f"predictions-{self.key[:12]}")
        with suppress(OSError):
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(path, target)
        self._note(f"predictions/{self.key[:12]}/{path.name} was damaged ({damage}); its rows are predicted again.")
        return None


def origin_of_shard(path: Path) -> Origin | None:
    """The CI job that predicted the rows of a shard.

    Raises:
        StoreError: If it is damaged, or a newer slmcheck wrote it.
    """
    try:
        return _decode(path, gzip.decompress(path.read_bytes())).origin
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"The shard {path.name} is damaged: {error}.") from error


def _decode(path: Path, text: bytes) -> _Shard:
    first, *lines = text.splitlines()
    header = json.loads(first)
    if header["schema"] > SCHEMA:
        raise StoreError(
            f"{path} has schema {header['schema']}; this slmcheck reads up to {SCHEMA}.\n"
            "It was written by a newer slmcheck: upgrade to read it, or set SLMCHECK_STORE to another folder."
        )
    if header["rows"] != len(lines):
        raise ValueError(f"{len(lines)} rows instead of {header['rows']}")
    environment = from_json(Environment, header["environment"])
    return _Shard(
        environment=environment,
        environment_digest=environment_digest(environment),
        created=header["created"],
        name=path.name,
        lines={_row_of(line): line for line in lines},
        origin=from_json(Origin, header["origin"]) if "origin" in header else None,
    )


def _row_of(line: bytes) -> str:
    if not line.startswith(_ROW_START):
        raise ValueError("a line does not start with its row")
    return line[len(_ROW_START) : line.index(b'"', len(_ROW_START))].decode()


def _line(row: PredictedRow) -> bytes:
    value: dict[str, Any] = {"row": row.row}
    for name, default in _DEFAULTS.items():
        item = getattr(row, name)
        if item != default:
            value[name] = list(item) if isinstance(item, tuple) else item
    # ASCII: a text may hold line separators that splitlines() takes for ends, and lone surrogates.
    line = json.dumps(value, separators=(",", ":"), ensure_ascii=True).encode()
    if not line.startswith(_ROW_START) or '"' in row.row or "\\" in row.row:
        raise ValueError(f"{row.row!r} is no digest of a row")
    return line


def _parse(line: bytes) -> PredictedRow:
    value = json.loads(line)
    for name in _TUPLES:
        if name in value:
            value[name] = tuple(value[name])
    if not value.keys() <= _DEFAULTS.keys() | {"row"}:
        return from_json(PredictedRow, value)  # says which field is unknown
    return PredictedRow(**value)
