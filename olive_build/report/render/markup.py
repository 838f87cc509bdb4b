"""Elements of a page, every text escaped where it enters."""

from __future__ import annotations

import html
import re

VOID = ("br", "hr", "meta")
# A line of its own in the file, so that pages can be compared line by line.
BLOCKS = (
    *("html", "head", "body", "header", "main", "footer", "nav", "section", "figure", "div"),
    *("h1", "h2", "h3", "p", "ul", "ol", "li", "dl", "dt", "dd", "details", "summary"),
    *("table", "caption", "thead", "tbody", "tr", "meta", "title", "style"),
    *("svg", "g", "circle", "rect", "line", "path", "polyline", "text", "desc", "figcaption"),
)
# What no HTML document may hold: control characters other than tab and line end.
UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


class Markup(str):
    """HTML that is written as it is; any other string is escaped."""

    __slots__ = ()


Child = str | Markup | None


def escaped(text: str) -> Markup:
    """Return a text as HTML: no character of it means anything to a browser."""
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(UNPRINTABLE.sub("\ufffd", text), quote=True))


def join(*children: Child) -> Markup:
    """Return the children one after the other; None adds nothing."""
    return Markup("".join(escaped(child) for child in children if child is not None))


def tag(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """Return an element. `class_` is class, other underscores are hyphens; None leaves one out."""
    words = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        text = str(value) if isinstance(value, str) else f"{value:.6g}"
        words.append(key if value is True else f'{key}="{escaped(text)}"')
    start = f"<{' '.join(words)}>"
    end = "" if name in VOID else f"</{name}>"
    return Markup(f"{start}{join(*children)}{end}" + "\n" * (name in BLOCKS))
