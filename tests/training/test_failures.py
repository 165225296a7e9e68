"""Every way in which a training process can end without a result has a message of its own."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from slmcheck import errors
from slmcheck.records import HistoryPoint
from slmcheck.training import jobs
from slmcheck.training.committed import commit
from slmcheck.training.failures import ChildEnd, error_of, memory_kills, non_finite_error
from slmcheck.training.history import HistoryWriter


@pytest.fixture
def end(recipe, small_model, tmp_path):
    """A process that ended at update 7, its last checkpoint at 5: `end(returncode=1, log="...")`."""
    publish = tmp_path / "publish"
    publish.mkdir()
    history = HistoryWriter(publish / "history.jsonl", keep_until=None)
    history.write_point("step", HistoryPoint(step=7, train_loss=1.0))
    history.write("resources", {"step": 7, "peak_memory_bytes": 3 * 2**30})
    history.close()
    checkpoint = tmp_path / "checkpoints" / "checkpoint-5"
    checkpoint.mkdir(parents=True)
    (checkpoint / "weights").write_bytes(b"w")
    commit(checkpoint)

    def make(*, log: str = "", changed=recipe, **fields) -> ChildEnd:
        (publish / "train.log").write_text(log)
        return ChildEnd(
            **{
                "recipe": changed,
                "work": tmp_path,
                "base_model": str(small_model),
                "returncode": 1,
                "timed_out": False,
                "killed_for_memory": False,
                **fields,
            }
        )

    return make


def test_a_timeout_says_where_it_was_and_how_to_go_on(end) -> None:
    error = error_of(end(returncode=-15, timed_out=True))
    assert type(error) is errors.TrainingTimeoutError
    assert str(error).splitlines() == [
        "suite/recipe: training took longer than 720 minutes.",
        "Last update: 7.",
        "Raise timeout_minutes in the recipe, or train less.",
        "Run the same command again to go on from update 5.",
    ]


def test_a_kill_names_the_signal_and_how_to_go_on(end) -> None:
    error = error_of(end(returncode=-9))
    assert type(error) is errors.TrainingKilledError
    assert str(error).splitlines()[0] == "suite/recipe: training was killed by SIGKILL."
    assert "go on from update 5" in str(error)


def test_a_kill_for_lack_of_memory_says_peak_estimate_and_remedies(end) -> None:
    error = error_of(end(returncode=-9, killed_for_memory=True))
    assert type(error) is errors.TrainingKilledError
    assert str(error).splitlines()[0] == "suite/recipe: training was ended because memory ran out (SIGKILL)."
    assert "Peak seen 3.0 GiB, estimated 5" in str(error)
    assert "gradient_checkpointing: true; per_device_train_batch_size: 1 with gradient_accumulation_steps: 8" in str(
        error
    )


def test_memory_that_was_refused_says_how_much(end) -> None:
    log = "RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried to allocate 4294967296 bytes."
    error = error_of(end(log=log))
    assert type(error) is errors.TrainingError
    assert str(error).splitlines()[0] == "suite/recipe: memory ran out, 4.0 GiB more were refused."


def test_a_full_gpu_says_how_much(end) -> None:
    error = error_of(end(log="torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has"))
    assert str(error).splitlines()[0] == "suite/recipe: memory ran out, 2.50 GiB more were refused."


def test_remedies_already_taken_are_not_named(end, recipe) -> None:
    thrifty = replace(recipe, gradient_checkpointing=True, per_device_train_batch_size=1)
    error = error_of(end(returncode=-9, killed_for_memory=True, changed=thrifty))
    assert "gradient_checkpointing" not in str(error)
    assert "data.max_length below 512" in str(error)


def test_a_full_disk_is_told_apart(end) -> None:
    error = error_of(end(log="safetensors.SafetensorError: I/O error: No space left on device (os error 28)"))
    assert "the disk is full" in str(error)
    assert "SLMCHECK_STORE" in str(error)


def test_a_crash_shows_its_last_line_and_the_log(end, tmp_path) -> None:
    error = error_of(end(log="Traceback\n  File\nZeroDivisionError: division by zero\n\n"))
    assert type(error) is errors.TrainingError
    assert str(error).splitlines()[0] == "suite/recipe: training failed: ZeroDivisionError: division by zero"
    assert str(tmp_path / "publish" / "train.log") in str(error)


def test_what_an_earlier_attempt_said_is_not_taken_for_this_one(end) -> None:
    earlier = "OSError: [Errno 28] No space left on device\n"
    error = error_of(end(log=earlier + "ValueError: now this", log_start=len(earlier)))
    assert str(error).splitlines()[0] == "suite/recipe: training failed: ValueError: now this"


def test_a_crash_without_a_word_says_so(end) -> None:
    assert "exit status 3, and nothing was said" in str(error_of(end(returncode=3)))


@pytest.mark.parametrize("name", ["RecipeError", "DataError", "NonFiniteLossError", "CheckpointError"])
def test_an_error_of_ours_arrives_as_it_was_raised(end, tmp_path, name) -> None:
    jobs.write_failure(tmp_path, jobs.Failure(error=name, message="what is wrong"))
    error = error_of(end(returncode=2))
    assert type(error) is getattr(errors, name)
    assert str(error) == "what is wrong"


def test_before_the_first_checkpoint_it_starts_anew(end, tmp_path) -> None:
    shutil.rmtree(tmp_path / "checkpoints")
    assert "Run the same command again to start anew." in str(error_of(end(returncode=-9)))


@pytest.mark.parametrize(
    ("max_grad_norm", "advice"),
    [
        (1.0, "In the recipe, try learning_rate: 0.002."),
        (0.5, "In the recipe, try learning_rate: 0.002."),
        (5.0, "In the recipe, try learning_rate: 0.002, max_grad_norm: 1.0."),
        (0.0, "In the recipe, try learning_rate: 0.002, max_grad_norm: 1.0."),
    ],
)
def test_what_the_recipe_has_already_is_not_advised(recipe, max_grad_norm, advice) -> None:
    error = non_finite_error(
        replace(recipe, warmup_ratio=0.1, max_grad_norm=max_grad_norm), "the loss", float("nan"), 12, None
    )
    assert str(error).splitlines()[-1] == advice


def test_the_kernel_counts_its_kills() -> None:
    assert memory_kills() >= 0


def test_a_loss_that_is_no_number_names_the_last_one_that_was(recipe) -> None:
    error = non_finite_error(replace(recipe, fp16=True, warmup_ratio=0.1), "the loss", float("inf"), 12, (11, 3.25))
    assert str(error).splitlines() == [
        "suite/recipe: the loss became inf at update 12.",
        "Last finite loss 3.25 at update 11; learning_rate 0.01, max_grad_norm 1.",
        "A loss must stay finite: nothing after this point can be used.",
        "In the recipe, try learning_rate: 0.002, bf16: true in place of fp16.",
    ]
