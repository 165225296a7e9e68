import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmcheck.data.templates import parse_template, text_of
from slmcheck.errors import RecipeError


def test_placeholders_are_replaced():
    assert (
        parse_template("Phrase: {phrase}\nTone: {tone}").render({"phrase": "hi", "tone": "glad"})
        == "Phrase: hi\nTone: glad"
    )


def test_doubled_braces_are_braces():
    assert parse_template('{{"text": "{text}"}}').render({"text": "hi"}) == '{"text": "hi"}'


def test_braces_of_a_value_stay_as_they_are():
    assert parse_template("{code}").render({"code": "f'{x}' {{y}}"}) == "f'{x}' {{y}}"


def test_a_field_may_have_spaces_and_other_scripts():
    template = parse_template("{Größe in cm} → {名前}")
    assert template.render({"Größe in cm": 3, "名前": "猫"}) == "3 → 猫"


def test_the_answer_splits_a_template():
    before, after = parse_template("Q: {q}\nA: {a}\n### {note}").split_at("a")
    assert before.render({"q": "1"}) == "Q: 1\nA: "
    assert after.render({"note": "end"}) == "\n### end"


@pytest.mark.parametrize("text", ["{", "a } b", "{}", "{ }", "Tone: {tone", "{a{b}}"])
def test_a_brace_without_a_field_is_refused(text: str):
    with pytest.raises(RecipeError, match="names no field"):
        parse_template(text)


@given(st.text())
def test_any_text_with_doubled_braces_renders_as_itself(text: str):
    assert parse_template(text.replace("{", "{{").replace("}", "}}")).render({}) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), ("ä", "ä"), (3, "3"), (True, "true"), ({"a": "ü"}, '{"a": "ü"}'), ([1, "x"], '[1, "x"]')],
)
def test_values_have_one_text(value: object, text: str):
    assert text_of(value) == text
