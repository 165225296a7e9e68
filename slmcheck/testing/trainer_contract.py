"""What every trainer promises, as tests that a plugin's own test class inherits."""

# ruff: noqa: D102 (the name of a test is its sentence)

from __future__ import annotations

import hashlib
import math
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from slmcheck.errors import RecipeError
from slmcheck.records import Checkpoint, DataSpec, Example, HistoryPoint, Json, Recipe
from slmcheck.testing.small_model import write_small_model
from slmcheck.training import Trainer, TrainingJob, read_history

UPDATES, EVALUATED_EVERY = 12, 4
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
COLOURS = ("red", "blue", "green", "black", "white")
THINGS = ("apple", "river", "stone", "cloud", "horse", "candle", "window", "garden")


class InterruptionError(Exception):
    """Raised from `log_step` to end a training as a crash would."""


@dataclass(frozen=True)
class Trained:
    """A finished training of the contract."""

    job: TrainingJob
    checkpoint: Checkpoint
    points: tuple[HistoryPoint, ...]
    logged: tuple[HistoryPoint, ...]
    """What `log_step` was called with."""

    @property
    def history(self) -> tuple[HistoryPoint, ...]:
        """The history without times, which differ between equal trainings."""
        return tuple(replace(point, seconds=None) for point in self.points)

    @property
    def weights(self) -> Mapping[str, str]:
        """SHA-256 of each file of weights."""
        return {
            file.name: hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(self.checkpoint.path.glob("*.safetensors"))
        }

    @property
    def evaluations(self) -> Mapping[int, float]:
        """Validation loss by step."""
        return {point.step: point.validation_loss for point in self.points if point.validation_loss is not None}

    def rows(self) -> Mapping[str, NDArray[np.generic]]:
        """The record of rows."""
        with np.load(self.job.output_dir / "rows.npz", allow_pickle=False) as file:
            return dict(file)


