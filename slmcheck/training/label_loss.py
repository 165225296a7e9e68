"""The Trainer of transformers with a loss at the learned tokens only and an evaluation of its own.

A leaf module: it imports torch and transformers at its top and is itself imported only by the loop.

Why not the stock loss and evaluation: logits of all tokens cost most of the memory, and the stock `evaluate()` averages
over batches, so that its value depends on the batch size.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import Sampler
from transformers import (
    EarlyStoppingCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from slmcheck.backends.bottleneck import Bottlenecked, save_bottlenecks
from slmcheck.errors import NonFiniteLossError
from slmcheck.records import Recipe
from slmcheck.training.batches import Batch, ByLength, TokenRows
from slmcheck.training.committed import commit, keep_only
from slmcheck.training.custom_loss import CustomLoss, LossBatch
from slmcheck.training.failures import non_finite_error
from slmcheck.training.recorder import Recorder
from slmcheck.training.rows import SplitRecord
from slmcheck.training.token_rows import IGNORED
from slmcheck.training.weights import load_weights


@dataclass(frozen=True)
class LearnedTokens:
    """What a model says of the learned tokens of a batch, N of them."""

    logits: torch.Tensor
    """Shape (N, vocabulary), float32."""
    targets: torch.Tensor
    """Shape (N,)."""
    row: torch.Tensor
    """Which row of the batch each stands in; shape (N,)."""
    states: torch.Tensor | None = None
    """Mean last hidden state of each row, of length 1; shape (rows, width), float32. None unless it was asked for."""

    def nll(self) -> torch.Tensor:
        """Negative log-likelihood in nats; shape (N,)."""
        return functional.cross_entropy(self.logits, self.targets, reduction="none")

    def by_row(self, nll: torch.Tensor, rows: int) -> tuple[list[float], list[bool]]:
        """Summed nats of each row, and whether each of its tokens was the most likely one."""
        nats = torch.zeros(rows, device=nll.device).index_add_(0, self.row, nll.detach())
        wrong = (self.logits.detach().argmax(dim=-1) != self.targets).to(torch.float32)
        mistakes = torch.zeros(rows, device=nll.device).index_add_(0, self.row, wrong)
        return nats.tolist(), (mistakes == 0).tolist()


def learned_tokens(model: nn.Module, batch: Batch, *, with_states: bool = False) -> LearnedTokens:
    """Run the model and keep the logits of the learned tokens only; with the states of the rows where asked."""
    labels, row = batch["labels"], batch["row"]
    inputs = {name: value for name, value in batch.items() if name not in ("labels", "row", "example", "weight")}
    learned = labels[:, 1:] != IGNORED
    more = {"output_hidden_states": True} if with_states else {}
    if labels.shape[0] == 1 and _keeps_positions(model) and not learns_virtual_tokens(model):
        at = learned[0].nonzero().flatten()
        output = model(**inputs, use_cache=False, logits_to_keep=at, **more)
        logits = output.logits[0]
    else:
        output = model(**inputs, use_cache=False, **more)
        logits = output.logits[:, -labels.shape[1] : -1][learned]  # virtual tokens stand before the text
    states = _states(output.hidden_states[-1][:, -labels.shape[1] :], batch) if with_states else None
    return LearnedTokens(logits.float(), labels[:, 1:][learned], row[:, 1:][learned], states)


def _states(hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
    """The mean state of each row over its prompt, of all its tokens where it has none; of length 1."""
    rows, mask = len(batch["example"]), batch.get("attention_mask")
    attended = torch.ones_like(batch["row"], dtype=torch.bool) if mask is None else mask.bool()
    prompt = attended & (batch["labels"] == IGNORED)
    row, count = batch["row"], torch.zeros(rows, device=hidden.device)
    # The first token of a row is never learned, so a row whose tokens are all learned has one token of "prompt".
    has_prompt = count.index_add(0, row[prompt], torch.ones_like(row[prompt], dtype=torch.float32)) > 1
    read = attended & (prompt | ~has_prompt[row])
    sums = torch.zeros(rows, hidden.shape[-1], device=hidden.device).index_add(0, row[read], hidden[read].float())
    return functional.normalize(sums, dim=-1)


def learns_virtual_tokens(model: nn.Module) -> bool:
    """Whether an adapter stands before each text as virtual tokens, which takes padded batches."""
    config = getattr(model, "active_peft_config", None)
    return bool(config is not None and config.is_prompt_learning)


def _keeps_positions(model: nn.Module) -> bool:
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "logits_to_keep" in inspect.signature(type(inner).forward).parameters


class Patience(EarlyStoppingCallback):  # type: ignore[misc]
    """Early stopping; the best checkpoint is loaded by the loop itself, so nothing is asked of the arguments."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Nothing to look at."""


