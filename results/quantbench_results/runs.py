# SPDX-License-Identifier: Apache-2.0
"""The runs that quantbench-compare compares: files, baselines, and two binaries in turns."""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from quantbench_results.errors import ResultsError
from quantbench_results.files import write_text
from quantbench_results.load import load
from quantbench_results.rows import Results
from quantbench_results.store import MACHINE_KEYS
from quantbench_results.text import printable

BASELINES = Path("results/baselines")
# What must agree for times to be comparable at all, beside the machine.
SETTING_KEYS = ("suite_version", "profile", "seed", "pin")
Sides = tuple[list[Results], list[Results]]


def files_of(text: str) -> list[Results]:
    """The files of one side, named with commas between them."""
    return [load(path) for path in text.split(",") if path]


def check_timing(files: Sequence[Results]) -> None:
    for results in files:
        if not results.claims_timing:
            raise ResultsError(results.path, "emulated or smoke results carry no timing")


def check_comparable(files: Sequence[Results]) -> None:
    """ResultsError, with both texts in full, if the files are not of one machine and setting. Builds of
    one tree may differ in revision: that is what is compared."""
    first = files[0]
    for results in files[1:]:
        keys = [
            key for key in (*MACHINE_KEYS, *SETTING_KEYS) if first.text(key) != results.text(key)
        ]
        if keys:
            details = "\n".join(
                _difference(key, first.text(key), results.text(key)) for key in keys
            )
            raise ResultsError(
                results.path,
                f"not comparable with {first.path} (use --cross-machine): they differ in "
                + ", ".join(keys),
                details,
            )


def _difference(key: str, old: str, new: str) -> str:
    lines = [f"  {key}", f"    old: {printable(old, 20000)}", f"    new: {printable(new, 20000)}"]
    words = old.split(), new.split()
    if min(map(len, words)) > 8:  # a list of flags: what is in one only
        for name, own, other in (("old", words[0], words[1]), ("new", words[1], words[0])):
            only = [word for word in own if word not in other]
            lines.append(f"    only {name}: {printable(' '.join(only) or 'nothing', 20000)}")
    return "\n".join(lines)


def took_turns(old: Sequence[Results], new: Sequence[Results]) -> bool:
    """Whether, by the dates in the files, each run of one side was beside its fellow of the other."""
    if len(old) != len(new) or len(old) < 2:
        return False
    dated = [
        (_when(results), side, i)
        for side, files in enumerate((old, new))
        for i, results in enumerate(files)
    ]
    if any(when is None for when, _, _ in dated) or len({when for when, _, _ in dated}) < len(
        dated
    ):
        return False
    dated.sort()
    pairs = zip(dated[::2], dated[1::2], strict=True)
    return all(a[1] != b[1] and a[2] == b[2] for a, b in pairs)


def _when(results: Results) -> datetime.datetime | None:
    date = results.date
    return date.replace(tzinfo=datetime.UTC) if date and date.tzinfo is None else date


def program(name: str) -> str:
    """The path of a program named by its path, by its name in this folder, or by its name on PATH."""
    if "/" in name:
        return name
    if os.path.isfile(name) and os.access(name, os.X_OK):
        return os.path.join(".", name)
    found = shutil.which(name)
    if not found:
        raise ResultsError(name, "no program of that name in this folder or on PATH")
    return found


def run_in_turns(old: str, new: str, rounds: int, arguments: Sequence[str], folder: Path) -> Sides:
    """Runs both binaries `rounds` times, the order alternating (old new, new old, ...)."""
    binaries = [program(old), program(new)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultsError(folder, f"can't be made: {error.strerror}") from None
    found: Sides = ([], [])
    for index in range(rounds):
        for side in (0, 1) if index % 2 == 0 else (1, 0):
            out = folder / f"{('old', 'new')[side]}-{index}.json"
            text = f"round {index + 1}/{rounds}: {binaries[side]}"
            print(printable(text), file=sys.stderr)
            out.unlink(missing_ok=True)  # of an earlier comparison
            found[side].append(_run(binaries[side], arguments, out))
    return found


def _run(binary: str, arguments: Sequence[str], out: Path) -> Results:
    try:
        done = subprocess.run(
            [binary, *arguments, f"--benchmark_out={out}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
            check=False,
        )  # fmt: skip
    except OSError as error:
        raise ResultsError(binary, f"can't run: {error.strerror}") from None
    # 1: a kernel computed something wrong, which its row in the file says.
    if done.returncode not in (0, 1) or not out.exists():
        last = (done.stderr.strip().splitlines() or ["it wrote no results"])[-1]
        raise ResultsError(binary, f"exit status {done.returncode}: {last}")
    return load(out)


def baseline_files(name: str) -> list[Path]:
    """Where a baseline of any number of files is kept: NAME.json, NAME+2.json, ..."""
    if not name or any(not (c.isalnum() or c in "-_.") for c in name) or name.startswith("."):
        raise ResultsError(name, "a baseline's name is letters, digits, '-', '_' and '.'")
    more = [
        path for path in BASELINES.glob(f"{name}+*.json") if path.stem.rsplit("+", 1)[1].isdigit()
    ]
    return [
        BASELINES / f"{name}.json",
        *sorted(more, key=lambda path: int(path.stem.rsplit("+", 1)[1])),
    ]


def load_baseline(name: str) -> list[Results]:
    return [load(path) for path in baseline_files(name)]


def save_baseline(name: str, files: Sequence[Results]) -> Path:
    """Keeps the files as the baseline of that name, in place of what was kept before."""
    first, *further = baseline_files(name)
    for number, results in enumerate(files, 1):
        path = first if number == 1 else BASELINES / f"{name}+{number}.json"
        write_text(path, results.path.read_text(encoding="utf-8"))
        further = [other for other in further if other != path]
    for path in further:
        path.unlink()
    return first
