"""What was claimed, what the evidence says, what was found: the material of a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from slmcheck.records.codec import Json
from slmcheck.records.diagnosis import DivergenceRecord, ReliabilityBin
from slmcheck.records.locations import Location
from slmcheck.records.runs import Environment, HistoryPoint, Resources, UsagePoint
from slmcheck.records.studies import LearningCurveRecord, SearchRecord

VerdictState = Literal["pass", "fail", "inconclusive", "accepted"]
ClaimKind = Literal["level", "no_worse", "better", "better_by", "equivalent", "exact", "finding"]
Severity = Literal["problem", "warning", "note"]
Outcome = Literal["passed", "failed", "error", "skipped", "waived", "quarantined"]
ExemptionKind = Literal["waived", "quarantined"]
ShownState = Literal["pass", "fail", "inconclusive", "accepted", "waived", "quarantined"]
"""What a reader is shown: the state of the evidence, or the decision that a false claim does not block."""

REPORT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class ExampleEvidence:
    """One example shown in full."""

    id: str
    """Example id; the same in every run and baseline that saw the example."""
    prompt: str
    """What the model was asked."""
    reference: str
    """What counts as right."""
    answer: str
    """What the run answered."""
    old_answer: str | None = None
    """What the baseline, or the other side of the comparison, answered."""
    note: str = ""
    """Why it is shown, in words."""
    correct: bool | None = None
    """Whether `answer` is right; None where answers are not right or wrong (BLEU, perplexity)."""
    old_correct: bool | None = None
    """Whether `old_answer` is right."""
    slices: tuple[str, ...] = ()
    """The slices the example belongs to."""


@dataclass(frozen=True, kw_only=True)
class Exemption:
    """Why a false claim does not block: somebody decided so, for a while."""

    kind: ExemptionKind
    """`waived` for one run by a committed waiver; `quarantined` by the mark of a flaky test."""
    until: str
    """The last day it counts, in UTC: `2026-12-01`."""
    reason: str = ""
    """Why, in the words of whoever decided; a quarantine has none."""
    by: str = ""
    """Who waived the gate, or owns the quarantined test."""
    run_key: str | None = None
    """The run it is bound to; None where it is bound to none."""
    claims: tuple[str, ...] = ()
    """The claims it covers; none stands for every claim of the test."""

    def covers(self, claim: str, run_key: str | None) -> bool:
        """Whether a claim about a run is meant."""
        of_run = self.run_key is None or self.run_key == run_key
        return of_run and (not self.claims or claim in self.claims)

    @property
    def sentence(self) -> str:
        """`waived until 2026-12-01 by Ann: the customer knows`."""
        by = f"{' by' if self.kind == 'waived' else ', owner'} {self.by}" if self.by else ""
        return f"{self.kind} until {self.until}{by}" + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True, kw_only=True)
class VerdictRecord:
    """One judged claim with its evidence; changes and margins are in the unit of the metric."""

    claim: str
    """As the user wrote it: `lora.accuracy >= 0.85`."""
    kind: ClaimKind
    """A level against a number, or the kind of comparison with another score."""
    state: VerdictState
    """What the evidence says; `accepted` where a baseline was missing and is written by this session."""
    proven: bool
    """Whether the interval, not only the point estimate, satisfies the claim."""
    holds: bool
    """Whether the claim is good enough under the policy of the session; one that is exempted stays false."""
    metric: str
    """Name of the metric."""
    run: str
    """Name of the run, `<suite folder>/<recipe stem>`."""
    value: float
    """The score of the run."""
    low: float | None = None
    """Lower end of the interval of `value`; None where the metric has none."""
    high: float | None = None
    """Upper end of the interval of `value`."""
    confidence: float = 0.95
    """Two-sided confidence of the interval that decided: of `value` for a level, of `change` for a comparison."""
    target: float | None = None
    """The threshold, or the score that was compared with."""
    target_name: str | None = None
    """Whose score `target` is; None for a number."""
    margin: float | None = None
    """How much worse the score may be."""
    change: float | None = None
    """`value` minus `target`."""
    change_low: float | None = None
    """Lower end of the interval of `change`."""
    change_high: float | None = None
    """Upper end of the interval of `change`."""
    p_value: float | None = None
    """One-sided, of the hypothesis that nothing got worse; None for a level."""
    n: int = 0
    """Examples behind the score; behind the comparison where two scores are compared."""
    paired: bool = False
    """Whether both scores are of the same examples and compared example by example."""
    seeds: int = 1
    """Trainings behind the score."""
    seed_sd: float | None = None
    """Standard deviation between seeds that the interval of the change includes; None: no seed term."""
    unit: str = ""
    """`share` (0 to 1), `points` (0 to 100), `ratio`, `nats`, `bits`, `count`, `bytes`, `milliseconds` or none."""
    higher_is_better: bool = True
    """Direction of the metric."""
    split: str = ""
    """Split that was evaluated."""
    slice: str | None = None
    """Slice of the split, None for all of it."""
    lines: tuple[str, ...] = ()
    """The explanation; the first line is the whole truth."""
    notes: tuple[str, ...] = ()
    """What limits the comparison: another environment, part of the examples, rows that selected the checkpoint."""
    examples: tuple[ExampleEvidence, ...] = ()
    """Examples that moved the score most, worst first."""
    primary: bool = False
    """Whether the test is marked `slm_primary`: the release policy demands proof."""
    test: str | None = None
    """Node id of the test that made the claim."""
    run_key: str | None = None
    """Key of the run."""
    exemption: Exemption | None = None
    """Why the claim does not block although it is false."""
    evidence: str = ""
    """Key in the store of the statistics by example that it was judged from; empty where there are none."""

    @property
    def shown(self) -> ShownState:
        """The state that a reader is shown: an exempted claim is never shown as what it is not."""
        return self.exemption.kind if self.exemption is not None else self.state


@dataclass(frozen=True, kw_only=True)
class EvidenceNumber:
    """One measured number behind a finding."""

    name: str
    """What was measured."""
    value: float
    """What came out."""
    low: float | None = None
    """Lower end of its 95 % interval; None where it has none."""
    high: float | None = None
    """Upper end of its 95 % interval."""
    unit: str = ""
    """As in a verdict."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One diagnosed cause."""

    cause: str
    """Stable kebab-case name."""
    severity: Severity
    """`problem` explains a failure, `warning` may, `note` is worth knowing."""
    summary: str
    """One sentence."""
    evidence: tuple[str, ...] = ()
    """The measured facts behind it, one sentence each."""
    remedy: str = ""
    """What to do about it."""
    recipe_patch: Mapping[str, Json] = field(default_factory=dict)
    """Recipe fields that carry out the remedy, by dotted name: `learning_rate`, `options.r`."""
    next_experiment: str = ""
    """The command that tries the remedy or narrows the cause."""
    examples: tuple[str, ...] = ()
    """Ids of examples that show it."""
    numbers: tuple[EvidenceNumber, ...] = ()
    """The measured numbers behind it, with their intervals."""
    consequences: tuple[Finding, ...] = ()
    """Findings that this one explains."""