class TrainerContract:
    """Inherit, name the trainer, and its promises are tested on a model of 35,000 weights."""

    trainer: ClassVar[type[Trainer]]
    options: ClassVar[Mapping[str, Json]] = {}
    """Options of the recipe under test."""
    wrong_options: ClassVar[Sequence[Mapping[str, Json]]] = ()
    """Options that `check` must refuse, one mapping a case."""
    learning_rate: ClassVar[float] = 1e-2
    least_gain: ClassVar[float] = 0.1
    """Nats a token by which the validation loss must fall; less for trainers with very few weights."""
    start_tolerance: ClassVar[float] = 1e-4
    """How far the loss at step 0 may be from the base model's, relative to it; more where training starts from another
    form of the base model, a quantised one say."""
    own_loop: ClassVar[bool] = True
    """False where another program trains: its history is taken over as it is, there is no record of rows, and an
    interrupted training starts anew."""

    @pytest.fixture(scope="class")
    @classmethod
    def base_model(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The folder of the base model; override it to test on another."""
        return write_small_model(tmp_path_factory.mktemp("base-model"))

    @pytest.fixture(scope="class")
    @classmethod
    def recipe(cls, base_model: Path) -> Recipe:
        """The recipe under test."""
        return Recipe(
            name="contract/recipe",
            base_model=str(base_model),
            task="classification",
            trainer="contract",
            data=DataSpec(text_template="Thing: {thing}\nColour: {colour}", answer="colour"),
            options=cls.options,
            learning_rate=cls.learning_rate,
            per_device_train_batch_size=8,
            max_steps=UPDATES,
            eval_steps=EVALUATED_EVERY,
        )

    @pytest.fixture(scope="class")
    @classmethod
    def train(cls, base_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Trained]:
        """Trains a recipe: `train(recipe, work=None, validation=None, stop_at=None)`."""

        def train(
            recipe: Recipe,
            work: Path | None = None,
            validation: tuple[Example, ...] | None = None,
            stop_at: int | None = None,
        ) -> Trained:
            logged = list[HistoryPoint]()

            def log_step(point: HistoryPoint) -> None:
                logged.append(point)
                if stop_at is not None and point.step >= stop_at and point.train_loss is not None:
                    raise InterruptionError

            job = TrainingJob(
                recipe=recipe,
                train=examples(40),
                validation=examples(16, start=40) if validation is None else validation,
                base_model=str(base_model),
                output_dir=(work or tmp_path_factory.mktemp("work")) / "publish",
                device="cpu",
                log_step=log_step,
            )
            checkpoint = cls.trainer().train(job)
            points = read_history(job.output_dir / "history.jsonl")
            return Trained(job, checkpoint, points, tuple(logged))

        return train

    @pytest.fixture(scope="class")
    @classmethod
    def trained(cls, train: Callable[..., Trained], recipe: Recipe) -> Trained:
        """One training, shared by the tests that only look at it."""
        return train(recipe)

    @pytest.fixture
    def shared_loop(self) -> None:
        """For tests of what only the loop of slmcheck promises."""
        if not self.own_loop:
            pytest.skip("another program trains, with a history of its own and no record of rows")

    @pytest.mark.usefixtures("shared_loop")
    def test_step_zero_is_the_base_model(self, trained: Trained, base_model: Path) -> None:
        assert trained.points[0].step == 0
        expected = mean_nll(Checkpoint(kind="model", path=base_model, key=""), trained.job)
        assert trained.points[0].validation_loss == pytest.approx(expected, rel=self.start_tolerance)

    @pytest.mark.usefixtures("shared_loop")
    def test_history_has_every_update_and_every_evaluation(self, trained: Trained) -> None:
        updates = [point.step for point in trained.points if point.train_loss is not None]
        assert updates == list(range(1, UPDATES + 1))
        assert list(trained.evaluations) == list(range(0, UPDATES + 1, EVALUATED_EVERY))
        evaluated = [point for point in trained.points if point.step in trained.evaluations]
        assert all(point.train_subset_loss is not None for point in evaluated)
        assert all(point.learning_rate is not None for point in trained.points if point.train_loss is not None)

    def test_log_step_hears_of_every_update_and_evaluation(self, trained: Trained) -> None:
        assert {point.step for point in trained.logged} == {point.step for point in trained.points}

    def test_training_lowers_the_loss(self, trained: Trained) -> None:
        first = trained.evaluations[min(trained.evaluations)]
        assert min(trained.evaluations.values()) < first - (self.least_gain if self.own_loop else 0.0)

    @pytest.mark.usefixtures("shared_loop")
    def test_the_record_of_rows_is_complete(self, trained: Trained) -> None:
        rows = trained.rows()
        assert rows["train_ids"].tolist() == [example.id for example in trained.job.train]
        epochs = rows["train_nll"].shape[0]
        assert epochs == math.ceil(UPDATES * 8 / 40)
        assert np.isfinite(rows["train_nll"][: epochs - 1]).all()
        assert np.isfinite(rows["validation_nll"]).all()
        assert rows["validation_steps"].tolist() == list(trained.evaluations)

    @pytest.mark.usefixtures("shared_loop")
    def test_the_record_of_rows_adds_up_to_the_validation_loss(self, trained: Trained) -> None:
        rows = trained.rows()
        losses = rows["validation_nll"].astype(np.float64).sum(axis=1) / rows["validation_tokens"].sum()
        assert losses.tolist() == pytest.approx(list(trained.evaluations.values()), rel=1e-5)

    def test_reloaded_weights_answer_as_the_trained_ones_did(self, trained: Trained) -> None:
        best = min(trained.evaluations, key=lambda step: (trained.evaluations[step] if step else math.inf, step))
        assert mean_nll(trained.checkpoint, trained.job) == pytest.approx(trained.evaluations[best], rel=1e-3)

    def test_the_checkpoint_differs_from_its_base_model(self, trained: Trained, base_model: Path) -> None:
        base = Checkpoint(kind="model", path=base_model, key="")
        assert abs(mean_nll(trained.checkpoint, trained.job) - mean_nll(base, trained.job)) > 1e-4

    def test_the_checkpoint_loads_from_another_folder(self, trained: Trained, tmp_path: Path) -> None:
        moved = shutil.copytree(trained.checkpoint.path, tmp_path / "moved")
        loss = mean_nll(replace(trained.checkpoint, path=moved), trained.job)
        assert loss == mean_nll(trained.checkpoint, trained.job)

    def test_the_result_holds_no_pickles(self, trained: Trained) -> None:
        files = [file for file in trained.job.output_dir.rglob("*") if file.is_file()]
        assert any(file.suffix == ".safetensors" for file in files)
        assert [file.name for file in files if file.suffix in PICKLES] == []

    def test_no_number_of_the_weights_is_infinite(self, trained: Trained) -> None:
        from safetensors.numpy import load_file

        for file in trained.checkpoint.path.glob("*.safetensors"):
            assert all(np.isfinite(tensor).all() for tensor in load_file(file).values())

    def test_the_same_seed_gives_the_same_weights(
        self, trained: Trained, train: Callable[..., Trained], recipe: Recipe
    ) -> None:
        again = train(recipe)
        assert again.weights == trained.weights
        assert again.history == trained.history
        assert again.checkpoint.key == trained.checkpoint.key

    def test_another_seed_gives_other_weights(
        self, trained: Trained, train: Callable[..., Trained], recipe: Recipe
    ) -> None:
        assert train(replace(recipe, seed=recipe.seed + 1, max_steps=EVALUATED_EVERY)).weights != trained.weights

    def test_an_interrupted_training_resumes_to_the_same_weights(
        self, trained: Trained, train: Callable[..., Trained], recipe: Recipe, tmp_path: Path
    ) -> None:
        for step in (2, 5, UPDATES - 1):
            with pytest.raises(InterruptionError):
                train(recipe, work=tmp_path, stop_at=step)
        resumed = train(recipe, work=tmp_path)
        assert resumed.weights == trained.weights
        assert resumed.history == trained.history
        if self.own_loop:
            assert_same_rows(resumed.rows(), trained.rows())

    def test_a_finished_training_is_not_trained_again(
        self, trained: Trained, train: Callable[..., Trained], recipe: Recipe, tmp_path: Path
    ) -> None:
        work = tmp_path / "work"
        shutil.copytree(trained.job.output_dir.parent, work)
        again = train(recipe, work=work)
        assert again.logged == ()
        assert again.weights == trained.weights
        assert again.history == trained.history

    @pytest.mark.usefixtures("shared_loop")
    def test_early_stopping_keeps_the_best_weights(self, train: Callable[..., Trained], recipe: Recipe) -> None:
        # Validation rows with letters that training never teaches: sooner or later they get worse.
        others = tuple(replace(example, answer=" ~~~~") for example in examples(16, start=40))
        patient = replace(recipe, early_stopping_patience=2, max_steps=80, eval_steps=2)
        run = train(patient, validation=others)
        after = {step: loss for step, loss in run.evaluations.items() if step > 0}
        best = min(after, key=lambda step: (after[step], step))
        assert max(after) < 80
        assert max(after) == best + 2 * 2
        assert mean_nll(run.checkpoint, run.job) == pytest.approx(after[best], rel=1e-3)

    def test_its_own_recipe_is_accepted(self, recipe: Recipe) -> None:
        self.trainer().check(recipe)

    def test_an_unknown_option_is_refused_by_name(self, recipe: Recipe) -> None:
        with pytest.raises(RecipeError, match="no_such_option"):
            self.trainer().check(replace(recipe, options={**self.options, "no_such_option": 1}))

    def test_wrong_options_are_refused_by_name(self, recipe: Recipe) -> None:
        for wrong in self.wrong_options:
            with pytest.raises(RecipeError, match=next(iter(wrong))):
                self.trainer().check(replace(recipe, options={**self.options, **wrong}))

    def test_its_module_imports_no_model_library(self) -> None:
        code = (
            f"import sys, {self.trainer.__module__}; "
            "print([name for name in ('torch', 'transformers', 'peft') if name in sys.modules])"
        )
        shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        assert shown.stdout.strip() == "[]"


def examples(count: int, start: int = 0) -> tuple[Example, ...]:
    """Rows of the contract: things and their colours."""
    found = []
    for number in range(start, start + count):
        thing = f"{THINGS[number % len(THINGS)]} {number}"
        colour = COLOURS[number % len(THINGS) % len(COLOURS)]
        found.append(
            Example(
                id=f"row-{number:03d}",
                row={"thing": thing, "colour": colour},
                prompt=f"Thing: {thing}\nColour:",
                answer=f" {colour}",
                references=(colour,),
                options=COLOURS,
                option_texts=tuple(f" {option}" for option in COLOURS),
                source=f"contract:{number + 1}",
            )
        )
    return tuple(found)


def mean_nll(checkpoint: Checkpoint, job: TrainingJob) -> float:
    """Nats per token of the validation answers under a checkpoint, each row alone, by the inference backend."""
    from slmcheck.backends import load
    from slmcheck.backends.protocol import TokenTree
    from slmcheck.data.encoding import encode

    model, total, count = load(checkpoint), 0.0, 0
    for example in job.validation:
        encoded = encode(example, model.tokenizer, recipe=job.recipe)
        targets = [place for place, learned in enumerate(encoded.labelled) if learned]
        nats = model.log_probabilities([TokenTree.sequence(encoded.ids, targets)])[0]
        total -= float(nats.sum())
        count += len(nats)
    return total / count


def assert_same_rows(one: Mapping[str, NDArray[np.generic]], other: Mapping[str, NDArray[np.generic]]) -> None:
    """Two records of rows are equal bit for bit."""
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)
