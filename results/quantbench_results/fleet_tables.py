# SPDX-License-Identifier: Apache-2.0
"""The fleet's tables as data: which variant is best where, and shares of the limit by machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from quantbench_results.fleet import Fleet, Kind, Member
from quantbench_results.fleet_digest import Place
from quantbench_results.summary import geometric_mean

Column = tuple[str, str]
"""An operation (of a product with its arithmetic) and a size class: a column of the heat map."""

_CLASSES = ("L1", "L2", "L3", "L4", "memory", "m = 1", "m > 1", "cold, m = 1", "cold, m > 1")


@dataclass(frozen=True)
class Winner:
    """The variant that is best at a place on the most machines of a kind."""

    variant: str
    wins: int
    """On so many machines it is the best, or can't be told from the best."""
    machines: int
    share: float | None
    """Percent of the limit: the geometric mean of the machines."""

    @property
    def text(self) -> str:
        part = "" if self.wins == self.machines else f" {self.wins}/{self.machines}"
        share = f", {self.share:.0f} %" if self.share else ""
        return f"{self.variant}{part}{share}"


def class_rank(name: str) -> int:
    return _CLASSES.index(name) if name in _CLASSES else len(_CLASSES)


def places(fleet: Fleet) -> list[Place]:
    """Every place of any machine: operations and formats as they are met, classes by size."""
    seen: dict[tuple[str, str], set[str]] = {}
    for member in fleet.members:
        for op, format_, size in member.digest.places:
            seen.setdefault((op, format_), set()).add(size)
    ops = list(dict.fromkeys(op for op, _ in seen))
    ordered = sorted(seen, key=lambda pair: ops.index(pair[0]))
    return [(*pair, size) for pair in ordered for size in sorted(seen[pair], key=class_rank)]


def winner(kind: Kind, place: Place) -> Winner | None:
    cells = [m.digest.places[place] for m in kind.members if place in m.digest.places]
    if not cells:
        return None
    wins: dict[str, int] = {}
    for cell in cells:
        for variant in {cell.variant, *cell.equals}:
            wins[variant] = wins.get(variant, 0) + 1
    firsts = [cell.variant for cell in cells]
    best = max(dict.fromkeys(firsts), key=lambda name: (wins[name], firsts.count(name)))
    shares = [cell.share for cell in cells if cell.share]
    return Winner(best, wins[best], len(cells), geometric_mean(shares) if shares else None)


@dataclass(frozen=True)
class WinnerLine:
    op: str
    format: str
    sizes: tuple[str, ...]
    """Size classes that share the line, since the same variant is best there on every kind."""
    winners: tuple[Winner | None, ...]


def winner_lines(kinds: Sequence[Kind], at: Iterable[Place]) -> list[WinnerLine]:
    """Which variant is best where: a line per operation, format and size classes that agree."""
    lines: list[WinnerLine] = []
    for op, format_, size in at:
        found = tuple(winner(kind, (op, format_, size)) for kind in kinds)
        if not any(found):
            continue
        last = lines[-1] if lines else None
        if last and (last.op, last.format) == (op, format_) and _agree(last.winners, found):
            merged = tuple(_lower(a, b) for a, b in zip(last.winners, found, strict=True))
            lines[-1] = WinnerLine(op, format_, (*last.sizes, size), merged)
        else:
            lines.append(WinnerLine(op, format_, (size,), found))
    return lines


def _agree(left: Sequence[Winner | None], right: Sequence[Winner | None]) -> bool:
    return [w and w.variant for w in left] == [w and w.variant for w in right]


def _lower(left: Winner | None, right: Winner | None) -> Winner | None:
    """Of two winners of one variant the one of fewer wins, with the share of both."""
    if left is None or right is None:
        return None
    least = min(left, right, key=lambda w: w.wins / w.machines)
    shares = [w.share for w in (left, right) if w.share]
    share = geometric_mean(shares) if shares else None
    return Winner(least.variant, least.wins, least.machines, share)


def victories(kind: Kind, at: Sequence[Place]) -> list[tuple[str, int]]:
    """At how many places each variant is best on most machines of the kind, the most first."""
    counts: dict[str, int] = {}
    for place in at:
        if found := winner(kind, place):
            counts[found.variant] = counts.get(found.variant, 0) + 1
    return sorted(counts.items(), key=lambda pair: -pair[1])


def column_of(place: Place) -> Column:
    op, format_, size = place
    arithmetic = format_.split(".")[0]
    return (f"{op} {arithmetic}" if op in ("matmul", "repack") else op), size


def columns(at: Sequence[Place]) -> list[Column]:
    found = list(dict.fromkeys(column_of(place) for place in at))
    ops = list(dict.fromkeys(op for op, _ in found))
    return sorted(found, key=lambda column: (ops.index(column[0]), class_rank(column[1])))


def shares(member: Member) -> dict[Column, float]:
    """The machine's line of the heat map: percent of the limit, geometric means over formats."""
    groups: dict[Column, list[float]] = {}
    for place, cell in member.digest.places.items():
        if cell.share:
            groups.setdefault(column_of(place), []).append(cell.share)
    return {column: geometric_mean(values) for column, values in groups.items()}


def shares_by_format(member: Member, op: str) -> dict[tuple[str, str], float]:
    """The same for one operation, per format and size class."""
    return {
        (format_, size): cell.share
        for (name, format_, size), cell in member.digest.places.items()
        if name == op and cell.share
    }
