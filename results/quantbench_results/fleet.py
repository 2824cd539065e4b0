# SPDX-License-Identifier: Apache-2.0
"""Many machines: their files read next to each other, copies left out, one run chosen for each.

    files -> digests -> (copies, rejected, contradicting runs) -> machines -> kinds of machines

A machine is what store.MACHINE_KEYS tell apart; it is counted once, however many files it has. A
kind is what may be compared: machines of the same CPU, stepping and instruction sets.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from quantbench_results.errors import ResultsError
from quantbench_results.fleet_digest import Digest, digest
from quantbench_results.load import find_files
from quantbench_results.state import CHANGED_BY_HAND

FROM_MACHINES = 9
"""From so many files on the report is the fleet's page: as many side by side nobody compares."""
MOST_FILES = 5000
_ALONE = 8
"""So few files are read in this process: to start others takes longer."""


@dataclass(frozen=True)
class Member:
    """A machine of the fleet, by the run that speaks for it."""

    label: str
    digest: Digest
    files: int = 1


@dataclass(frozen=True)
class Kind:
    """Machines that may be compared with each other."""

    label: str
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Fleet:
    members: tuple[Member, ...]
    kinds: tuple[Kind, ...]
    files: int
    """All that were named or found."""
    rejected: tuple[Digest, ...] = ()
    copies: tuple[tuple[str, str], ...] = ()
    """(file, the file whose figures it repeats)."""
    others: tuple[Digest, ...] = field(default=())
    """Further runs of machines that have a better or newer one."""


def paths_of(named: Iterable[Path]) -> list[Path]:
    """The files that were named, and those in the folders that were named; ResultsError for none.
    A folder may be a stranger's: links that lead out of it are not followed."""
    found: list[Path] = []
    for path in named:
        found += _within(path) if path.is_dir() else [path]
    unique = list(dict.fromkeys(found))
    if not unique:
        raise ResultsError("results", "no results file was named or found")
    if len(unique) > MOST_FILES:
        raise ResultsError("results", f"{len(unique)} files: more than {MOST_FILES} are not read")
    return unique


def _within(folder: Path) -> list[Path]:
    root = folder.resolve()
    return [path for path in find_files(folder) if path.resolve().is_relative_to(root)]


def read(paths: Sequence[Path]) -> list[Digest]:
    """A digest of each file, in their order, by as many processes as there are CPUs."""
    workers = min(len(os.sched_getaffinity(0)), len(paths))
    if len(paths) <= _ALONE or workers < 2:
        return [digest(path) for path in paths]
    context = multiprocessing.get_context("forkserver")
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
        return list(pool.map(digest, paths, chunksize=max(1, len(paths) // (8 * workers))))


def gather(digests: Sequence[Digest]) -> Fleet:
    """The fleet that these files are of."""
    rejected = [found for found in digests if found.problem]
    sound, copies = _without_copies([found for found in digests if not found.problem])
    by_machine: dict[str, list[Digest]] = {}
    for found in _doubting(sound):
        by_machine.setdefault(found.machine, []).append(found)
    chosen, others = [], []
    for runs in by_machine.values():
        runs.sort(key=_worth, reverse=True)
        chosen.append((runs[0], len(runs)))
        others += runs[1:]
    members = _labelled(chosen)
    return Fleet(members, _kinds(members), len(digests), tuple(rejected), copies, tuple(others))


def _without_copies(digests: Sequence[Digest]) -> tuple[list[Digest], tuple[tuple[str, str], ...]]:
    first: dict[tuple[str, str], Digest] = {}
    copies = []
    for found in digests:
        key = (found.machine, found.content)
        if key in first:
            copies.append((found.where, first[key].where))
        else:
            first[key] = found
    return list(first.values()), tuple(copies)


def _doubting(digests: Sequence[Digest]) -> list[Digest]:
    """Files that say they are the same run and yet differ: at least one was changed. None of them
    competes for a best variant."""
    runs: dict[tuple[str, str, str], int] = {}
    for found in digests:
        runs[found.run] = runs.get(found.run, 0) + 1
    mark = f"{CHANGED_BY_HAND} another file of the same run differs"
    return [
        replace(found, marks=(*found.marks, mark), places={}) if runs[found.run] > 1 else found
        for found in digests
    ]


def _worth(found: Digest) -> tuple[bool, bool, bool, str, int]:
    """What makes one run of a machine speak for it: figures that hold, all of them, the newest."""
    doubted = any(mark.startswith(CHANGED_BY_HAND) for mark in found.marks)
    return (bool(found.places), not doubted, found.complete, found.run[1], len(found.places))


def _labelled(chosen: Sequence[tuple[Digest, int]]) -> tuple[Member, ...]:
    """By CPU, then by the name of the node. Its name, if it has one alone, and else the machine's hash
    is in the label, since fleets repeat CPUs."""
    ordered = sorted(chosen, key=lambda pair: (pair[0].kind, pair[0].node, pair[0].machine))
    nodes = [found.node for found, _ in ordered]
    labels = [
        f"{found.cpu} {found.node if nodes.count(found.node) == 1 and found.node else ''}".strip()
        for found, _ in ordered
    ]
    return tuple(
        Member(
            label if label != found.cpu else f"{label} {found.machine.rsplit('-', 1)[-1]}",
            found,
            files,
        )
        for label, (found, files) in zip(labels, ordered, strict=True)
    )


def _kinds(members: Sequence[Member]) -> tuple[Kind, ...]:
    groups: dict[str, list[Member]] = {}
    for member in members:
        groups.setdefault(member.digest.kind, []).append(member)
    found = []
    for group in groups.values():
        first = group[0].digest
        name = f"{first.cpu}, {first.level or 'unknown instruction set'}"
        if first.family:
            name += f" ({first.family})"
        found.append(Kind(name, tuple(group)))
    return tuple(sorted(found, key=lambda kind: -len(kind.members)))


def count_text(fleet: Fleet) -> str:
    """ "3 machines, 5 files": machines are counted, not files."""
    count = len(fleet.members)
    text = f"{count} machine" + ("s" if count != 1 else "")
    return text if fleet.files == count else f"{text}, {fleet.files} files"
