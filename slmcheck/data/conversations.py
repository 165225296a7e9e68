"""Chat rows: the messages of a row, checked for what every chat template relies on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from slmcheck.data.templates import text_of
from slmcheck.records import Json

TOOLS_FIELD = "tools"
"""The row field with the functions that a conversation may call."""

Messages = tuple[Mapping[str, Json], ...]


@dataclass(frozen=True)
class Conversation:
    """Messages that end with the assistant's answer."""

    messages: Messages
    tools: Messages
    answer: str
    """Content of the last message; its tool calls as JSON where it has no content."""


def conversation_of(
    row: Mapping[str, Json], field: str, answer: str | None, *, strip_answer: bool
) -> Conversation | str:
    """The conversation of a row, or a clause that says why it has none.

    Args:
        row: The parsed row.
        field: Its field with the messages; a list, or a list as JSON text.
        answer: The field with the assistant's last turn where `messages` ends before it; else None.
        strip_answer: Whether white space around the answer is no part of it, as for labels.
    """
    messages = _list_of_mappings(row[field])
    if messages is None:
        return f"field '{field}' is no list of messages {{role, content}}"
    if answer is not None:
        text = text_of(row[answer])
        if not text.strip():
            return f"field '{answer}' is empty"
        messages = (*messages, {"role": "assistant", "content": text})
    tools = tools_of(row)
    if isinstance(tools, str):
        return tools
    for number, message in enumerate(messages, start=1):
        problem = _message_problem(message)
        if problem:
            return f"message {number} {problem}"
    if not messages or messages[-1]["role"] != "assistant":
        last = f"its last message is of '{messages[-1]['role']}'" if messages else "it is empty"
        return f"field '{field}' does not end with the assistant's answer: {last}"
    if len(messages) == 1:
        return f"field '{field}' has no message before the assistant's answer"
    content = messages[-1].get("content")
    if strip_answer and isinstance(content, str):
        messages = (*messages[:-1], {**messages[-1], "content": content.strip()})
    return Conversation(messages, tools, answer_of(messages[-1]))


def tools_of(row: Mapping[str, Json]) -> Messages | str:
    """The functions that a row offers to call, or a clause that says what is wrong with them."""
    tools = _list_of_mappings(row.get(TOOLS_FIELD) or [])
    return f"field '{TOOLS_FIELD}' is no list of functions" if tools is None else tools


def answer_of(message: Mapping[str, Json]) -> str:
    """What an assistant's message says: its content, else its tool calls as JSON."""
    content = message.get("content")
    if isinstance(content, str) and content:
        return content
    if isinstance(content, Sequence) and content:
        return "".join(text_of(part.get("text")) for part in content if isinstance(part, Mapping))
    return json.dumps(message.get("tool_calls"), ensure_ascii=False)


def _list_of_mappings(value: Json) -> Messages | None:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            return None
    if not isinstance(value, Sequence) or not all(isinstance(item, Mapping) for item in value):
        return None
    return cast("Messages", tuple(value))


def _message_problem(message: Mapping[str, Json]) -> str | None:
    role, content = message.get("role"), message.get("content")
    if "from" in message and "value" in message:
        return "has the fields 'from' and 'value'; rename them to 'role' (user, assistant) and 'content'"
    if not isinstance(role, str) or not role:
        return "has no role"
    if content is not None and not isinstance(content, str):
        parts = content if isinstance(content, Sequence) else ()
        if not parts or not all(isinstance(part, Mapping) and part.get("type") == "text" for part in parts):
            return "has a content that is neither text nor a list of text parts"
    if not content and not message.get("tool_calls"):
        return f"of '{role}' has no content"
    return None
