"""The engine of all metrics: a smooth function of the sum of per-example statistics, linearised.

The influence value of an example is how much the score moves for its share of the sample; the standard error of any
such score, paired, unpaired or clustered, is that of a mean of influence values. No random numbers are involved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Scale = Literal["identity", "log", "logit"]
ValueOfSum: TypeAlias = Callable[[Array], Array]

_RELATIVE_STEP = 1e-5


@dataclass(frozen=True)
class Linearised:
    """A score and what each example contributes to its uncertainty.

    Attributes:
        value: The score on the metric's own scale; shape (...).
        influence: Influence values on the requested scale, summing to zero; shape (..., examples).
    """

    value: Array
    influence: Array


def linearise(value_of_sum: ValueOfSum, statistics: Array, scale: Scale = "identity") -> Linearised:
    """The score of per-example statistics and its influence values.

    Args:
        value_of_sum: Sums (..., K) to scores (...).
        statistics: Shape (..., examples, K); leading axes are independent samples.
        scale: On which the influence values are wanted.

    Source: infinitesimal jackknife, Efron 1982; the gradient by central differences.
    """
    statistics = np.asarray(statistics, dtype=np.float64)
    count, width = statistics.shape[-2:]
    mean = statistics.mean(axis=-2)
    value = np.asarray(value_of_sum(mean * count), dtype=np.float64)
    step = _RELATIVE_STEP * np.maximum(np.abs(mean), 1.0 / count)
    shifts = step[..., None, :] * np.eye(width)
    forward = value_of_sum((mean[..., None, :] + shifts) * count)
    backward = value_of_sum((mean[..., None, :] - shifts) * count)
    # A column without variation moves nothing, and a step in it may leave the domain (a class that never occurs).
    varies = (statistics != statistics[..., :1, :]).any(axis=-2)
    gradient = np.where(varies, (forward - backward) / (2.0 * step), 0.0) * scale_slope(value, scale)[..., None]
    influence = (statistics @ gradient[..., None])[..., 0] - (mean * gradient).sum(axis=-1)[..., None]
    return Linearised(value=value, influence=influence)


def to_scale(value: Array, scale: Scale) -> Array:
    """A score on `scale`."""
    if scale == "identity":
        return value
    with np.errstate(divide="ignore"):
        return np.log(value) if scale == "log" else np.log(value) - np.log1p(-value)


def from_scale(value: Array, scale: Scale) -> Array:
    """The score whose position on `scale` is given."""
    if scale == "identity":
        return value
    return np.exp(value) if scale == "log" else 1.0 / (1.0 + np.exp(-value))


def scale_slope(value: Array, scale: Scale) -> Array:
    """Derivative of `to_scale`; 0 at the ends of the scale, where influence values are 0 themselves."""
    if scale == "identity":
        return np.ones_like(value)
    size = value if scale == "log" else value * (1.0 - value)
    return np.where(size > 0.0, 1.0 / np.where(size > 0.0, size, 1.0), 0.0)


def standard_error(influence: Array, clusters: NDArray[np.intp] | None = None) -> tuple[Array, int]:
    """Standard error of a mean of influence values, and its degrees of freedom.

    Args:
        influence: Shape (..., examples).
        clusters: Cluster number of each example, from 0; shape (examples,). None: each example is its own.

    Returns:
        Standard error, shape (...), and clusters - 1 (examples - 1); infinite error for a single cluster.

    Source: cluster-robust variance with the factor G / (G - 1), Liang and Zeger 1986.
    """
    count = influence.shape[-1]
    totals = influence if clusters is None else cluster_sums(influence, clusters)
    groups = totals.shape[-1]
    if groups < 2:
        return np.full(influence.shape[:-1], np.inf), 1
    return np.sqrt(np.square(totals).sum(axis=-1) * groups / (groups - 1)) / count, groups - 1


def cluster_sums(values: Array, clusters: NDArray[np.intp]) -> Array:
    """Sums by cluster of the last axis; shape (..., clusters)."""
    order = np.argsort(clusters, kind="stable")
    starts = np.flatnonzero(np.diff(clusters[order], prepend=-1))
    return np.add.reduceat(values[..., order], starts, axis=-1)


def cluster_numbers(groups: Sequence[str] | None) -> NDArray[np.intp] | None:
    """Cluster number of each example; None where no two examples share a group."""
    if groups is None:
        return None
    numbers = {group: index for index, group in enumerate(dict.fromkeys(groups))}
    if len(numbers) == len(groups):
        return None
    return np.array([numbers[group] for group in groups], dtype=np.intp)