class LogLines(TrainerCallback):  # type: ignore[misc]
    """One line in train.log every so many updates."""

    def __init__(self, every: int) -> None:
        """Print every `every` updates."""
        self._every, self._next = every, 0

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """Print what is logged."""
        evaluated = logs is not None and "eval_seconds" in logs
        if logs and (evaluated or state.global_step >= self._next):
            self._next = state.global_step + (0 if evaluated else self._every)
            shown = ", ".join(f"{name} {value:.5g}" for name, value in logs.items())
            print(f"update {state.global_step} of {state.max_steps}: {shown}", flush=True)  # noqa: T201 (train.log)


@dataclass(frozen=True, kw_only=True)
class EvaluatedRows:
    """Rows of an evaluation in the batches in which they are read."""

    batches: Sequence[Batch]
    record: SplitRecord


class LabelLossTrainer(Trainer):  # type: ignore[misc]
    """Trainer over batches of `slmcheck.training.batches`."""

    loss_is_scaled_for_ga = True  # compute_loss divides by the tokens of the whole accumulated batch

    def __init__(
        self,
        *,
        recorder: Recorder,
        validation: EvaluatedRows | None,
        subset: EvaluatedRows | None,
        recipe: Recipe,
        loss: CustomLoss | None = None,
        classes: Sequence[int] = (),
        by_length: bool = False,
        **arguments: Any,
    ) -> None:
        """A trainer of transformers with the rows that an evaluation reads.

        `loss` is one of the user's own, `classes` the class of each training example, by its number;
        `by_length` puts rows of like length together.
        """
        super().__init__(**arguments)
        self._recorder = recorder
        self._validation, self._subset = validation, subset
        self._recipe = recipe
        size = recipe.per_device_train_batch_size * recipe.gradient_accumulation_steps
        rows = arguments["train_dataset"]
        self._order = ByLength(rows, batch_size=size, seed=recipe.seed) if by_length else None
        self._loss, self._classes = loss, torch.tensor(classes, dtype=torch.int64)

    def _get_train_sampler(self, train_dataset: TokenRows | None = None) -> Sampler[int] | None:
        if self._order is None:
            found: Sampler[int] | None = super()._get_train_sampler(train_dataset)
            return found
        return self._order

    @property
    def mixes_rows(self) -> bool:
        """Whether the loss looks at several rows at once, so that micro-batches are no sum of rows."""
        return self._loss is not None and self._loss.wants_states

    def get_batch_samples(
        self, epoch_iterator: Iterator[Batch], num_batches: int, device: torch.device
    ) -> tuple[list[Batch], torch.Tensor | int | None]:
        """The micro-batches of one update and the summed weight of their learned tokens."""
        began = time.monotonic()
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        self._recorder.waited_seconds += time.monotonic() - began
        return batches, sum((_token_weights(batch).sum() for batch in batches), torch.zeros(())).to(device)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """This micro-batch's part of the update's loss in nats per learned token; notes what was seen of its rows."""
        learned = learned_tokens(model, inputs, with_states=self.mixes_rows)
        weight, example = inputs["weight"], inputs["example"]
        whole = weight[learned.row].sum() if num_items_in_batch is None else num_items_in_batch
        batch = LossBatch(
            logits=learned.logits,
            targets=learned.targets,
            row=learned.row,
            weights=weight,
            classes=self._classes.to(example.device)[example] if len(self._classes) else torch.full_like(example, -1),
            normaliser=torch.as_tensor(whole, device=weight.device),
            label_smoothing=self._recipe.label_smoothing,
            states=learned.states,
        )
        loss = batch.cross_entropy() if self._loss is None else self._loss(batch)
        if not torch.isfinite(loss):
            what = "the loss" if self._loss is None else f"loss '{self._loss.name}'"
            raise self._not_finite(what, loss.item(), self.state.global_step + 1)
        if self.is_in_train:
            self._note_rows(learned, learned.nll(), inputs, example)
        return loss

    def prepared(self, batch: Batch) -> Batch:
        """A batch on the device of the model."""
        moved: Batch = self._prepare_inputs(batch)
        return moved

    def update_losses(self, batches: Sequence[Batch]) -> Iterator[torch.Tensor]:
        """The loss terms of one update over micro-batches, as training computes them."""
        micro_batches, weight = self.get_batch_samples(iter(batches), len(batches), self.args.device)
        for batch in micro_batches:
            with self.accelerator.autocast():
                loss = self.compute_loss(self.model, batch, num_items_in_batch=weight)
            yield loss

    def _note_rows(self, learned: LearnedTokens, nll: torch.Tensor, inputs: Batch, example: torch.Tensor) -> None:
        record, epoch = self._recorder.record.train, int(self.state.epoch or 0)
        nats, correct = learned.by_row(nll, len(example))
        record.add(record.line(epoch), example.tolist(), nats, correct)
        mask, ids = inputs.get("attention_mask"), inputs["input_ids"]
        self._recorder.tokens += int(ids.numel() if mask is None else mask.sum())

    def evaluate(
        self,
        eval_dataset: object = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Loss of the validation rows and of the fixed training rows: nats per learned token, in evaluation mode."""
        metrics = self.measure()
        self.log(dict(metrics))
        self.control: TrainerControl = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def measure(self) -> dict[str, float]:
        """One evaluation, written to the history; no callback hears of it."""
        step, epoch = self.state.global_step, float(self.state.epoch or 0.0)
        validation = self._loss_of(self._validation, step)
        subset = self._loss_of(self._subset, step)
        self._recorder.evaluation(step, epoch, validation_loss=validation, subset_loss=subset)
        losses = {"eval_loss": validation, "eval_train_loss": subset}
        found = {name: loss for name, loss in losses.items() if loss is not None}
        for name, loss in found.items():
            if not torch.isfinite(torch.tensor(loss)):
                raise self._not_finite(f"an evaluation's {name}", loss, step)
        return found

    def _loss_of(self, rows: EvaluatedRows | None, step: int) -> float | None:
        if rows is None:
            return None
        was_training, line = self.model.training, rows.record.line(step)
        self.model.eval()
        total, count = torch.zeros((), dtype=torch.float64), 0
        for host_batch in rows.batches:
            batch = self.prepared(host_batch)
            with torch.no_grad(), self.accelerator.autocast():
                learned = learned_tokens(self.model, batch)
            nll = learned.nll()
            nats, correct = learned.by_row(nll, len(batch["example"]))
            rows.record.add(line, batch["example"].tolist(), nats, correct)
            total += nll.double().sum().cpu()
            count += len(nll)
        self.model.train(was_training)
        return float(total / count)

    def _not_finite(self, what: str, value: float, step: int) -> NonFiniteLossError:
        earlier = [entry for entry in self.state.log_history if "loss" in entry]
        last = (int(earlier[-1]["step"]), float(earlier[-1]["loss"])) if earlier else None
        return non_finite_error(self._recipe, what, value, step, last)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Write updates to the history and tell the callbacks."""
        if "loss" in logs:
            self._recorder.update(
                self.state.global_step,
                float(self.state.epoch or 0.0),
                loss=logs["loss"],
                learning_rate=logs["learning_rate"],
                gradient_norm=logs.get("grad_norm"),
            )
        super().log(logs, start_time)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        if isinstance(self.model, Bottlenecked):  # of this model transformers would write the base model too
            save_bottlenecks(self.model, Path(output_dir or self.args.output_dir))
        else:
            super()._save(output_dir, state_dict)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        if isinstance(self.model, Bottlenecked):
            load_weights(self.model, Path(resume_from_checkpoint))
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _save_checkpoint(self, model: nn.Module, trial: object) -> None:
        """Save, commit, and only then delete what is neither the best nor the newest."""
        super()._save_checkpoint(model, trial)
        root = Path(self.args.output_dir)
        folder = root / f"checkpoint-{self.state.global_step}"
        self._recorder.save(folder, self.state.global_step)
        commit(folder)
        keep_only(root, {folder, root / f"checkpoint-{self.state.best_global_step or self.state.global_step}"})


def _token_weights(batch: Batch) -> torch.Tensor:
    labels, row, weight = batch["labels"], batch["row"], batch["weight"]
    return weight[row[:, 1:][labels[:, 1:] != IGNORED]]
