"""HTML by construction: text is escaped unless an element made it, so nothing from data can become markup."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from slmcheck.reports.text import visible

_VOID = frozenset({"meta", "input", "br"})


class Html(str):
    """Finished markup; only `element`, `joined` and `trusted` make it."""

    __slots__ = ()


def element(name: str, /, *children: str | Html, **attributes: str | int | bool) -> Html:
    """An element with its children; plain strings are escaped.

    Attributes are written with `_` for `-` and a trailing `_` where the name is a word of Python: `class_`,
    `aria_label`. True writes the bare name, False leaves it out.
    """
    opening = name + "".join(_attribute(word, value) for word, value in attributes.items() if value is not False)
    if name in _VOID:
        return Html(f"<{opening}>")
    return Html(f"<{opening}>{joined(children)}</{name}>")


def joined(parts: Iterable[str | Html], separator: str = "") -> Html:
    """Parts one after the other; plain strings are escaped."""
    return Html(separator.join(part if isinstance(part, Html) else _escaped(part) for part in parts))


def trusted(markup: str) -> Html:
    """Markup that the package ships or a library drew; never text that comes from data."""
    return Html(markup)


def lines(text: str) -> Html:
    """Text whose line ends are kept."""
    return joined(text.split("\n"), "<br>")


def data_table(
    caption: str, header: Sequence[str | Html], rows: Iterable[Sequence[str | Html]], *, words: Sequence[int] = (0,)
) -> Html:
    """A table that scrolls on its own: a caption, column heads, the first cell of a row as its head.

    Columns of `words` hold text; the others hold numbers, set to the right in tabular figures.
    """
    kinds = ["word" if index in words else "number" for index in range(len(header))]
    head = element(
        "tr", *(element("th", cell, scope="col", class_=kind) for cell, kind in zip(header, kinds, strict=True))
    )
    body = []
    for row in rows:
        first, *others = row
        cells = [element("th", first, scope="row", class_=kinds[0])]
        cells += [element("td", cell, class_=kind) for cell, kind in zip(others, kinds[1:], strict=True)]
        body.append(element("tr", *cells))
    table = element("table", element("caption", caption), element("thead", head), element("tbody", *body))
    return scrolling(caption, table)


def scrolling(label: str, content: Html) -> Html:
    """A group that scrolls sideways by itself and can be reached by keyboard."""
    return element("div", content, class_="scroll", role="group", aria_label=label, tabindex=0)


def disclosure(summary: str | Html, *content: Html) -> Html:
    """A section that opens on request."""
    return element("details", element("summary", summary), *content)


def _attribute(word: str, value: str | int | bool) -> str:
    name = word.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{_escaped(str(value))}"'


def _escaped(text: str) -> str:
    return html.escape(visible(text), quote=True)
