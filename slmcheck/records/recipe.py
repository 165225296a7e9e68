"""Everything that decides the outcome of a fine-tuning run, and how its result is evaluated.

Each field declares its stage: `training` fields are part of the run key, `evaluation` fields of the predictions they
decide, `environment` fields say where the work is done, `display` fields change no number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from slmcheck.records.codec import Json

ExampleLevel = Literal["full", "redacted", "none"]
Task = Literal["classification", "sequence_classification", "generation", "extraction", "language_modeling"]
LossOn = Literal["answer", "last_turn", "all_turns", "all"]
Normalization = Literal["sum", "mean_tokens", "mean_bytes", "unconditional"]
Stage = Literal["training", "evaluation", "environment", "display"]

TASKS: tuple[Task, ...] = (
    "classification",
    "sequence_classification",
    "generation",
    "extraction",
    "language_modeling",
)
DEFAULT_TEMPLATE_DATE = "2024-07-26"


def _stage(stage: Stage) -> Mapping[str, Stage]:
    return {"stage": stage}


def stage_of(item: Field[Any]) -> Stage:
    """The stage that a field of a recipe record declares."""
    stage: Stage = item.metadata["stage"]
    return stage


@dataclass(frozen=True, kw_only=True)
class SlicePredicate:
    """One named subset of the evaluation split; all given conditions must hold.

    `is_in` is written `in` in a recipe file.
    """

    field: str
    """Field of the row that the conditions look at; a row without it is in no slice."""
    equals: Json = None
    """The value is this one."""
    is_in: tuple[Json, ...] | None = None
    """The value is one of these."""
    matches: str | None = None
    """The value holds a match of this regular expression."""
    min_words: int | None = None
    """The value has at least so many words (runs of non-space characters)."""
    max_words: int | None = None
    """The value has at most so many words."""
    min: float | None = None
    """The value is a number of at least this."""
    max: float | None = None
    """The value is a number of at most this."""


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """Where the rows come from and how they become prompts and answers.

    A source is a file path relative to the recipe, optionally with a split expression, or a hub data set:
    `data/train.jsonl`, `data/rows.csv[:80%]`, `org/set:train[:4096]`, `org/set@revision#config:train[90%:]`.
    """

    train: tuple[str, ...] = field(default=(), metadata=_stage("training"))
    """Source or sources of the training rows."""
    validation: float | tuple[str, ...] = field(default=0.15, metadata=_stage("training"))
    """Share of the training rows to set aside (stratified for classes; rows with the same input or group stay on one
    side), or the sources of the validation rows."""
    text_template: str | None = field(default=None, metadata=_stage("training"))
    """Text with a placeholder for each field: `"Phrase: {phrase}\\nTone: {tone}"`. What stands before the answer is the
    prompt; `{{` and `}}` are braces."""
    messages: str | tuple[Mapping[str, str], ...] | None = field(default=None, metadata=_stage("training"))
    """In place of a template: the row field that holds chat messages, or the messages themselves with placeholders in
    their content: `[{role: user, content: "{text}"}, {role: assistant, content: "{label}"}]`."""
    chat_template: str | None = field(default=None, metadata=_stage("training"))
    """Jinja text in place of the tokenizer's chat template; a recipe file may name a file, `./chat.jinja`."""
    chat_template_kwargs: Mapping[str, Json] = field(default_factory=dict, metadata=_stage("training"))
    """Further variables of the chat template: `{enable_thinking: false}`."""
    template_date: str = field(default=DEFAULT_TEMPLATE_DATE, metadata=_stage("training"))
    """The date that a chat template sees when it reads the clock, YYYY-MM-DD."""
    answer: str | None = field(default=None, metadata=_stage("training"))
    """The field that the model must produce."""
    loss_on: LossOn = field(default="answer", metadata=_stage("training"))
    """What is learned: `answer` (and its EOS), `last_turn` or `all_turns` of the assistant, or `all` tokens."""
    max_length: int = field(default=512, metadata=_stage("training"))
    """Longest row in tokens, special tokens included; longer prompts lose their beginning, longer answers are an
    error. In language modelling the length of a window."""
    group: str | None = field(default=None, metadata=_stage("training"))
    """Field whose equal values stay on one side of the validation split."""
    test: tuple[str, ...] = field(default=(), metadata=_stage("evaluation"))
    """Source or sources of the rows that scores are of."""
    evaluate_on: Literal["test", "validation"] | None = field(default=None, metadata=_stage("evaluation"))
    """`validation` states on purpose that scores are of the rows that selected the checkpoint."""
    references: str | None = field(default=None, metadata=_stage("evaluation"))
    """Field with the answers that count as right, one or a list; without it the answer itself."""
    id: str | None = field(default=None, metadata=_stage("evaluation"))
    """Field with the id of a row; without it a digest of the input."""
    slices: Mapping[str, SlicePredicate] = field(default_factory=dict, metadata=_stage("evaluation"))
    """Named subsets of the evaluation split: `short: {field: phrase, max_words: 5}`."""


