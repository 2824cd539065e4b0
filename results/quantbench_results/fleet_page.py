# SPDX-License-Identifier: Apache-2.0
"""The page on many machines: one HTML file that fetches nothing.

It has tables and small SVG panels and no Plotly, which alone is as long as the page may be: what is
compared here are hundreds of machines, for which a table with coloured cells is the better picture.
A section is a function; the page's script only filters lines and sorts tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from quantbench_results import fleet, fleet_tables
from quantbench_results.document import document, part
from quantbench_results.fleet import Fleet, Kind, Member
from quantbench_results.fleet_outliers import Outlier, outliers
from quantbench_results.fleet_panels import panels
from quantbench_results.fleet_tables import WinnerLine
from quantbench_results.summary import scaled
from quantbench_results.text import attribute

MOST_KINDS = 16
"""So many kinds of machines have a column of best variants; the others are named below it."""
MOST_LISTED = 300
"""So many files that were left out are named one by one."""


def fleet_page(found: Fleet) -> str:
    """The whole page."""
    title = f"quantbench: {fleet.count_text(found)}"
    return document(
        title, part("page.css") + part("fleet.css"), _body(title, found), part("fleet.js")
    )


def _body(title: str, found: Fleet) -> str:
    odd = outliers(found)
    sections = [
        _header(title, found, odd),
        _outlier_section(odd),
        _winners_section(found),
        _heat_section(found, {outlier.machine for outlier in odd}),
        f'<section id="panels"><h2>Machines of a kind beside each other</h2>{panels(found)}</section>',
        _machines_section(found),
        _left_out_section(found),
        _reading_section(),
    ]
    return "\n".join(section for section in sections if section)


def _header(title: str, found: Fleet, odd: Sequence[Outlier]) -> str:
    marked = sum(bool(member.digest.marks) for member in found.members)
    facts = (
        ("machines", len(found.members)),
        ("kinds of machines", len(found.kinds)),
        ("files", found.files),
        ("odd machines", len({outlier.machine for outlier in odd})),
        ("interrupted or doubtful runs", marked),
        ("files not shown", len(found.rejected)),
        ("copies", len(found.copies)),
    )
    items = "".join(f"<li>{attribute(name)} <b>{count}</b></li>" for name, count in facts)
    links = (
        ("#odd", "what is odd"),
        ("#best", "best variants"),
        ("#heat", "share of the limit"),
        ("#panels", "kinds"),
        ("#machines", "machines"),
        ("#left-out", "left out"),
        ("#reading", "how to read"),
    )
    anchors = "".join(f'<a href="{where}">{attribute(text)}</a>' for where, text in links)
    return (
        f'<header><h1>{attribute(title)}</h1><ul class="facts">{items}</ul>'
        f'<nav class="contents" aria-label="Contents">{anchors}</nav>'
        '<p class="find"><label>Machines whose name or kind has '
        '<input type="search" id="find" autocomplete="off"></label> '
        '<span class="soft" id="found" role="status"></span></p></header>'
    )


_WORDS = {
    "kernel": "wrong kernel",
    "clock": "clock",
    "memory": "slow memory",
    "speed": "slow",
}


def _outlier_section(odd: Sequence[Outlier]) -> str:
    lines = (
        f'<tr data-m="{attribute(o.machine)}"><td>{attribute(o.machine)}'
        f'<td><span class="odd">{_WORDS[o.what]}</span><td class=wrap>{attribute(o.text)}'
        for o in odd
    )
    content = (
        _table(("machine", "what", "how it differs"), lines)
        if odd
        else '<p class="soft">No machine differs from the others of its kind.</p>'
    )
    return f'<section id="odd"><h2>What is odd</h2>{content}</section>'


def _winners_section(found: Fleet) -> str:
    at = fleet_tables.places(found)
    kinds = [kind for kind in found.kinds if any(m.digest.places for m in kind.members)]
    shown, rest = kinds[:MOST_KINDS], kinds[MOST_KINDS:]
    if not shown:
        return '<section id="best"><h2>Which variant is best where</h2><p class="soft">No row claims a timing.</p></section>'
    counts = []
    for kind in kinds:
        wins = fleet_tables.victories(kind, at)
        said = ", ".join(f"{variant} {count}" for variant, count in wins)
        counts.append(
            f"<tr><td>{attribute(kind.label)}<td>{len(kind.members)}<td class=wrap>{attribute(said)}"
        )
    lines = [_winner_line(line) for line in fleet_tables.winner_lines(shown, at)]
    titles = ("operation", "format", "size", *(_kind_title(kind) for kind in shown))
    more = (
        f'<p class="soft">{len(rest)} further kinds have no column: '
        f"{attribute(', '.join(kind.label for kind in rest))}</p>"
        if rest
        else ""
    )
    return (
        '<section id="best"><h2>Which variant is best where</h2>'
        "<p>At how many places (an operation, a format and a class of sizes) each variant is the best "
        "on the most machines of a kind, one thread:</p>"
        f"{_table(('kind', 'machines', 'best at so many places'), counts)}"
        "<p>Each place: the variant, on how many of the kind's machines it is the best or tied with "
        "the best, where not on all, and the share of the limit.</p>"
        f"{_table(titles, lines)}{more}</section>"
    )


def _kind_title(kind: Kind) -> str:
    return f"{kind.label}, {len(kind.members)} machine{'s' if len(kind.members) != 1 else ''}"


def _winner_line(line: WinnerLine) -> str:
    cells = []
    for winner in line.winners:
        if winner is None:
            cells.append("<td>\N{EN DASH}")
            continue
        variant, rest = winner.variant, winner.text[len(winner.variant) :]
        sure = "b" if 2 * winner.wins > winner.machines else "span"
        cells.append(
            f"<td><{sure}>{attribute(variant)}</{sure}><span class=soft>{attribute(rest)}</span>"
        )
    sizes = ", ".join(line.sizes)
    return (
        f"<tr><td>{attribute(line.op)}<td>{attribute(line.format)}<td>{attribute(sizes)}"
        + "".join(cells)
    )


def _heat_section(found: Fleet, odd: set[str]) -> str:
    at = fleet_tables.places(found)
    columns = fleet_tables.columns(at)
    whole = _heat_map(found, odd, columns, fleet_tables.shares)
    parts = []
    for op in dict.fromkeys(op for op, _, _ in at):
        own = [(format_, size) for name, format_, size in at if name == op]
        table = _heat_map(
            found, odd, own, lambda member, op=op: fleet_tables.shares_by_format(member, op)
        )
        parts.append(
            f'<details class="table"><summary>{attribute(op)}, by format</summary>{table}</details>'
        )
    return (
        '<section id="heat"><h2>Share of the limit</h2><p>Per machine: the rate of the best variant as '
        "a share of what that machine was measured to allow for the same work, in percent; the "
        "geometric mean over formats and sizes, one thread. A click on a title sorts.</p>"
        f'<p class="scale">{_scale()}</p>{whole}{"".join(parts)}</section>'
    )


def _scale() -> str:
    return "".join(
        f'<span class="h{level}">{10 * level}{"+" if level == 10 else ""}</span>'
        for level in range(11)
    )


def _heat_map(
    found: Fleet,
    odd: set[str],
    columns: Sequence[tuple[str, str]],
    shares_of: object,
) -> str:
    """A line per machine, a coloured cell per column."""
    assert callable(shares_of)
    lines = []
    for member in found.members:
        have: Mapping[tuple[str, str], float] = shares_of(member)
        if not have:
            continue
        cells = "".join(_heat_cell(have.get(column)) for column in columns)
        lines.append(f"<tr {_data(member)}><td{' class=odd' if member.label in odd else ''}>"
                     f"{attribute(member.label)}{cells}")  # fmt: skip
    return _table(("machine", *(" ".join(column) for column in columns)), lines, "heat")


def _heat_cell(share: float | None) -> str:
    if share is None:
        return "<td>"
    return f"<td class=h{min(int(share // 10), 10)}>{share:.0f}"


def _data(member: Member) -> str:
    return f'data-m="{attribute(f"{member.label} {member.digest.level} {member.digest.family}")}"'


def _machines_section(found: Fleet) -> str:
    lines = []
    for member in found.members:
        digest = member.digest
        state = ", ".join(digest.marks)
        lines.append(
            f"<tr {_data(member)}><td>{attribute(member.label)}<td>{attribute(digest.level)}"
            f"<td>{attribute(digest.family)}<td class=number>{scaled(digest.memory, 'B/s')}"
            f"<td class=number>{scaled(digest.clock and digest.clock * 1e9, 'Hz')}"
            f"<td>{attribute(digest.run[1][:10])}<td>{attribute(digest.run[2][:12])}"
            f"<td class=number>{member.files}"
            f"<td{' class=odd' if state else ''}>{attribute(state or 'complete')}"
            f"<td class=wrap>{attribute(digest.where)}"
        )
    titles = ("machine", "instruction sets to", "family, model, stepping", "memory", "clock", "date",
              "revision", "files", "run", "shown from")  # fmt: skip
    return f'<section id="machines"><h2>The machines</h2>{_table(titles, lines)}</section>'


def _left_out_section(found: Fleet) -> str:
    rows = [(digest.where, digest.problem) for digest in found.rejected]
    rows += [(where, f"a copy of {first}") for where, first in found.copies]
    rows += [
        (d.where, ", ".join(d.marks) or "another run of a machine that has a newer one")
        for d in found.others
    ]
    lines = [f"<tr><td class=wrap>{attribute(where)}<td class=wrap>{attribute(why)}"
             for where, why in rows[:MOST_LISTED]]  # fmt: skip
    more = (
        f'<p class="soft">and {len(rows) - MOST_LISTED} more</p>' if len(rows) > MOST_LISTED else ""
    )
    content = _table(("file", "why"), lines) + more if rows else '<p class="soft">Nothing.</p>'
    return f'<section id="left-out"><h2>Files that are not shown</h2>{content}</section>'


def _reading_section() -> str:
    return """<section id="reading"><h2>How to read this</h2><dl>
