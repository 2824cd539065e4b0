# SPDX-License-Identifier: Apache-2.0
"""What a results file holds: `Results`, and a `Row` per benchmark with its repetitions together."""

from __future__ import annotations

import datetime
import json
import re
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quantbench_results.text import printable

PEER = "peer:"
ROW_CLASSES = {"one": 1, "few": 2, "many": 4}
"""Classes of products by m, and the least m of each, where a file does not say them."""
MOST_TEXT = 100_000


@dataclass(frozen=True)
class Row:
    """One benchmark: its name taken apart, and what each repetition measured."""

    name: str
    op: str
    format: str
    variant: str
    shape: str
    threads: int
    times_ns: tuple[float, ...] = ()
    """Real time of one call, per repetition; empty if the row failed."""
    counters: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Per counter, a value per repetition (the same order as times_ns)."""
    label: str = ""
    error: str = ""
    """Why the row failed; empty if it didn't."""

    @property
    def failed(self) -> bool:
        return bool(self.error)

    def counter(self, key: str) -> float | None:
        """The counter's median over the repetitions, or None if the row lacks it."""
        values = self.counters.get(key)
        return statistics.median(values) if values else None

    @property
    def is_peer(self) -> bool:
        """Other people's kernel, timed beside ours."""
        return self.variant.startswith(PEER)

    @property
    def is_loaded(self) -> bool:
        """A kernel of the user's own, by quantbench --kernels."""
        return "; loaded from " in self.label

    @property
    def is_ours(self) -> bool:
        """A variant of this repository, which the suite may dispatch to."""
        return not self.is_peer and not self.is_loaded

    @property
    def dims(self) -> dict[str, int]:
        """The shape's numbers: {"m": 1, "n": 4096, "k": 4096}, {"n": 65536}."""
        return {
            key: int(value) for key, value in re.findall(r"([a-z]+):(\d{1,18})(?=/|$)", self.shape)
        }

    @property
    def cold(self) -> bool:
        return "cold" in self.shape.split("/")

    @property
    def is_matmul(self) -> bool:
        return "k" in self.dims and "ops_per_second" in self.counters

    @property
    def verified(self) -> bool:
        """Whether the outputs were compared with the oracle's before timing."""
        return "mismatches" in self.counters

    @property
    def emulated(self) -> bool:
        return "emulated" in self.label

    @property
    def claims_timing(self) -> bool:
        """False for rows of a smoke run or of an emulator."""
        return "no timing claim" not in self.label

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What rows that can replace each other share."""
        return (self.op, self.format, self.shape, self.threads)


@dataclass(frozen=True)
class Results:
    """One results file."""

    path: Path
    context: Mapping[str, Any]
    rows: tuple[Row, ...]

    def text(self, key: str, default: str = "unknown") -> str:
        """A value of the context as text."""
        value = self.context.get(key)
        if value is None or value == "":
            return default
        if isinstance(value, bool):
            return "yes" if value else "no"
        return printable(value if isinstance(value, str) else json.dumps(value), MOST_TEXT)

    @property
    def by_name(self) -> dict[str, Row]:
        return {row.name: row for row in self.rows}

    @property
    def complete(self) -> bool:
        return self.context.get("complete") is True

    @property
    def emulated(self) -> bool:
        return self.text("emulated", "no") != "no"

    @property
    def claims_timing(self) -> bool:
        return not self.emulated and self.text("profile") != "smoke"

    @property
    def date(self) -> datetime.datetime | None:
        try:
            return datetime.datetime.fromisoformat(self.text("date"))
        except ValueError:
            return None

    @property
    def revision(self) -> str:
        return self.text("git_revision")

    @property
    def row_classes(self) -> dict[str, int]:
        """The classes of products that the suite dispatches by, and the least m of each."""
        named = self.context.get("row_classes")
        if not isinstance(named, dict):
            return ROW_CLASSES
        return {
            printable(str(key)): value
            for key, value in named.items()
            if isinstance(value, int) and not isinstance(value, bool)
        }

    def row_class(self, row: Row) -> str:
        """The class of a product's row; empty for other operations."""
        m = row.dims.get("m")
        if m is None:
            return ""
        reached = {name: least for name, least in self.row_classes.items() if least <= m}
        return max(reached, key=lambda name: reached[name], default="")

    @property
    def dispatched(self) -> dict[tuple[str, str], str]:
        """("op/format", class of rows or empty) -> the variant that is dispatched to, as the suite
        said; empty in old files."""
        named = self.context.get("dispatched")
        found: dict[tuple[str, str], str] = {}
        for key, value in named.items() if isinstance(named, dict) else ():
            for rows, variant in value.items() if isinstance(value, dict) else [("", value)]:
                if isinstance(variant, str):
                    found[printable(str(key)), printable(str(rows))] = printable(variant)
        return found

    @property
    def refused(self) -> dict[str, str]:
        """Instruction-set level -> why its variants did not run."""
        prefix = "isa_refused_"
        return {
            printable(key.removeprefix(prefix)): self.text(key)
            for key in sorted(self.context)
            if key.startswith(prefix)
        }

    @property
    def caches(self) -> list[tuple[str, int, float | None]]:
        """Measured cache levels: (name, bytes, ns per dependent load)."""
        return [
            (name, int(kib) << 10, float(ns) if ns else None)
            for name, kib, ns in re.findall(
                r"(L\d) (\d{1,9})K(?: (\d{1,6}(?:\.\d{1,6})?) ns)?",
                self.text("caches_measured", ""),
            )
        ]

    @property
    def limits(self) -> dict[str, float]:
        """The limits that were measured in the run: label -> bytes/s or op/s."""
        limits = self.context.get("limits")
        found: dict[str, float] = {}
        for label, value in limits.items() if isinstance(limits, dict) else ():
            try:
                rate = float(value)
            except (TypeError, ValueError, OverflowError):
                continue
            if 0 < rate < 1e30:
                found[printable(str(label))] = rate
        return found


def split_name(name: str) -> tuple[str, str, str, str, int]:
    """op/format/variant/shape[/threads:T] -> its parts; ValueError if it is no such name."""
    parts = name.split("/")
    threads = 1
    if len(parts) > 4 and (match := re.fullmatch(r"threads:(\d{1,6})", parts[-1])):
        threads = int(match[1])
        parts.pop()
    if len(parts) < 4 or not all(parts):
        raise ValueError("expected op/format/variant/shape[/threads:T]")
    if threads == 0 or any(re.fullmatch(r"[a-z]+:0+", part) for part in parts[3:]):
        raise ValueError("a dimension is zero")
    return parts[0], parts[1], parts[2], "/".join(parts[3:]), threads
