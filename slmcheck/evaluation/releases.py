"""The releases of a recipe: its accepted baselines through the history of the project, from git alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slmcheck.errors import DataError, MissingBaselineError
from slmcheck.evaluation.accepting import primary_metrics
from slmcheck.evaluation.baseline import FOLDER
from slmcheck.records import Recipe, TrendPoint
from slmcheck.storage.baselines import BaselineHeader, BaselineScore, header_path, read_header
from slmcheck.storage.git import Commit, contents, history, is_shallow

TREND_RELEASES = 20
"""How many of the newest releases a report draws."""
NOT_COMMITTED = "not committed"


@dataclass(frozen=True, kw_only=True)
class Release:
    """One accepted baseline: what was committed, by whom and why."""

    label: str
    """Its tag, the first digits of its commit, or `not committed`."""
    commit: Commit | None
    """None for what lies in the working tree only."""
    header: BaselineHeader | None
    """None where the file of that commit cannot be read."""
    problem: str = ""
    """Why it cannot be read, on one line."""

    @property
    def created(self) -> str:
        """When it was accepted; of a file that does not say, when it was committed."""
        found = self.header.created if self.header is not None else ""
        return found or (self.commit.date if self.commit is not None else "")

    @property
    def by(self) -> str:
        """Who accepted it; of a file that does not say, who committed it."""
        found = self.header.by if self.header is not None else ""
        return found or (self.commit.author if self.commit is not None else "")

    @property
    def reason(self) -> str:
        """Why, in the words of whoever accepted it; else the subject of the commit."""
        if self.header is not None and self.header.reason:
            return self.header.reason
        return self.commit.subject if self.commit is not None else ""


@dataclass(frozen=True, kw_only=True)
class Releases:
    """The accepted baselines of a recipe, oldest first."""

    recipe: Recipe
    path: Path
    releases: tuple[Release, ...]
    is_shallow: bool
    """Whether the checkout has only the last part of the history."""

    @property
    def primary(self) -> tuple[str, ...]:
        """The metrics that decide a release.

        Those that the tests mark; else those that were marked when the newest baseline was accepted; else all.
        """
        marked = primary_metrics(self.recipe)
        newest = next((item.header for item in reversed(self.releases) if item.header is not None), None)
        if marked or newest is None:
            return marked
        return newest.primary or tuple(dict.fromkeys(score.metric for score in evaluation_scores(newest)))


def releases_of(recipe: Recipe, *, anchor: bool = False) -> Releases:
    """The history of a recipe's baseline.

    Args:
        recipe: Whose baseline.
        anchor: Whether the pinned first release is meant.

    Raises:
        MissingBaselineError: If no baseline was ever accepted.
        StoreError: If git does not answer.
    """
    stem = recipe.name.rpartition("/")[2] + (".anchor" if anchor else "")
    path = header_path(recipe.directory / FOLDER, stem)
    commits = history(path) if path.parent.is_dir() else ()
    found: list[Release] = []
    for commit, content in zip(commits, contents(path, [commit.id for commit in commits]), strict=True):
        if content is not None:  # None: this commit deleted it
            _add(found, _release(path, content, commit))
    if path.is_file():
        _add(found, _release(path, path.read_bytes(), None))
    if not found:
        raise MissingBaselineError(
            f"There is no baseline of '{recipe.name}', neither in {path.parent} nor in the history of git.\n"
            f"Accept the current scores as one: slmcheck baseline accept {recipe.path or recipe.name}"
        )
    return Releases(recipe=recipe, path=path, releases=tuple(found), is_shallow=is_shallow(path))


def evaluation_scores(header: BaselineHeader) -> tuple[BaselineScore, ...]:
    """The accepted scores of the run itself on its evaluation split."""
    return tuple(score for score in header.scores if score.split != "train" and not score.variant)


def score_of(release: Release, metric: str) -> BaselineScore | None:
    """The accepted score of a metric; None where the release has none."""
    scores = evaluation_scores(release.header) if release.header is not None else ()
    return next((score for score in scores if score.metric == metric), None)


def trend_of(recipe: Recipe) -> tuple[TrendPoint, ...]:
    """The primary scores of earlier releases for a report, oldest first; none before the first is committed."""
    try:
        found = releases_of(recipe)
    except MissingBaselineError:
        return ()
    if all(release.commit is None for release in found.releases):
        return ()
    points = []
    for release in found.releases[-TREND_RELEASES:]:
        for metric in found.primary:
            score = score_of(release, metric)
            if score is not None:
                points.append(
                    TrendPoint(
                        label=release.label,
                        metric=metric,
                        value=score.value,
                        low=score.low,
                        high=score.high,
                        unit=score.unit,
                        created=release.created,
                    )
                )
    return tuple(points)


def _release(path: Path, content: bytes, commit: Commit | None) -> Release:
    label = commit.label if commit is not None else NOT_COMMITTED
    try:
        return Release(label=label, commit=commit, header=read_header(path, content))
    except DataError as error:
        return Release(label=label, commit=commit, header=None, problem=str(error).partition("\n")[0])


def _add(found: list[Release], release: Release) -> None:
    """Add a release; a commit that only moved or merged what was accepted before is none."""
    if not any(_is_same(other, release) for other in found[-1:]):
        found.append(release)


def _is_same(first: Release, second: Release) -> bool:
    if first.header is None or second.header is None:
        return first.header is second.header and first.problem == second.problem
    facts: Sequence[tuple[str | None, str]] = [
        (header.run_key, header.created) for header in (first.header, second.header)
    ]
    return facts[0] == facts[1]
