from __future__ import annotations

from slmcheck.records import Checkpoint, Environment, Finding, HistoryPoint, to_json
from slmcheck.training.history import HistoryWriter
from slmcheck.training.result import Outcome, read_result, write_outcome


def result_of(tmp_path, points, *, best):
    writer = HistoryWriter(tmp_path / "history.jsonl", keep_until=None)
    writer.write("start", {"engine": "flat", "total_parameters": 10})
    writer.write("note", {"text": "said before"})
    writer.write("finding", {"finding": to_json(Finding(cause="graph-cut", severity="problem", summary="s"))})
    for point in points:
        writer.write_point("eval", point)
    writer.write("end", {"last_step": 9, "best_step": best, "stopped_early": True})
    writer.close()
    checkpoint = Checkpoint(kind="model", path=tmp_path / "model", key="k")
    write_outcome(tmp_path / "result.json", Outcome(checkpoint=checkpoint, environment=Environment(), resumed_from=4))
    return read_result(tmp_path, tmp_path / "result.json")


def test_a_result_is_read_from_its_files(tmp_path) -> None:
    points = [HistoryPoint(step=0, validation_loss=2.0), HistoryPoint(step=9, validation_loss=1.0)]
    result = result_of(tmp_path, points, best=9)
    assert result.history == tuple(points)
    assert (result.best_step, result.last_step, result.stopped_early, result.resumed_from) == (9, 9, True, 4)
    assert result.notes == ("said before",)
    assert [finding.cause for finding in result.findings] == ["graph-cut"]
    assert result.resources.total_parameters == 10


def test_a_training_that_made_the_model_worse_is_noted(tmp_path) -> None:
    points = [HistoryPoint(step=0, validation_loss=1.0), HistoryPoint(step=9, validation_loss=1.5)]
    result = result_of(tmp_path, points, best=9)
    assert result.notes[-1] == ("Training made it worse: the base model has a validation loss of 1, the best step 1.5.")
