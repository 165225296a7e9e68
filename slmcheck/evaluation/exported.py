"""What the fixtures hand out for an export: its scores, how far it agrees, and whether that is rounding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from slmcheck import parity, pipeline
from slmcheck.data.rendering import CLASSIFICATIONS
from slmcheck.errors import UndefinedScoreError
from slmcheck.evaluation.views import MetricLike, Subject, View
from slmcheck.gates import Change, Score, Verdict
from slmcheck.parity import Check, Condition, Parting, Served
from slmcheck.pipeline.agreeing import Subject as Compared
from slmcheck.records import Checkpoint, Location, RunRecord, Split


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The scores of an export held against the default tolerances of its precision; true when all are within."""

    name: str
    precision: str
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that are not within their limits."""
        return tuple(check for check in self.checks if not check.passed)

    def __bool__(self) -> bool:
        return not self.failed

    def __repr__(self) -> str:
        if not self.failed:
            return f"<{self.name}: {len(self.checks)} checks within the tolerances of {self.precision}>"
        shown = "; ".join(f"{check.text} ({check.says})" if check.says else check.text for check in self.failed[:3])
        more = f"; {len(self.failed) - 3} more" if len(self.failed) > 3 else ""
        return f"<{self.name}: beyond the tolerances of {self.precision}: {shown}{more}>"


class ComparedView(View):
    """A form of a trained model, with the metrics of the task on its answers and the scores of parity."""

    _compared: Compared = "export"

    def __init__(
        self,
        subject: Subject,
        trained: View,
        *,
        record: RunRecord,
        exported: Checkpoint,
        slice_name: str | None = None,
    ) -> None:
        super().__init__(subject, trained.splits, trained.workspace, slice_name=slice_name)
        self._trained = trained
        self._record = record
        self._exported = exported

    def __getattr__(self, name: str) -> Score:
        if name not in parity.SCORES:
            return super().__getattr__(name)
        source = self._source("evaluation", self._subject.run_keys[0])
        return pipeline.compare(name, self._pair, self.examples(), source, self._workspace)

    def slice(self, name: str) -> ComparedView:
        """The same comparison on a slice that the recipe names.

        Raises:
            UndefinedScoreError: If the recipe has no such slice, or no example is in it.
        """
        trained = self._trained.slice(name)
        return type(self)(self._subject, trained, record=self._record, exported=self._exported, slice_name=name)

    @property
    def partings(self) -> tuple[Parting, ...]:
        """Where greedy texts part, for each example whose texts are not the same.

        Raises:
            UndefinedScoreError: If the task writes no texts, or they are drawn at random.
        """
        return pipeline.partings(self._pair, self.examples(), self._workspace)

    @property
    def score_names(self) -> tuple[str, ...]:
        """The scores of parity that the task defines."""
        task = self.recipe.task
        left_out = set()
        if task == "language_modeling":
            left_out |= {"agreement", "divergence"}
        elif task in CLASSIFICATIONS or self.recipe.evaluation.temperature:
            left_out.add("divergence")
        return tuple(name for name in parity.SCORES if name not in left_out)

    def scores(self) -> Mapping[str, Score]:
        """Every score of parity that the task defines.

        Those of logits are asked for first: a graph that must still answer is then read once for both.
        """
        names = sorted(self.score_names, key=lambda name: name not in parity.LOGIT_SCORES)
        found = {name: getattr(self, name) for name in names}
        return {name: found[name] for name in self.score_names}

    def values(self) -> Mapping[str, float]:
        """The scores as plain numbers."""
        return {name: float(score) for name, score in self.scores().items()}

    @cached_property
    def _pair(self) -> pipeline.Pair:
        return pipeline.Pair(record=self._record, exported=self._exported, subject=self._compared)


class MergedView(ComparedView):
    """An adapter merged into its base model, compared with the adapter beside it: what an export starts from.

    Merging rounds by more than an fp32 export does, so its limits are ten times those of fp32.
    """

    _compared: Compared = "merge"

    @property
    def judgement(self) -> Judgement:
        """Its scores held against ten times the tolerances of fp32."""
        checks = parity.judge_scores(self.values(), parity.tolerance_of("fp32").of_merge, "merge")
        return Judgement(name=self.name, precision="a merge", checks=checks)

    def measure(self, metric: MetricLike) -> Score:
        """Merged models have the scores of parity only.

        Raises:
            UndefinedScoreError: Always.
        """
        raise UndefinedScoreError(
            f"The merged model of '{self._trained.name}' has the scores of parity only, not '{metric}'.\n"
            f"There are: {', '.join(parity.SCORES)}."
        )


class OnnxView(ComparedView):
    """An exported model, compared with the model it was made of.

    Beside the metrics of the task it has the scores of parity: agreement, top1, top5, logit_max, logit_mean, kl,
    kl_p99, kl_max, perplexity_ratio and divergence. Logits are compared with the merged model that the graph holds,
    answers and texts with those of the run itself.
    """

    def __getattr__(self, name: str) -> Score:
        if name not in parity.COSTS:
            return super().__getattr__(name)
        source = self._source("evaluation", self._subject.run_keys[0])
        return pipeline.cost(name, self._record, self._exported, self.examples(), source, self._workspace)

    genai: Path | None = None
    """The GenAI folder, where the graph came in one."""

    @property
    def checkpoint(self) -> Checkpoint:
        """The exported folder."""
        return self._exported

    @property
    def folder(self) -> Path:
        """Where graph and tokenizer lie, in the store."""
        return self._exported.path

    @property
    def precision(self) -> str:
        """Of the weights."""
        return self._exported.precision

    @property
    def merged(self) -> MergedView:
        """The adapter merged into its base model, compared with the adapter: the other half of what is deployed.

        Raises:
            UndefinedScoreError: If the run has no adapter.
        """
        if not self._pair.is_adapter:
            raise UndefinedScoreError(
                f"Run '{self._trained.name}' has no adapter: its export holds the trained weights as they are.\n"
                "Compare the export itself: agreement, kl, logit_max."
            )
        subject = self._renamed(f"{self.name}.merged", self._subject.checkpoints, self._subject.run_keys)
        return MergedView(subject, self._trained, record=self._record, exported=self._exported, slice_name=self._slice)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """A sample of rows asked alone, batched, padded right and left, the longest, and over 16 decode steps."""
        return pipeline.check_conditions(self._pair, self.examples(), self._workspace)

    @property
    def served(self) -> Served:
        """What a GenAI folder does with the prompts: its tokens, ends, limits, search settings and texts.

        Raises:
            UndefinedScoreError: If the export is no GenAI folder.
            MissingExtraError: If onnxruntime-genai is not installed.
        """
        if self.genai is None:
            raise UndefinedScoreError(
                f"{self.name} is no GenAI folder: it has no tokenizer and generator of its own.\n"
                "Give a folder with genai_config.json: run.onnx(PATH)"
            )
        return pipeline.serve(self._pair, self.genai, self.examples(), self._workspace)

    @property
    def judgement(self) -> Judgement:
        """Scores, conditions, greedy texts and the merge, held against the default tolerances of the precision."""
        tolerance, values = parity.tolerance_of(self.precision), dict(self.values())
        if self.recipe.task not in CLASSIFICATIONS:
            values.pop("agreement", None)  # of whole texts: any rounding parts some; where they part is judged below
        checks = [
            *parity.judge_scores(values, tolerance),
            *parity.judge_conditions(self.conditions, tolerance),
        ]
        if "divergence" in self.score_names:
            checks += parity.judge_partings(self.partings, tolerance)
        if self._pair.is_adapter:
            checks += self.merged.judgement.checks
        if self.genai is not None:
            checks = [*parity.judge_served(self.served, tolerance), *checks]
        return Judgement(name=self.name, precision=self.precision, checks=tuple(checks))

    def locate(self) -> Location:
        """Name the weight, the module and the node in which the graph departs from PyTorch; kept in the store.

        Weights are compared first, then every module with PyTorch's own activations fed in, then nodes with a fresh
        export. Where the fault is not in one place, it says what the evidence says instead.

        Raises:
            OfflineMissError: If it would have to be located and the session is offline.
            CheckpointError: If the graph cannot be run.
        """
        return pipeline.locate(self._pair, self.examples(), self._workspace)

    @property
    def location(self) -> Location | None:
        """The location that the store holds; None where nobody asked for one."""
        return pipeline.stored_location(self._pair, self.examples(), self._workspace)

    def metric_delta(self, metric: MetricLike) -> Change:
        """How much better or worse the export scores than the trained model, with its interval."""
        change = self.measure(metric) - self._trained.measure(metric)
        assert isinstance(change, Change)  # both are scores of one metric
        return change

    def equivalent(self, metric: MetricLike, *, margin: float | None = None) -> Verdict:
        """Judge that export and trained model score the same to a margin in either direction: two one-sided tests.

        Args:
            metric: A metric of the task.
            margin: How far apart they may be; None takes the metric's own.
        """
        return self.measure(metric).equivalent_to(self._trained.measure(metric), margin=margin)

    @property
    def split(self) -> Split:
        """The examples that are compared."""
        return "validation" if self.recipe.evaluates_on_validation else "test"