@dataclass(frozen=True, kw_only=True)
class ScoreRecord:
    """A score as a report shows it."""

    metric: str
    """Name of the metric; of a trivial answer with its name behind it: `accuracy (majority)`."""
    value: float
    """The score."""
    low: float | None = None
    """Lower end of its 95 % interval."""
    high: float | None = None
    """Upper end of its 95 % interval."""
    n: int = 0
    """Examples behind it."""
    unit: str = ""
    """As in a verdict."""
    higher_is_better: bool = True
    """Direction of the metric."""
    split: str = "test"
    """Split that was evaluated."""
    slice: str | None = None
    """Slice of the split, None for all of it."""
    signature: str = ""
    """The settings that make two scores comparable, and the version of the metric's definition."""


@dataclass(frozen=True, kw_only=True)
class GapRecord:
    """Training score minus evaluation score, oriented so that larger means more overfitting."""

    metric: str
    """Name of the metric; `loss` stands for perplexity, on the log scale."""
    train: float
    """Score of a fixed part of the training rows."""
    evaluation: float
    """Score of the evaluation split."""
    gap: float
    """Their difference, larger is worse."""
    low: float | None = None
    """Lower end of the gap's 95 % interval."""
    high: float | None = None
    """Upper end of the gap's 95 % interval."""
    base_gap: float | None = None
    """The base model's own gap on the same rows."""
    beyond_base: float | None = None
    """`gap` minus `base_gap`."""
    beyond_base_low: float | None = None
    """Lower end of the interval of `beyond_base`."""
    beyond_base_high: float | None = None
    """Upper end of the interval of `beyond_base`."""
    unit: str = ""
    """Unit of the metric, as in a verdict."""
    n_train: int = 0
    """Training rows behind `train`."""
    n_evaluation: int = 0
    """Examples behind `evaluation`."""


@dataclass(frozen=True, kw_only=True)
class ConfusionRecord:
    """Counts of reference (row) against prediction (column)."""

    labels: tuple[str, ...]
    """Row and column names, in the order of `counts`."""
    counts: tuple[tuple[int, ...], ...]
    """One tuple a reference label, one count a predicted label."""


