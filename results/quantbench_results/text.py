# SPDX-License-Identifier: Apache-2.0
"""Text that is safe to show: in a terminal, in Markdown and in HTML.

Names, labels and messages come from files of strangers. Control characters and marks that turn the
direction of writing (U+202E) are replaced wherever such text is read and wherever it is shown.
"""

from __future__ import annotations

import html


def printable(text: str, most: int = 1000) -> str:
    """The text without characters that could fool a terminal or a reader, and not too long."""
    clean = (
        text
        if text.isprintable()
        else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    )
    return clean if len(clean) <= most else clean[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def escape(text: object) -> str:
    """Text for the inside of an HTML element, and for Plotly, which reads markup in names."""
    return html.escape(printable(str(text), 20000), quote=False)


def attribute(text: object) -> str:
    """Text for HTML, attributes in double quotes included."""
    return html.escape(printable(str(text), 20000), quote=True)


def md(text: object) -> str:
    """Text that is harmless in a table of Markdown."""
    clean = html.escape(printable(str(text)), quote=False)
    for special in "\\|*_`[]":
        clean = clean.replace(special, "\\" + special)
    return clean


def in_table(text: object) -> str:
    """The same where an underscore within a name needs no escape, as on a README."""
    return md(text).replace("\\_", "_")


def printable_lines(lines: list[str]) -> str:
    """Lines for a terminal, one below the other."""
    return "\n".join(printable(part, 400) for line in lines for part in line.split("\n"))
