"""Text that comes from data, models and suites, made safe to print: every other module of reports goes through here."""

from __future__ import annotations

import re

_HOSTILE = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls but tab and newline: ANSI escapes start here
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction marks reorder what a reader sees
    "\u2028\u2029"  # line separators end a line of JavaScript
    "\ud800-\udfff"  # lone surrogates cannot be encoded
    "\ufeff\ufff9-\uffff"
    "\U000e0000-\U000e007f"  # invisible tags
    "]"
)


def visible(text: str) -> str:
    r"""The text with characters that act instead of being seen written as escapes (`\x1b`, `\u2028`)."""
    return _HOSTILE.sub(_escape, text.replace("\r\n", "\n"))


def one_line(text: str, limit: int | None = None) -> str:
    """The visible text on one line, runs of white space collapsed, cut to `limit` characters with an ellipsis."""
    line = " ".join(visible(text).split())
    if limit is not None and len(line) > limit:
        return line[: max(limit - 1, 0)].rstrip() + "…"
    return line


def block(text: str, limit: int) -> str:
    """The visible text with its lines, cut to `limit` characters with a note of how much is missing."""
    shown = visible(text).strip("\n")
    if len(shown) <= limit:
        return shown
    return f"{shown[:limit].rstrip()}… ({len(shown) - limit:,} more characters)"


def sentence(text: str) -> str:
    """The text as one line that ends with a full stop."""
    line = one_line(text)
    return line if not line or line[-1] in ".!?…" else line + "."


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A count with its noun: `1 test`, `2 tests`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def listed(items: tuple[str, ...] | list[str]) -> str:
    """Items as a sentence has them: `a, b and c`."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
