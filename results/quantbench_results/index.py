# SPDX-License-Identifier: Apache-2.0
"""The list of stored files, results/index.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quantbench_results import fleet
from quantbench_results.fleet_digest import Digest
from quantbench_results.markdown import md_table
from quantbench_results.text import md

_TITLES = (
    "CPU",
    "instruction sets",
    "compiler",
    "date",
    "revision",
    "rows",
    "failed",
    "run",
    "peers timed",
    "file",
)


def stored_files(root: Path) -> list[Path]:
    """Those under root; links that lead out of it are not followed."""
    top = root.resolve()
    return sorted(p for p in root.glob("*/????-??-??*.json") if p.resolve().is_relative_to(top))


def index_markdown(root: Path, digests: Sequence[Digest] | None = None) -> str:
    """Every stored file under root, by machine; files that can't be read are named. `digests` are
    those of stored_files(root), where a caller has them already."""
    paths = stored_files(root)
    found = fleet.read(paths) if digests is None else digests
    lines, broken = [], []
    for path, digest in zip(paths, found, strict=True):
        where = path.relative_to(root).as_posix()
        if digest.index:
            lines.append((*digest.index, where))
        else:
            broken.append(f"- {md(where)}: {md(digest.problem)}")
    machines = len({digest.machine for digest in found if digest.index})
    count = f"{machines} machine{'s' if machines != 1 else ''}"
    if machines != len(lines):
        count += f", {len(lines)} files"
    out = ["# Results", "", f"{count}. CPUs of one name are several machines here if they were set up "
           "or compiled differently.", ""]  # fmt: skip
    out += md_table(_TITLES, lines)
    if broken:
        out += ["Unreadable:", "", *broken, ""]
    return "\n".join(out).rstrip() + "\n"
