"""Losses of the user's own: what they are given, and how one is loaded and called.

A leaf module: it imports torch at its top and is itself imported only by the loop, and by whoever writes a loss.
"""

from __future__ import annotations

import importlib.util
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import nn
from torch.nn import functional

from slmcheck.errors import RecipeError
from slmcheck.records import Recipe
from slmcheck.training.losses import LossSource


@dataclass(frozen=True, kw_only=True)
class LossBatch:
    """What a loss sees of one micro-batch: R rows with N learned tokens.

    A loss returns this micro-batch's part of the loss of the whole update, a scalar: a sum over tokens divided by
    `normaliser`, or a mean over rows or pairs times `share`. Then gradient accumulation changes nothing.
    """

    logits: torch.Tensor
    """At the positions that predict the learned tokens; shape (N, vocabulary), float32."""
    targets: torch.Tensor
    """The learned tokens; shape (N,), int64."""
    row: torch.Tensor
    """Which row of the micro-batch each stands in, 0 to R - 1; shape (N,), int64."""
    weights: torch.Tensor
    """Weight of each row by the recipe's `class_weights`, else 1; shape (R,), float32."""
    classes: torch.Tensor
    """Place of each row's answer among the recipe's labels, -1 where it has none; shape (R,), int64."""
    normaliser: torch.Tensor
    """Summed weight of the learned tokens of the whole update, over all its micro-batches; a scalar."""
    label_smoothing: float
    """The recipe's `label_smoothing`, from 0 to 1."""
    states: torch.Tensor | None = None
    """Mean of the last hidden states over the tokens of each row that are not learned (the prompt; all tokens where
    everything is learned), scaled to length 1; shape (R, width), float32. None unless the loss has `wants_states`."""

    @property
    def share(self) -> torch.Tensor:
        """The part of the update's learned tokens, by weight, that this micro-batch holds; a scalar from 0 to 1."""
        return self.weights[self.row].sum() / self.normaliser

    def nll(self) -> torch.Tensor:
        """Negative log-likelihood of each learned token in nats; shape (N,)."""
        return functional.cross_entropy(self.logits, self.targets, reduction="none")

    def cross_entropy(self) -> torch.Tensor:
        """The loss that a recipe without `loss` has, class weights and label smoothing included; a scalar."""
        terms = functional.cross_entropy(
            self.logits, self.targets, reduction="none", label_smoothing=self.label_smoothing
        )
        return (terms * self.weights[self.row]).sum() / self.normaliser


Loss = Callable[[LossBatch], torch.Tensor]


@dataclass(frozen=True)
class PairLoss:
    """Cross-entropy and a loss of all pairs of rows of a micro-batch, as contrastive losses are written."""

    of_pairs: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
    """Takes the states of the rows of each pair, (pairs, width) twice, and 1 where their answers differ, else 0."""
    wants_states: bool = True

    def __call__(self, batch: LossBatch) -> torch.Tensor:
        """The sum of both, of this micro-batch."""
        assert batch.states is not None
        rows = torch.arange(len(batch.classes), device=batch.states.device)
        if len(rows) < 2:
            return batch.cross_entropy()  # the last micro-batch of an epoch may hold one row, which is no pair
        one, other = torch.combinations(rows).T
        differ = (batch.classes[one] != batch.classes[other]).to(batch.states.dtype)
        return batch.cross_entropy() + self.of_pairs(batch.states[one], batch.states[other], differ) * batch.share


@dataclass(frozen=True)
class CustomLoss:
    """A loss of the user's own, with every way in which it can fail as a message."""

    name: str
    """As the recipe names it."""
    source: LossSource
    function: Loss

    @property
    def wants_states(self) -> bool:
        """Whether it reads `LossBatch.states`."""
        return bool(getattr(self.function, "wants_states", False))

    def __call__(self, batch: LossBatch) -> torch.Tensor:
        """The loss of a micro-batch.

        Raises:
            RecipeError: If the loss raises, or returns no scalar that training can follow.
        """
        try:
            loss = self.function(batch)
        except Exception as error:
            raise RecipeError(f"loss '{self.name}' raised {_told(error, self.source)}") from error
        if not isinstance(loss, torch.Tensor) or loss.ndim != 0:
            shape = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else repr(loss)
            raise RecipeError(
                f"loss '{self.name}' returned {shape}.\nExpected a scalar tensor, a sum over tokens divided by "
                f"batch.normaliser or a mean times batch.share.\nFile: {self.source.path}"
            )
        if torch.is_grad_enabled() and not loss.requires_grad:
            raise RecipeError(
                f"loss '{self.name}' returned a tensor without a gradient: nothing would be learned.\n"
                "Compute it from batch.logits or batch.states, without detach(), item() or argmax().\n"
                f"File: {self.source.path}"
            )
        return loss


def load_loss(source: LossSource, recipe: Recipe) -> CustomLoss:
    """Run the file that a recipe names and take the loss from it.

    Raises:
        RecipeError: If the file or the class raises, or the loss has weights of its own.
    """
    name = str(recipe.loss)
    try:
        found = getattr(_module(source), source.name)
        made = found() if isinstance(found, type) else found
    except Exception as error:
        raise RecipeError(f"loss '{name}' cannot be made: it raised {_told(error, source)}") from error
    weights = sum(weight.numel() for weight in made.parameters()) if isinstance(made, nn.Module) else 0
    if weights:
        raise RecipeError(
            f"loss '{name}' has {weights} weights of its own, which would be neither trained nor saved.\n"
            f"Write it with constants, or as buffers.\nFile: {source.path}"
        )
    return CustomLoss(name=name, source=source, function=PairLoss(made) if source.form == "pair" else made)


def _module(source: LossSource) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"slmcheck_loss_{source.path.stem}", source.path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _told(error: Exception, source: LossSource) -> str:
    """An exception with the line of the user's file that raised it."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(source.path)]
    where = f"{source.path}:{lines[-1]}" if lines else str(source.path)
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0] if said else 'without a message'}\nWhere: {where}"