@dataclass(frozen=True, kw_only=True)
class TrendPoint:
    """One accepted release of the past in one score."""

    label: str
    """What the release was called."""
    metric: str
    """Name of the metric."""
    value: float
    """Its score then."""
    low: float | None = None
    """Lower end of its 95 % interval."""
    high: float | None = None
    """Upper end of its 95 % interval."""
    unit: str = ""
    """As in a verdict."""
    created: str = ""
    """When it was accepted; UTC, ISO 8601."""


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """Everything a report says of one run."""

    name: str
    """`<suite folder>/<recipe stem>`."""
    key: str
    """Key of the run."""
    base_model: str
    """The base model of the recipe, with its revision."""
    trainer: str
    """Name of the trainer plugin."""
    task: str
    """Task of the recipe."""
    environment: Environment
    """Where it was trained."""
    made_elsewhere: bool = False
    """Trained under another environment than that of this session."""
    created: str = ""
    """When it was trained; UTC, ISO 8601."""
    data: Mapping[str, int] = field(default_factory=dict)
    """Rows by split."""
    selected_on_evaluation: bool = False
    """The evaluation rows also selected the checkpoint, so scores are optimistic."""
    history: tuple[HistoryPoint, ...] = ()
    """Losses of the training, step by step."""
    best_step: int | None = None
    """The step whose weights were kept."""
    last_step: int | None = None
    """The step the training ended at."""
    stopped_early: bool = False
    """Whether early stopping ended it."""
    resources: Resources = field(default_factory=Resources)
    """What the training took."""
    usage: tuple[UsagePoint, ...] = ()
    """Processor, memory and speed over time."""
    engine: str = ""
    """How batches were made and attention computed, in words."""
    seeds: int = 1
    """Trainings behind the run; history and parity are those of the first."""
    hyperparameters: Mapping[str, Json] = field(default_factory=dict)
    """Training fields of the recipe."""
    scores: tuple[ScoreRecord, ...] = ()
    """Scores of the run, slices included."""
    base_scores: tuple[ScoreRecord, ...] = ()
    """The same scores of the base model."""
    trivial_scores: tuple[ScoreRecord, ...] = ()
    """Scores of the majority answer and the like, named in `metric` as `accuracy (majority)`."""
    gaps: tuple[GapRecord, ...] = ()
    """Overfitting, a metric each."""
    parity: tuple[ScoreRecord, ...] = ()
    """Agreement of exports with the checkpoint, named in `metric` as `agreement (int8)`."""
    locations: tuple[Location, ...] = ()
    """Where exports depart from the checkpoint, for those that somebody asked about or whose gate failed."""
    confusion: ConfusionRecord | None = None
    """Which labels are taken for which, for a classification."""
    changes: tuple[str, ...] = ()
    """What differs from the accepted baseline (recipe fields, data rows, libraries), one sentence each."""
    trend: tuple[TrendPoint, ...] = ()
    """Scores of earlier accepted releases, oldest first."""
    examples: tuple[ExampleEvidence, ...] = ()
    """Those that got worse first, then other wrong ones; at most 10,000."""
    rendered_row: str = ""
    """One training row as it was rendered, the supervised part between [[ and ]]."""
    findings: tuple[Finding, ...] = ()
    """What diagnosis found, causes first, each with what follows from it."""
    divergence: DivergenceRecord | None = None
    """Where the validation loss turned; None where it was not measured often enough."""
    reliability: tuple[ReliabilityBin, ...] = ()
    """Confidence against accuracy; empty where answers have no probabilities."""
    found_slices: tuple[ScoreRecord, ...] = ()
    """Slices that diagnosis looked at: the recipe's, labels, lengths, sources."""
    search: SearchRecord | None = None
    """The trials that the values of the recipe were chosen from."""
    learning_curve: LearningCurveRecord | None = None
    """Scores on parts of the training rows, where that was asked for."""
    notes: tuple[str, ...] = ()
    """What a reader must know of the run: where it was made, what was assumed."""


@dataclass(frozen=True, kw_only=True)
class OutcomeRecord:
    """How one test ended."""

    test: str
    """Node id of the test, as in a verdict."""
    outcome: Outcome
    """As pytest counts it; `error` is a failure in set-up or tear-down."""
    message: str = ""
    """First lines of why it did not pass."""
    file: str = ""
    """The file of the line that failed, relative to pytest's root with `/`; empty for a test that passed."""
    line: int | None = None
    """The line that failed, counted from 1."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """All verdicts and findings of a session with the runs behind them."""

    version: int = REPORT_VERSION
    """Version of this form; a reader refuses a newer one."""
    created: str = ""
    """When the session ended; UTC, ISO 8601."""
    slmcheck_version: str = ""
    """Version of slmcheck that wrote it."""
    policy: Literal["dev", "release"] = "dev"
    """`dev` fails on evidence; `release` demands proof of primary gates."""
    environment: Environment = field(default_factory=Environment)
    """Where the session ran."""
    command: str = ""
    """The command line of the session."""
    tests: Mapping[str, int] = field(default_factory=dict)
    """Tests by outcome: passed, failed, errors, skipped, inconclusive."""
    outcomes: tuple[OutcomeRecord, ...] = ()
    """Each test that used a run; a claim that is false in a test that passed does not count against a release."""
    verdicts: tuple[VerdictRecord, ...] = ()
    """Every comparison of the session."""
    runs: tuple[RunReport, ...] = ()
    """The runs behind the verdicts."""
    plan: tuple[str, ...] = ()
    """What each suite can see, one line a suite."""
    holm: str = ""
    """The session's sentence on chance: how many regression checks failed and how many survive Holm's correction."""
    next_steps: tuple[str, ...] = ()
    """What to do next, as commands or edits."""
    git: Mapping[str, str] = field(default_factory=dict)
    """Commit, branch and whether the tree was changed, where the project is a git repository."""
