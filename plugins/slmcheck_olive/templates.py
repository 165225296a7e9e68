"""Olive's text templates: what its command line makes of them, and which placeholder is the answer."""

from __future__ import annotations

import re

from slmcheck.data.templates import parse_template
from slmcheck.errors import RecipeError
from slmcheck_olive.draft import Draft

_ESCAPE = re.compile(r"\\(?:(?P<plain>[nt])|u(?P<code>[0-9a-fA-F]{4}))")
_SPECIAL = re.compile(r"(?:\s|<\|[^|<>]*\|>|</?[a-z_]+>|\[/?[A-Z_]+\])*")


def decoded(text: str) -> str:
    r"""A template of a command line with `\n`, `\t` and `\uXXXX` resolved, and nothing else.

    Olive decodes all of Python's escapes, which destroys every character outside ASCII.
    """
    return _ESCAPE.sub(
        lambda found: {"n": "\n", "t": "\t"}[found["plain"]] if found["plain"] else chr(int(found["code"], 16)), text
    )


def read_template(draft: Draft, key: str, text: str) -> None:
    """Set template, and answer or language modelling."""
    draft.put("data.text_template", text)
    try:
        template = parse_template(text)
    except RecipeError as error:
        draft.refuse(key, " ".join(str(error).splitlines()).rstrip("."))
        return
    if len(template.fields) < 2:
        if draft.fields.get("task", "generation") == "generation":
            draft.put("task", "language_modeling")
            draft.note(key, "one placeholder, so the text itself is learned: task is language_modeling")
        else:
            draft.refuse(key, f"task is '{draft.fields['task']}', and the template has no second placeholder to answer")
        return
    last = template.fields[-1]
    if not _SPECIAL.fullmatch(template.texts[-1]) or template.fields.count(last) > 1:
        draft.put("task", "language_modeling")
        draft.note(
            key,
            f"text follows {{{last}}}, so no placeholder is the answer: task is language_modeling"
            if template.fields.count(last) == 1
            else f"{{{last}}} stands twice, so no placeholder is the answer: task is language_modeling",
        )
        return
    draft.put("data.answer", last)
    draft.note(key, f"the answer is taken to be the last placeholder, {last}")
