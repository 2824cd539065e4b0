# SPDX-License-Identifier: Apache-2.0
"""Small panels in SVG: a figure of every machine, a strip per kind of machine, on one shared axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from quantbench_results.fleet import Fleet, Kind, Member
from quantbench_results.fleet_digest import Digest
from quantbench_results.summary import geometric_mean, scaled
from quantbench_results.text import attribute

_LEFT, _WIDTH, _LINE = 330, 900, 26
MOST_STRIPS = 24

Figure = Callable[[Digest], float | None]


def _rate_of(op: str, *formats: str) -> Figure:
    def rate(found: Digest) -> float | None:
        rates = [
            cell.rate
            for (name, format_, _), cell in found.places.items()
            if name == op and (not formats or format_ in formats)
        ]
        return geometric_mean(rates) if rates else None

    return rate


_FIGURES: tuple[tuple[str, str, Figure], ...] = (
    ("Memory that one thread reads", "B/s", lambda found: found.memory),
    ("Clock, median of the run", "Hz", lambda found: found.clock and found.clock * 1e9),
    ("Products of int8 activations with q4_0 weights", "op/s", _rate_of("matmul", "a8.q4_0")),
    ("Quantizing", "B/s", _rate_of("quantize")),
)


def panels(fleet: Fleet) -> str:
    """A panel per figure. All kinds share its axis, so that places can be compared down the page."""
    drawn = [_panel(fleet.kinds[:MOST_STRIPS], *row) for row in _FIGURES]
    shown = "".join(panel for panel in drawn if panel)
    words = '<p class="soft">A dot is a machine; the dash is the median of its kind.</p>'
    return words + shown if shown else '<p class="soft">Nothing to draw.</p>'


def _panel(kinds: Sequence[Kind], title: str, unit: str, figure: Figure) -> str:
    strips = [
        (kind, [(m, value) for m in kind.members if (value := figure(m.digest))]) for kind in kinds
    ]
    strips = [(kind, points) for kind, points in strips if points]
    if not strips:
        return ""
    most = max(value for _, points in strips for _, value in points)
    height = _LINE * len(strips) + 30
    parts = [
        f'<figure><figcaption>{attribute(title)}</figcaption><svg class="strips" role="img" '
        f'viewBox="0 0 {_WIDTH} {height}" aria-label="{attribute(title)}, per kind of machine">'
    ]
    parts += _axis(most, unit, _LINE * len(strips))
    for number, (kind, points) in enumerate(strips):
        parts.append(_strip(kind, points, most, _LINE * number + _LINE / 2))
    return "".join([*parts, "</svg></figure>"])


def _x(value: float, most: float) -> float:
    """From zero, so that lengths can be compared."""
    return _LEFT + (_WIDTH - _LEFT - 30) * value / most


def _axis(most: float, unit: str, bottom: float) -> list[str]:
    parts = []
    for part in range(5):
        value = most * part / 4
        x = _x(value, most)
        label = scaled(value, unit) if value else "0"
        parts.append(
            f'<path class="rule" d="M{x:.0f} 0V{bottom:.0f}"/>'
            f'<text x="{x:.0f}" y="{bottom + 18:.0f}" text-anchor="middle">{attribute(label)}</text>'
        )
    return parts


def _strip(kind: Kind, points: Sequence[tuple[Member, float]], most: float, y: float) -> str:
    dots = "".join(
        f'<circle cx="{_x(value, most):.0f}" cy="{y:.0f}" r="4"/>' for _, value in points
    )
    values = sorted(value for _, value in points)
    middle = _x(values[len(values) // 2], most)
    name = kind.label if len(kind.label) <= 46 else kind.label[:45] + "\N{HORIZONTAL ELLIPSIS}"
    return (
        f'<text x="{_LEFT - 12}" y="{y + 4:.0f}" text-anchor="end">{attribute(name)}</text>{dots}'
        f'<path class="median" d="M{middle:.0f} {y - 10:.0f}V{y + 10:.0f}"/>'
    )