@dataclass(frozen=True, kw_only=True)
class EvaluationSpec:
    """How a model is asked for its answers."""

    normalization: Normalization = field(default="sum", metadata=_stage("evaluation"))
    """How the log-likelihoods of options are compared: summed, per token, per byte, or against the option alone."""
    few_shot: int = field(default=0, metadata=_stage("evaluation"))
    """Training rows that stand as examples before each prompt."""
    max_new_tokens: int = field(default=128, metadata=_stage("evaluation"))
    """Longest generated answer in tokens."""
    stop: tuple[str, ...] = field(default=(), metadata=_stage("evaluation"))
    """Texts that end a generation, beside EOS; they are no part of the answer."""
    temperature: float = field(default=0.0, metadata=_stage("evaluation"))
    """0 is greedy decoding."""
    top_p: float = field(default=1.0, metadata=_stage("evaluation"))
    """Share of the probability that sampling draws from."""
    samples: int = field(default=1, metadata=_stage("evaluation"))
    """Answers sampled for each row."""
    window: int | None = field(default=None, metadata=_stage("evaluation"))
    """Perplexity window in tokens; None is the context of the model."""
    stride: int | None = field(default=None, metadata=_stage("evaluation"))
    """Perplexity stride in tokens; None is half the window."""
    batch_tokens: int = field(default=1024, metadata=_stage("environment"))
    """Tokens of one forward pass; changes speed, not results."""


@dataclass(frozen=True, kw_only=True)
class SearchRange:
    """The values that a search tries for one field: `{low: 1.0e-4, high: 1.0e-2, log: true}` or `{choices: [4, 8]}`."""

    type: Literal["float", "int", "choice"] | None = field(default=None, metadata=_stage("display"))
    """Kind of the values; without it `choice` where choices are given, `int` where both ends are whole numbers, else
    `float`."""
    low: Json = field(default=None, metadata=_stage("display"))
    """Smallest value."""
    high: Json = field(default=None, metadata=_stage("display"))
    """Largest value."""
    log: bool = field(default=False, metadata=_stage("display"))
    """Draw evenly on the logarithmic scale."""
    step: Json = field(default=None, metadata=_stage("display"))
    """Distance between values, from `low` on."""
    choices: tuple[Json, ...] | None = field(default=None, metadata=_stage("display"))
    """The values themselves, in place of two ends."""

    @property
    def kind(self) -> Literal["float", "int", "choice"]:
        """Kind of the values, inferred where the recipe does not say it."""
        if self.type is not None:
            return self.type
        if self.choices is not None:
            return "choice"
        return "int" if isinstance(self.low, int) and isinstance(self.high, int) else "float"


