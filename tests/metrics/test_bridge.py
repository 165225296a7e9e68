from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from slmcheck.errors import MissingExtraError, UndefinedScoreError
from slmcheck.gates import ScoreSource
from slmcheck.metrics import Metric, evaluate_module, measure
from slmcheck.records import Prediction

pytest.importorskip("evaluate")
pytestmark = pytest.mark.filterwarnings("ignore")  # evaluate and what it imports warn of their own affairs

Predict = Callable[..., list[Prediction]]
Value = Callable[[Metric, list[Prediction]], float]

SCRIPT = """
import datasets
import evaluate


class Script(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description="d", citation="c", inputs_description="i",
            features=datasets.Features({{"predictions": {predictions}, "references": {references}}}),
        )

    def _compute(self, predictions, references, **options):
        return {result}
"""


def script(folder: Path, *, predictions: str, references: str, result: str) -> Path:
    folder.mkdir()
    path = folder / f"{folder.name}.py"
    path.write_text(textwrap.dedent(SCRIPT).format(predictions=predictions, references=references, result=result))
    return path


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))


@pytest.fixture
def share(tmp_path: Path) -> Path:
    return script(
        tmp_path / "share",
        predictions='datasets.Value("int32")',
        references='datasets.Value("int32")',
        result='{"share": sum(p == r for p, r in zip(predictions, references)) / len(predictions), "n": 3}',
    )


def test_a_local_module_of_label_numbers(share: Path, predict: Predict, source: ScoreSource) -> None:
    predictions = predict(["spam", "ham", "ham", "ham"], ["spam", "spam", "ham", "ham"], options=("ham", "spam"))
    score = measure(evaluate_module(share), predictions, source)
    assert float(score) == 0.75
    assert score.evidence is None
    assert score.metric.name == "share"


def test_a_number_of_the_result_is_chosen(share: Path, predict: Predict, value: Value) -> None:
    predictions = predict(["ham"], ["ham"])
    assert value(evaluate_module(share, output="n"), predictions) == 3.0
    with pytest.raises(UndefinedScoreError, match=r"has no number 'f1'.\nIts numbers: share, n\."):
        value(evaluate_module(share, output="f1"), predictions)
    with pytest.raises(UndefinedScoreError, match=r"gives several numbers.\n.*\nName one"):
        value(evaluate_module(share, name="other"), predictions)


def test_unparsable_answers_are_not_made_up(share: Path, predict: Predict, value: Value) -> None:
    with pytest.raises(UndefinedScoreError, match=r"1 answers are no label \(e0000\)"):
        value(evaluate_module(share), predict(["?"], ["ham"], options=("ham", "spam")))


def test_a_local_module_of_texts(tmp_path: Path, predict: Predict, value: Value) -> None:
    path = script(
        tmp_path / "lengths",
        predictions='datasets.Value("string")',
        references='datasets.Value("string")',
        result='{"ratio": sum(map(len, predictions)) / sum(map(len, references))}',
    )
    assert value(evaluate_module(path), predict(["aa", None], ["aaaa", "a"])) == 2 / 5


def test_a_local_module_of_several_references(tmp_path: Path, predict: Predict, value: Value) -> None:
    path = script(
        tmp_path / "counted",
        predictions='datasets.Value("string")',
        references='datasets.Sequence(datasets.Value("string"))',
        result='{"counted": float(sum(map(len, references)))}',
    )
    assert value(evaluate_module(path), predict(["a", "b"], [["x", "y"], ["z", "w"]])) == 4.0


def test_a_folder_holds_the_script_of_its_name(share: Path, predict: Predict, value: Value) -> None:
    assert value(evaluate_module(share.parent), predict(["ham"], ["ham"])) == 1.0


def test_numbers_of_numpy_are_numbers(tmp_path: Path, predict: Predict, value: Value) -> None:
    path = script(
        tmp_path / "single",
        predictions='datasets.Value("string")',
        references='datasets.Value("string")',
        result='{"single": __import__("numpy").float32(0.5), "names": ["a"]}',
    )
    assert value(evaluate_module(path), predict(["a"], ["a"])) == 0.5


def test_options_reach_the_module(tmp_path: Path, predict: Predict, value: Value) -> None:
    path = script(
        tmp_path / "scaled",
        predictions='datasets.Value("string")',
        references='datasets.Value("string")',
        result='{"scaled": 1.0 * options["factor"]}',
    )
    assert value(evaluate_module(path, factor=7), predict(["a"], ["a"])) == 7.0


def test_a_module_that_cannot_be_loaded_says_so(
    tmp_path: Path, predict: Predict, value: Value, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UndefinedScoreError, match=r"The `evaluate` module '.*' cannot be loaded"):
        value(evaluate_module(tmp_path / "nowhere.py"), predict(["a"], ["a"]))


def test_without_evaluate_the_command_is_named(
    share: Path, predict: Predict, value: Value, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "evaluate", None)
    with pytest.raises(MissingExtraError, match=r'pip install "slmcheck\[evaluate\]"'):
        value(evaluate_module(share), predict(["a"], ["a"]))


def test_making_the_metric_imports_nothing() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from slmcheck.metrics import evaluate_module; metric = evaluate_module('accuracy'); "
        "print(metric.name, metric.cached, 'evaluate' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout == "accuracy False False\n"
