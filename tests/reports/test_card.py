from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from slmcheck.records import Report
from slmcheck.reports.card import render, render_all


def front_matter(text: str) -> dict[str, object]:
    parsed = yaml.safe_load(text.split("---\n")[1])
    assert isinstance(parsed, dict)
    return parsed


def test_a_card_for_each_run(report: Report) -> None:
    assert list(render_all(report)) == ["card-phrase_tone-lora.md", "card-faq_answers-lora.md"]
    assert list(render_all(replace(report, runs=report.runs[:1]))) == ["card.md"]


def test_names_that_collide_get_files_of_their_own(report: Report) -> None:
    twins = (replace(report.runs[0], name="a/b"), replace(report.runs[1], name="a-b"))
    assert len(render_all(replace(report, runs=twins))) == 2


def test_results_stand_in_the_model_index(report: Report) -> None:
    results = front_matter(render(report, report.runs[0]))["model-index"][0]["results"]  # type: ignore[index]
    assert results[0]["task"] == {"type": "text-classification", "name": "classification"}
    assert results[0]["dataset"] == {"type": "phrase_tone", "name": "phrase_tone, test", "split": "test"}
    assert results[0]["metrics"][0] == {
        "type": "accuracy",
        "value": 0.846,
        "name": "accuracy (95 % interval 0.811 to 0.876, n=480)",
        "verified": False,
    }
    assert [result["dataset"].get("config") for result in results] == [None, "short", "long", "review", "chat"]


def test_the_hub_reads_the_same_results(report: Report) -> None:
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard(render(report, report.runs[0]))
    assert card.data.model_name == "phrase_tone-lora"
    assert [result.metric_value for result in card.data.eval_results][:2] == [0.846, 0.881]


@pytest.mark.parametrize(
    ("base_model", "named"),
    [("org/model", "org/model"), ("org/model@abc123", "org/model"), ("slmcheck/tiny", None), ("../models/x", None),
     ("/data/secret/model", None)],
)  # fmt: skip
def test_only_a_hub_id_is_named_as_base_model(report: Report, base_model: str, named: str | None) -> None:
    card = front_matter(render(report, replace(report.runs[0], base_model=base_model)))
    assert card.get("base_model") == named


def test_the_text_has_intervals_gates_and_limits(report: Report) -> None:
    text = render(report, report.runs[0])
    assert "| `accuracy` | 0.846 | 0.811 .. 0.876 | 0.275 | majority 0.167, TF-IDF 0.731 | 480 |" in text
    assert "Do not ship: accuracy of phrase\\_tone/lora fell from 0.898" in text
    assert "* overfitting: The validation loss was lowest at step 220" in text


def test_a_run_is_not_blamed_for_another(report: Report) -> None:
    assert "Ship: the primary gate of faq\\_answers/lora is proven" in render(report, report.runs[1])


def test_hostile_text_stays_inside_the_front_matter(hostile_report: Report) -> None:
    card = render(hostile_report, hostile_report.runs[0])
    names = front_matter(card)["model-index"][0]["name"]  # type: ignore[index]
    assert "<script>" in names
    assert "\\x1b[31m" in names
    body = card.split("---\n", 2)[2]
    assert "<script>" not in body.replace("`", "\n").split("\n")[0]
    assert "\x1b" not in card
