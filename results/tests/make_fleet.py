# SPDX-License-Identifier: Apache-2.0
"""Makes up a fleet of results files from the committed ones, with differences that are known.

    python results/tests/make_fleet.py FOLDER [--files 200] [--whole]

Machines of one kind differ by 2 % and their rows by 1 %. Planted are those of `Planted`; a report
that is right names each of them and nobody else. Everything follows from the seed.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from quantbench_results import load, rules, summary

RESULTS = Path(__file__).parents[1]
KINDS = ("AMD EPYC 7713", "AMD EPYC 9354", "Intel(R) Xeon(R) Platinum 8592+")
"""What the committed files' CPUs are called in the fleet, in the order of the files."""
OPS = ("absmax/f32", "absmax/f16", "convert/f16.f32", "quantize/f32.q4_0", "dequantize/q4_0.f32",
       "dequantize/q8_0.f32", "matmul/a32.q4_0", "matmul/a8.q4_0", "matmul/a8.q8_0", "matmul/a8.s4",
       "pack/s4")  # fmt: skip
EVIL = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"
Entry = dict[str, Any]
RATES = ("bytes_per_second", "items_per_second", "ops_per_second", "speedup_vs_scalar")


@dataclass
class Planted:
    """Nodes by what is wrong with them, and the files that must not be shown."""

    slow_memory: str = "n010"
    clock_drop: str = "n051"
    wrong_kernel: str = "n092"
    wrong_row: str = ""
    interrupted: str = "n103"
    repetition_changed: str = "n114"
    speed_changed: str = "n125"
    same_run: str = "n136"
    hostile: str = "../../n147"
    rejected: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)
    machines: int = 0


@dataclass
class Base:
    """A committed file, thinned, and where each of its rows works."""

    context: Entry
    entries: list[Entry]
    classes: dict[str, str]


def bases(whole: bool) -> list[Base]:
    found = []
    for path, cpu in zip(sorted(RESULTS.glob("*/????-??-??*.json")), KINDS, strict=True):
        results = load.load(path)
        data = json.loads(path.read_text(encoding="utf-8"))
        bad = {row.name for row in results.rows if rules.over_limit(row) or row.failed}
        kept = [e for e in data["benchmarks"] if e["name"] not in bad and (whole or _wanted(e))]
        classes = {row.name: summary.size_class(row, results) for row in results.rows}
        _agree_on_limits(kept)
        context = {key: value for key, value in data["context"].items() if key != "caches"}
        context["cpu_name"] = cpu
        found.append(Base(context, kept, classes))
    return found


def _agree_on_limits(entries: list[Entry]) -> None:
    """One limit for all variants of an array operation and size, as newer suites have it."""
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        entry["roof_pct"] = min(entry["roof_pct"], 90.0)
        entry.pop("limit_ns", None)  # which would be wrong now
        op, format_, _, *shape = entry["name"].split("/")
        if "ops_per_second" not in entry:
            groups.setdefault((op, format_, *shape), []).append(entry)
    for group in groups.values():
        limit = float(np.median([entry["roof_pct"] * entry["real_time"] for entry in group]))
        limit = min(limit, 90 * min(entry["real_time"] for entry in group))  # room for the noise
        for entry in group:
            entry["roof_pct"] = limit / entry["real_time"]


def _wanted(entry: Entry) -> bool:
    op = "/".join(entry["name"].split("/")[:2])
    return op in OPS and "/peer:" not in entry["name"] and entry["repetition_index"] < 3


def scale(entry: Entry, times: float) -> None:
    """The row takes so many times as long; its share of the limit stays to the caller."""
    for key in ("real_time", "cpu_time"):
        entry[key] *= times
    for key in RATES:
        if key in entry:
            entry[key] /= times


