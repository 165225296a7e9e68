"""A project on disk, and the sessions and commands that its user starts: always processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from slmcheck.records import RunRecord
from slmcheck.storage import Store

WITNESS = Path(__file__).parent / "witness"
LEFT_OUT = ("PYTEST_", "SLMCHECK_", "CI", "PYTHONDONTWRITEBYTECODE")
"""Variables that a user does not have; without compiled modules every process would start a second later."""
COMMAND_LINE = "from slmcheck.cli import main; raise SystemExit(main())"
MODEL_LIBRARIES = "torch,transformers,peft,tokenizers,safetensors,accelerate,datasets,onnx,onnxruntime,sklearn,scipy"


@dataclass(frozen=True)
class Ran:
    """What a command left."""

    status: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Everything that its user reads."""
        return self.out + self.err

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON object of `--json`."""
        return dict(json.loads(self.out))


@dataclass(frozen=True, kw_only=True)
class Project:
    """A folder with pytest.ini, its store, and the variables that its processes get."""

    root: Path
    store_path: Path
    seen: Path
    """One file a training process, by its process id."""
    variables: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def at(cls, root: Path) -> Project:
        """A new project with an empty store."""
        seen = root / "seen"
        seen.mkdir(parents=True)
        (root / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider --import-mode=importlib\n")
        store = root / ".slmcheck" / "store" / "v1"
        variables = {"PYTHONPATH": str(WITNESS), "SLMCHECK_WITNESS": str(seen)}
        return cls(root=root, store_path=store, seen=seen, variables=variables)

    def but(self, **variables: str) -> Project:
        """The same project for a user with further environment variables."""
        return replace(self, variables={**self.variables, **variables})

    @property
    def without_model_libraries(self) -> Project:
        """The same project where torch and the like cannot be imported and nothing can be connected to."""
        return self.but(SLMCHECK_FORBIDDEN=MODEL_LIBRARIES, SLMCHECK_FORBIDDEN_NETWORK="1")

    @property
    def store(self) -> Store:
        """The store, opened anew."""
        return Store(self.store_path)

    @property
    def trainings(self) -> int:
        """How many training processes were started so far."""
        return len(list(self.seen.iterdir()))

    def runs(self) -> list[RunRecord]:
        """The stored runs, newest first."""
        return list(self.store.runs())

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a Python in the project."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(LEFT_OUT)}
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=self.root,
            env={**kept, **self.variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def pytest(self, *arguments: str) -> Ran:
        """Run pytest in the project."""
        return self._finished("-m", "pytest", *arguments)

    def slmcheck(self, *arguments: str) -> Ran:
        """Run the command line in the project."""
        return self._finished("-c", COMMAND_LINE, *arguments)

    def report(self) -> dict[str, Any]:
        """The report of the last session."""
        return dict(json.loads((self.root / ".slmcheck/reports/latest/report.json").read_text()))

    def _finished(self, *command: str) -> Ran:
        process = self.start(*command)
        out, err = process.communicate(timeout=300)
        return Ran(process.returncode, out, err)


def verified(project: Project) -> bool:
    """Whether every file of the store has the content that it was published with, and nothing was put aside."""
    found = project.store.check()
    return not found.damaged and found.whole > 0 and not any((project.store_path / "quarantine").glob("*"))


def predicted_rows(project: Project) -> int:
    """How many rows were predicted so far, a row predicted twice counted twice."""
    import gzip

    shards = project.store_path.glob("predictions/*/*/part-*.jsonl.gz")
    return sum(len(gzip.decompress(shard.read_bytes()).splitlines()) - 1 for shard in shards)


def scores_of(project: Project) -> int:
    """How many scores were measured so far."""
    return len(list(project.store.score_keys()))