@dataclass(frozen=True, kw_only=True)
class SearchSpec:
    """How a recipe looks for the best values of some of its fields; every trial is a run of its own."""

    space: Mapping[str, SearchRange] = field(metadata=_stage("display"))
    """Field of the recipe and the values to try: `learning_rate`, `options.r`, `data.max_length`."""
    sampler: Literal["tpe", "random"] = field(default="tpe", metadata=_stage("display"))
    """How the next values are chosen: from the trials so far (tree-structured Parzen estimator), or at random."""
    num_trials: int = field(default=20, metadata=_stage("display"))
    """Trainings of the search; raising it continues the search."""
    seed: int = field(default=0, metadata=_stage("display"))
    """Seed of the sampler; trial by trial it draws the same values again."""
    metric: str = field(default="validation_loss", metadata=_stage("display"))
    """What the best trial is best in: `validation_loss`, or a metric of the task, measured on the validation rows."""
    pruning: Literal["median", "none"] = field(default="median", metadata=_stage("display"))
    """`median` ends a trial whose validation loss is worse than the median of the earlier trials at the same point."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One fine-tuning run, seed included."""

    name: str = field(metadata=_stage("display"))
    """`<suite folder>/<recipe stem>`."""
    path: Path | None = field(default=None, metadata=_stage("display"))
    """The file it was read from; relative paths in the recipe start at its folder."""
    base_model: str = field(metadata=_stage("training"))
    """What training starts from: `slmcheck/tiny` (embedded), a folder (`./`, `../`, `/`) or `org/name@revision`."""
    task: Task = field(metadata=_stage("training"))
    """What is learned; decides which metrics exist."""
    trainer: str = field(metadata=_stage("training"))
    """Name of the trainer plugin."""
    data: DataSpec = field(metadata=_stage("training"))
    """Rows and template, see below."""
    options: Mapping[str, Json] = field(default_factory=dict, metadata=_stage("training"))
    """Options of the trainer, see its own page."""
    labels: tuple[str, ...] = field(default=(), metadata=_stage("evaluation"))
    """The options of a classification, in tie-breaking order; empty: the sorted answers of the training rows."""
    seed: int = field(default=0, metadata=_stage("training"))
    """Seed of every random number: order of rows, dropout, first weights of adapters."""
    seeds: int = field(default=1, metadata=_stage("display"))
    """How many seeds stand behind the run; each of them is a run of its own in the store."""
    trust_remote_code: bool = field(default=False, metadata=_stage("training"))
    """Whether code that comes with the base model may run."""

    learning_rate: float = field(default=2e-4, metadata=_stage("training"))
    """Peak learning rate. In YAML write the dot: `2.0e-4`."""
    lr_scheduler_type: str = field(default="cosine", metadata=_stage("training"))
    """Shape of the learning rate over the updates."""
    warmup_ratio: float = field(default=0.0, metadata=_stage("training"))
    """Share of the updates in which the learning rate rises."""
    warmup_steps: int = field(default=0, metadata=_stage("training"))
    """The same in updates; give one of the two."""
    num_train_epochs: float | None = field(default=None, metadata=_stage("training"))
    """Passes over the training rows; 3 when `max_steps` is not given either."""
    max_steps: int | None = field(default=None, metadata=_stage("training"))
    """Updates, in place of passes."""
    per_device_train_batch_size: int = field(default=8, metadata=_stage("training"))
    """Rows of one forward pass."""
    gradient_accumulation_steps: int = field(default=1, metadata=_stage("training"))
    """Forward passes of one update."""
    gradient_checkpointing: bool = field(default=False, metadata=_stage("training"))
    """Compute activations twice to save memory."""
    weight_decay: float = field(default=0.0, metadata=_stage("training"))
    """Pull of the weights towards zero."""
    max_grad_norm: float = field(default=1.0, metadata=_stage("training"))
    """Longer gradients are scaled down to this norm."""
    optim: str = field(default="adamw_torch", metadata=_stage("training"))
    """Optimizer."""
    bf16: bool = field(default=False, metadata=_stage("training"))
    """Compute in bfloat16."""
    fp16: bool = field(default=False, metadata=_stage("training"))
    """Compute in float16."""
    early_stopping_patience: int | None = field(default=None, metadata=_stage("training"))
    """Evaluations without a better validation loss before training stops; None never stops early."""
    eval_steps: int | None = field(default=None, metadata=_stage("training"))
    """Updates between evaluations; None is about ten evaluations, one an epoch at least."""
    save_steps: int | None = field(default=None, metadata=_stage("training"))
    """Equals `eval_steps`; another value is an error."""
    loss: str | None = field(default=None, metadata=_stage("training"))
    """A loss of one's own, `losses.py:MyLoss`; None is cross-entropy."""
    class_weights: Mapping[str, float] = field(default_factory=dict, metadata=_stage("training"))
    """Weight of the rows of each label in the loss; 1 where none is given."""
    label_smoothing: float = field(default=0.0, metadata=_stage("training"))
    """Share of the target that is spread over all tokens."""
    logging_steps: int = field(default=10, metadata=_stage("display"))
    """Updates between lines of the history."""
    report_to: str | None = field(default=None, metadata=_stage("display"))
    """Where the history is sent besides: `tensorboard`, event files in the run's folder of the store."""
    examples: ExampleLevel = field(default="full", metadata=_stage("display"))
    """What is shown of examples in failures, reports, comments and baselines: `full`; `redacted`, their presence but
    not their texts; `none`."""
    search: SearchSpec | None = field(default=None, metadata=_stage("display"))
    """Fields whose values are searched for, see below; every trial is this recipe with values in place of it."""
    threads: int = field(default=1, metadata=_stage("environment"))
    """CPU threads of the training; another number gives other weights in the last digits."""
    timeout_minutes: float = field(default=720.0, metadata=_stage("environment"))
    """Time after which a training is stopped."""

    evaluation: EvaluationSpec = field(default_factory=EvaluationSpec, metadata=_stage("evaluation"))
    """How the model is asked, see below."""

    @property
    def directory(self) -> Path:
        """Where relative paths of the recipe start."""
        return self.path.parent if self.path is not None else Path()

    @property
    def evaluates_on_validation(self) -> bool:
        """Whether scores are of rows that also selected the checkpoint."""
        return self.data.evaluate_on == "validation" or not self.data.test


def fields_of_stage(record: object, stage: Stage) -> dict[str, object]:
    """The values of all fields of `record` that declare `stage`, by name."""
    return {
        item.name: getattr(record, item.name)
        for item in fields(record)  # type: ignore[arg-type]
        if stage_of(item) == stage
    }
