"""The frame of a page, and the parts that every section is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from olive_build.report.html.markup import Child, Markup, join, tag
from olive_build.report.html.stylesheet import STYLE

# Nothing is loaded and nothing runs, whatever a bundle's texts hold.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'"
SIGNS = {
    "passed": ("good", "\u2713 passed"),
    "failed": ("bad", "\u2715 failed"),
    "undecided": ("open", "? undecided"),
    "waived": ("", "waived"),
    "not measured": ("", "not measured"),
    "held": ("good", "\u2713 held"),
    "missed": ("bad", "\u2715 missed"),
    "better": ("good", "\u2191 better"),
    "worse": ("bad", "\u2193 worse"),
    "unclear": ("open", "? within the noise"),
    "changed": ("open", "changed"),
    "same": ("", "same"),
}


@dataclass(frozen=True)
class Section:
    """A part of the page, with the name under which it is linked."""

    id: str
    title: str
    body: Markup

    def html(self) -> Markup:
        """Return the section's element."""
        heading = tag("h2", self.title, id=f"{self.id}-title")
        label = f"{self.id}-title"
        return tag("section", heading, self.body, id=self.id, aria_labelledby=label)


def page(title: str, head: Markup, sections: Sequence[Section], foot: str) -> str:
    """Return the whole document."""
    links = [tag("li", tag("a", item.title, href=f"#{item.id}")) for item in sections]
    nav = tag("nav", tag("ul", *links), aria_label="Sections")
    body = tag(
        "body",
        tag("header", head, nav),
        tag("main", *(item.html() for item in sections)),
        tag("footer", tag("p", foot)),
    )
    width = "width=device-width, initial-scale=1"
    meta = (
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content=width),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", title),
        tag("style", Markup(STYLE)),
    )
    return "<!doctype html>\n" + tag("html", tag("head", *meta), body, lang="en")


def status(word: str) -> Markup:
    """Return a verdict as a word with a sign; its colour says nothing that the word does not."""
    kind, text = SIGNS.get(word, ("", word))
    return tag("span", text, class_=f"status {kind}".rstrip())


@dataclass(frozen=True)
class Column:
    """A column's head; numbers are aligned right."""

    title: str
    kind: str = ""  # number, name, long, short


def table(
    name: str, columns: Sequence[Column], bodies: Iterable[Markup], *, caption: str
) -> Markup:
    """Return a table that scrolls by itself where it is too wide; the keyboard reaches it."""
    heads = [tag("th", item.title, scope="col", class_=item.kind or None) for item in columns]
    inner = tag(
        "table",
        tag("caption", tag("span", caption, class_="still"), id=f"{name}-caption"),
        tag("thead", tag("tr", *heads)),
        *bodies,
    )
    caption_id = f"{name}-caption"
    return tag("div", inner, class_="scroll", tabindex=0, role="region", aria_labelledby=caption_id)


def rows(columns: Sequence[Column], cells: Iterable[Sequence[Child]]) -> Markup:
    """Return a table's body; the first cell of each row is its head."""
    return tag("tbody", *(row(columns, line) for line in cells))


def row(columns: Sequence[Column], cells: Sequence[Child]) -> Markup:
    """Return one row."""
    first, *rest = zip(columns, cells, strict=True)
    return tag(
        "tr",
        tag("th", first[1], scope="row", class_=first[0].kind or None),
        *(tag("td", cell, class_=column.kind or None) for column, cell in rest),
    )


def group(title: Child, width: int, lines: Iterable[Markup]) -> Markup:
    """Return a body of a table with a head of its own over all columns."""
    still = tag("span", title, class_="still")
    head = tag("tr", tag("th", still, colspan=width, scope="rowgroup"), class_="group")
    return tag("tbody", head, *lines)


def meter(share: float, said: str) -> Markup:
    """Return a small bar from 0 to 1 beside a number that says the same."""
    width = 100 * min(max(share, 0.0), 1.0)
    back = tag("rect", width=100, height=10, class_="back")
    bar = tag("rect", width=max(width, 0.6), height=10)
    view = {"viewBox": "0 0 100 10", "preserveAspectRatio": "none"}
    return tag("svg", back, bar, class_="meter", role="img", aria_label=said, **view)


def facts(items: Iterable[tuple[str, Child, Child]]) -> Markup:
    """Return the few things to know first: what, the value, and a remark."""
    boxes = [
        tag("div", tag("dt", what), tag("dd", value, tag("small", remark) if remark else None))
        for what, value, remark in items
    ]
    return tag("dl", *boxes, class_="facts")


def paragraph(*parts: Child, kind: str | None = None) -> Markup:
    """Return a paragraph."""
    return tag("p", *parts, class_=kind)


def figure(plot: Markup, caption: Child) -> Markup:
    """Return a plot with its caption."""
    return tag("figure", plot, tag("figcaption", caption))


def plots(*figures: Markup) -> Markup:
    """Return figures side by side where there is room."""
    return tag("div", *figures, class_="plots")


def joined(parts: Sequence[Child]) -> Markup:
    """Return parts one below the other."""
    return join(*parts)
