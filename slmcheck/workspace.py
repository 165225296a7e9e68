"""Where a session keeps its results, and what it may do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from slmcheck.records import DeviceClass, Recipe, RunRecord
from slmcheck.storage import Store
from slmcheck.training import TrainingProgress

Progress = Callable[[Recipe, TrainingProgress], None]


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """Where a session keeps its results and what it may do."""

    root: Path
    """The project root; reports and the store lie below it."""
    store: Store
    device: DeviceClass | None = None
    """None detects it."""
    offline: bool = False
    """Training and predicting are forbidden: what the store lacks is an error."""
    retrain: bool = False
    """Runs are trained again although the store has them, once a session."""
    same_environment: bool = False
    """A run made in another environment does not count."""
    batch_invariant: bool = False
    on_progress: Progress | None = None
    retrained: set[str] = field(default_factory=set)
    """Keys of the runs that this session trained again."""
    siblings: dict[str, tuple[RunRecord, ...]] = field(default_factory=dict)
    """Other seeds of a run in the store, by run key, as this session first found them."""

    @classmethod
    def at(cls, root: Path) -> Workspace:
        """The workspace of a project folder, with default permissions."""
        return cls(root=root, store=Store.locate(root))
