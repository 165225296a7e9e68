"""Chat rows: messages in a field, messages written by the recipe, and what is wrong with them."""

import json

import pytest

from slmcheck.data.splits import inspect, load_splits

HELLO = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": " Hello "},
]


@pytest.fixture
def chat(make_recipe):
    def make(**fields):
        return make_recipe(
            **{
                "task": "generation",
                "text_template": None,
                "answer": None,
                "messages": "messages",
                "validation": 0.4,
                **fields,
            }
        )

    return make


def rows_of(*conversations):
    return [{"messages": conversation} for conversation in conversations] + [
        {"messages": [{"role": "user", "content": str(n)}, {"role": "assistant", "content": "x"}]} for n in range(3)
    ]


def first_problem(chat, write_rows, row):
    write_rows("train.jsonl", [row])
    return inspect(chat()).problems[0].text


def test_the_last_message_is_the_answer(chat, write_rows):
    write_rows("train.jsonl", rows_of(HELLO))
    splits = load_splits(chat())
    example = next(item for item in (*splits.train, *splits.validation) if item.source == "train.jsonl:1")
    assert (example.answer, example.references, len(example.messages)) == (" Hello ", ("Hello",), 3)


def test_messages_may_be_json_text(chat, write_rows):
    write_rows("train.jsonl", [{"messages": json.dumps(row["messages"])} for row in rows_of(HELLO)])
    assert len(load_splits(chat()).train) == 2


def test_the_answer_may_stand_in_a_field_of_its_own(chat, write_rows):
    write_rows(
        "train.jsonl", [{"messages": [{"role": "user", "content": str(n)}], "reply": f"Hello {n}"} for n in range(4)]
    )
    example = load_splits(chat(answer="reply")).train[0]
    assert example.messages[-1]["role"] == "assistant"
    assert example.answer.startswith("Hello")


def test_tool_calls_are_an_answer(chat, write_rows):
    call = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Köln"}}}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
    conversation = [HELLO[1], {"role": "assistant", "tool_calls": [call]}]
    write_rows("train.jsonl", [{"messages": conversation, "tools": tools}, *rows_of()])
    splits = load_splits(chat())
    example = next(item for item in (*splits.train, *splits.validation) if item.source == "train.jsonl:1")
    assert json.loads(example.answer) == [call]
    assert example.tools == tuple(tools)


def test_messages_of_the_recipe_take_their_content_from_the_row(make_recipe, write_rows):
    write_rows("train.jsonl", [{"text": f"t{n}", "label": "ab"[n % 2]} for n in range(8)])
    messages = (
        {"role": "user", "content": "Class a or b? {text}"},
        {"role": "assistant", "content": "a class: {label}."},
    )
    example = load_splits(make_recipe(text_template=None, messages=messages, answer="label")).train[0]
    assert example.messages[0] == {"role": "user", "content": "Class a or b? t0"}
    assert example.messages[-1] == {"role": "assistant", "content": "a class: a."}
    assert example.option_texts == ("a class: a.", "a class: b.")
    assert example.references == ("a",)


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ("hello", "field 'messages' is no list of messages {role, content}"),
        ([], "field 'messages' does not end with the assistant's answer: it is empty"),
        (HELLO[:2], "field 'messages' does not end with the assistant's answer: its last message is of 'user'"),
        (HELLO[2:], "field 'messages' has no message before the assistant's answer"),
        ([{"content": "a"}], "message 1 has no role"),
        ([{"role": "user"}, HELLO[2]], "message 1 of 'user' has no content"),
        (
            [{"role": "user", "content": [{"type": "image"}]}],
            "message 1 has a content that is neither text nor a list of text parts",
        ),
        (
            [{"from": "human", "value": "a"}],
            "message 1 has the fields 'from' and 'value'; rename them to 'role' (user, assistant) and 'content'",
        ),
    ],
)
def test_messages_that_no_template_can_render_are_problems(chat, write_rows, messages, problem):
    assert first_problem(chat, write_rows, {"messages": messages}) == problem


def test_tools_that_are_no_list_are_a_problem(chat, write_rows):
    assert (
        first_problem(chat, write_rows, {"messages": HELLO, "tools": "hammer"})
        == "field 'tools' is no list of functions"
    )


def test_an_id_depends_on_the_messages_before_the_answer(chat, write_rows):
    other_answer = [*HELLO[:2], {"role": "assistant", "content": "Hey"}]
    write_rows("train.jsonl", rows_of(HELLO, other_answer))
    splits = load_splits(chat())
    ids = {item.source: item.id for item in (*splits.train, *splits.validation)}
    assert ids["train.jsonl:2"] == f"{ids['train.jsonl:1']}-2"
