import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmcheck.errors import RecipeError
from slmcheck.recipes.documents import read_document


def document(tmp_path, text, name="a.yaml"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return read_document(tmp_path / name)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(RecipeError, match="there is no such recipe file"):
        read_document(tmp_path / "a.yaml")


def test_another_kind_of_file_is_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"A recipe ends in .yaml"):
        read_document(tmp_path / "a.ini")


def test_a_file_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"task: \xff")
    with pytest.raises(RecipeError, match="Save the recipe as UTF-8"):
        read_document(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "a: 1\nb: [\n", r"a.yaml:3: not valid YAML"),
        ("a.yaml", "a: *none\n", r"a.yaml:1: not valid YAML: found undefined alias"),
        ("a.yaml", "- a\n", "a recipe is a mapping"),
        ("a.yaml", "a: 1\n? [b]\n: 2\n", "a.yaml:2: not valid YAML: a key is a plain name"),
        ("a.yaml", "a: &x [*x]\n", "not valid YAML: an anchor contains itself"),
        ("a.toml", "a = \n", "not valid TOML"),
        ("a.toml", "a = 1\na = 2\n", "not valid TOML"),
        ("a.json", '{\n"a": }', r"a.json:2: not valid JSON"),
    ],
)
def test_a_syntax_error_names_the_line(tmp_path, name, text, message):
    with pytest.raises(RecipeError, match=message):
        document(tmp_path, text, name)


def test_code_in_yaml_is_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"a.yaml:1: not valid YAML: the tag '.*os.system' is not allowed"):
        document(tmp_path, "a: !!python/object/apply:os.system [ls]\n")
    with pytest.raises(RecipeError, match=r"a.yaml:1: not valid YAML: could not determine a constructor"):
        document(tmp_path, "a: !!python/name:os.system x\n")


def test_an_anchor_fills_in_and_own_keys_win(tmp_path):
    root = document(tmp_path, "common: &c {a: 1, b: 2}\nother: {<<: *c, b: 3}\n").root
    assert root.plain()["other"] == {"a": 1, "b": 3}


def test_a_date_stays_text(tmp_path):
    assert document(tmp_path, "template_date: 2024-07-26\n").root.plain() == {"template_date": "2024-07-26"}


def test_an_empty_file_is_an_empty_mapping(tmp_path):
    assert document(tmp_path, "").root.plain() == {}


@pytest.mark.parametrize("name", ["a.yaml", "a.json"])
def test_repeated_keys_are_noticed_at_any_depth(tmp_path, name):
    assert document(tmp_path, '{"a": {"b": 1,\n"b": 2}}', name).problems == (
        (2, "'b' appears twice (first in line 1)"),
    )


def test_lines_of_a_toml_file_follow_tables_and_dotted_keys(tmp_path):
    root = document(
        tmp_path, '[data]\ntrain = "a"\n[data.slices.short]\nfield = "x"\n[evaluation]\ntop_p = 1\n', "a.toml"
    ).root
    data = root.value["data"]
    assert (data.line, data.value["train"].line, data.value["slices"].value["short"].value["field"].line) == (1, 2, 4)
    assert root.value["evaluation"].value["top_p"].line == 6


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(values=st.dictionaries(st.text(), VALUES), indent=st.none() | st.integers(0, 3))
def test_json_is_read_as_json_reads_it(values, indent, tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe")
    assert document(folder, json.dumps(values, indent=indent), "a.json").root.plain() == values