<dt>machine</dt><dd>files that agree in CPU, caches, compiler and settings are of one machine, and are
counted as one; its newest complete run speaks for it</dd>
<dt>kind</dt><dd>machines of the same CPU, stepping and instruction sets; only those are compared</dd>
<dt>what is odd</dt><dd>a figure beyond 3.5 times the usual deviation from the median of at least five
machines of the kind, and beyond 10 %; a clock that drops by more than 12 % within a run; a kernel that
failed verification</dd>
<dt>changed by hand?</dt><dd>the file contradicts itself, or another file says that it is the same run
and differs; none of its figures are ranked</dd>
<dt>share of the limit</dt><dd>of the lower of two limits that the same run measured, of bandwidth and
of arithmetic; over 102 is a measuring error, and the row is left out</dd></dl></section>"""


def _table(titles: Iterable[str], lines: Iterable[str], style: str = "") -> str:
    """A table that a click on a title sorts. Ends of cells and lines are left out, as HTML allows."""
    head = "".join(f'<th scope="col"><button type="button">{attribute(t)}</button>' for t in titles)
    mark = f' class="{style}"' if style else ""
    return (
        f'<div class="scroll"><table{mark}><thead><tr>{head}</thead><tbody>{"".join(lines)}'
        "</tbody></table></div>"
    )