def set_spreads(entries: list[Entry]) -> None:
    """As the suite writes it: the spread of the repetitions beside each of them."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry["name"], []).append(entry)
    for group in groups.values():
        times = tuple(entry["real_time"] for entry in group)
        spread = rules.spread(load.Row("", "", "", "", "", 1, times)) if len(times) > 1 else 0.01
        for entry in group:
            entry["spread_pct"] = 100 * spread
            entry["repetitions"] = len(times)


def machine(base: Base, number: int, random: np.random.Generator) -> Entry:
    """An ordinary machine: a little faster or slower than the others, as a whole and row by row."""
    context = copy.deepcopy(base.context)
    context["node"] = f"n{number:03}"
    context["date"] = f"2026-11-{1 + number % 28:02}T{number % 24:02}:{number % 60:02}:00+00:00"
    own = float(np.exp(random.normal(0, 0.02)))
    rows = {entry["name"]: float(np.exp(random.normal(0, 0.01))) for entry in base.entries}
    entries = []
    for entry in base.entries:
        made = dict(entry)
        scale(made, own * rows[entry["name"]])
        made["speedup_vs_scalar"] = 0.0  # set below
        if "clock_ghz" in made:
            made["clock_ghz"] /= own
        entries.append(made)
    context["limits"] = {k: f"{float(v) / own:.4g}" for k, v in context["limits"].items()}
    for entry in entries:
        entry["roof_pct"] = entry["roof_pct"] / rows[entry["name"]]
    data = {"context": context, "benchmarks": entries}
    settle(data)
    return data


def settle(data: Entry) -> None:
    """What follows from the times: spreads, and speeds over the scalar row."""
    set_spreads(data["benchmarks"])
    times: dict[tuple[str, ...], list[float]] = {}
    for entry in data["benchmarks"]:
        op, format_, variant, *shape = entry["name"].split("/")
        if variant == "scalar" and not entry.get("error_occurred"):
            times.setdefault((op, format_, *shape), []).append(entry["real_time"])
    for entry in data["benchmarks"]:
        op, format_, _, *shape = entry["name"].split("/")
        scalar = times.get((op, format_, *shape))
        if scalar and not entry.get("error_occurred"):
            entry["speedup_vs_scalar"] = float(np.median(scalar)) / entry["real_time"]
        else:
            entry.pop("speedup_vs_scalar", None)


def slow_memory(data: Entry, base: Base) -> None:
    for entry in data["benchmarks"]:
        if base.classes[entry["name"]] == "memory":
            scale(entry, 1.8)
    largest = max(_sizes(data))
    for label, rate in data["context"]["limits"].items():
        if "/bytes:" in label and int(label.split("/bytes:")[1].split("/")[0]) > largest / 8:
            data["context"]["limits"][label] = f"{float(rate) / 1.8:.4g}"
    settle(data)


def _sizes(data: Entry) -> list[int]:
    return [
        int(label.split("/bytes:")[1].split("/")[0])
        for label in data["context"]["limits"]
        if label.startswith("bandwidth_1r0w/bytes:")
    ]


def clock_drop(data: Entry) -> None:
    rows = list(dict.fromkeys(entry["name"] for entry in data["benchmarks"]))
    late = set(rows[int(0.6 * len(rows)) :])
    for entry in data["benchmarks"]:
        if entry["name"] in late:
            scale(entry, 1 / 0.7)
            entry["clock_ghz"] *= 0.7
            entry["roof_pct"] *= 0.7
    settle(data)


def wrong_kernel(data: Entry, row: str) -> None:
    for entry in data["benchmarks"]:
        if entry["name"].startswith(row):
            kept = {k: entry[k] for k in ("name", "run_name", "run_type", "repetitions",
                                          "repetition_index", "threads", "time_unit")}  # fmt: skip
            entry.clear()
            entry.update(kept, error_occurred=True, real_time=0.0, cpu_time=0.0, iterations=0,
                         error_message="17 mismatches: y[3] is 0.5, expected 0.25")  # fmt: skip


def interrupt(data: Entry) -> None:
    data["context"]["complete"] = False
    entries = data["benchmarks"]
    del entries[int(0.6 * len(entries)) :]


def change_a_repetition(data: Entry) -> None:
    """Somebody makes one repetition of a row a fifth faster, its rates as well."""
    scale(data["benchmarks"][7], 0.8)


def change_a_speed(data: Entry) -> None:
    """Somebody makes all repetitions of a row 1.5 times as fast, times and rates."""
    name = next(e["name"] for e in data["benchmarks"] if "/avx2/" in e["name"])
    for entry in data["benchmarks"]:
        if entry["name"] == name:
            for key in ("real_time", "cpu_time"):
                entry[key] /= 1.5
            for key in RATES[:3]:
                if key in entry:
                    entry[key] *= 1.5


def make_hostile(data: Entry) -> None:
    data["context"].update(cpu_name=EVIL, node="../../n147", git_revision="../../../etc/passwd",
                           compiler=EVIL, isa_best_level=EVIL)  # fmt: skip
    for entry in data["benchmarks"][:3]:
        name = entry["name"].replace("convert", "<i onclick=x>convert")
        entry["name"] = entry["run_name"] = name


def make(folder: Path, files: int = 200, whole: bool = False, seed: int = 2135) -> Planted:
    """Writes the fleet into the folder as quantbench-validate --store would; what is planted."""
    random = np.random.default_rng(seed)
    made, planted = bases(whole), Planted()
    planted.wrong_row = "matmul/a8.q4_0/avx2/m:1/"
    special: dict[int, Callable[[Entry, Base], None]] = {
        10: slow_memory,
        51: lambda data, _: clock_drop(data),
        92: lambda data, _: wrong_kernel(data, planted.wrong_row),
        103: lambda data, _: interrupt(data),
        114: lambda data, _: change_a_repetition(data),
        125: lambda data, _: change_a_speed(data),
        147: lambda data, _: make_hostile(data),
    }
    others = 8  # files beside one per machine
    for number in range(files - others):
        base = made[number % len(made)]
        data = machine(base, number, random)
        if number in special:
            special[number](data, base)
        path = folder / f"node-{number:03}" / f"2026-11-{1 + number % 28:02}T000000-abc.json"
        write(path, data)
        if number == 136:  # the same run once more, and every figure better
            for entry in data["benchmarks"]:
                scale(entry, 0.9)
            settle(data)
            write(path.with_name("2026-11-30T000000-again.json"), data)
    planted.machines = files - others
    _add_copies(folder, planted)
    _add_rejected(folder, planted, machine(made[0], 900, random))
    return planted


def _add_copies(folder: Path, planted: Planted) -> None:
    for number in (1, 2):
        source = next((folder / f"node-{number:03}").iterdir())
        data = json.loads(source.read_text(encoding="utf-8"))
        path = folder / f"zopy-{number:03}" / source.name
        write(path, data, indent=number - 1 or None)
        planted.copies.append(str(path))


def _add_rejected(folder: Path, planted: Planted, data: Entry) -> None:
    whole = json.dumps(data)
    emulated = json.dumps({**data, "context": {**data["context"], "emulated": "qemu"}})
    texts = {
        "truncated": whole[: len(whole) // 2],
        "nolist": '{"context": {"schema_version": 1}, "benchmarks": {}}',
        "future": json.dumps(
            {**data, "context": {**data["context"], "date": "2099-01-01T00:00:00"}}
        ),
        "emulated": emulated,
        "deep": "[" * 100_000,
    }
    for name, text in texts.items():
        path = folder / name / "2026-11-01T000000-abc.json"
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
        planted.rejected.append(str(path))


def write(path: Path, data: Entry, indent: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=indent), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description="Makes up results files of a fleet of machines.")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--whole", action="store_true", help="with all rows of the committed files")
    options = parser.parse_args()
    print(make(options.folder, options.files, options.whole))
    return 0


if __name__ == "__main__":
    sys.exit(main())
