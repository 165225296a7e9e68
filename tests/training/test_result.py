from __future__ import annotations

from slmcheck.records import Checkpoint, Environment, Finding, HistoryPoint, to_json
from slmcheck.training.history import HistoryWriter, read_events
from slmcheck.training.result import Outcome, read_result, usage_of, write_outcome


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


def test_what_a_training_takes_is_told_from_note_to_note(tmp_path) -> None:
    writer = HistoryWriter(tmp_path / "history.jsonl", keep_until=None)
    for step, seconds, cpu, tokens in ((4, 2.0, 1.0, 100), (8, 4.0, 4.0, 500), (8, 4.0, 4.0, 500), (9, 5.0, 4.5, 500)):
        spent = {"step": step, "seconds": seconds, "cpu_seconds": cpu, "tokens": tokens, "resident_bytes": 7}
        writer.write("resources", {**spent, "gpu_utilisation": 0.5})
    writer.close()
    points = usage_of(list(read_events(tmp_path / "history.jsonl")))
    assert [(point.step, point.tokens_per_second, point.cpu_cores) for point in points] == [
        (4, 50.0, 0.5),
        (8, 200.0, 1.5),
        (9, 0.0, 0.5),
    ]
    assert {(point.resident_bytes, point.gpu_utilisation, point.gpu_bytes) for point in points} == {(7, 0.5, None)}
