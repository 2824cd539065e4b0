# SPDX-License-Identifier: Apache-2.0
"""Writes the fleet's page, its summary and, if asked, the list of stored files; reads each file once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quantbench_results import files, fleet
from quantbench_results.errors import ResultsError
from quantbench_results.fleet_markdown import fleet_markdown
from quantbench_results.fleet_page import fleet_page
from quantbench_results.index import index_markdown, stored_files
from quantbench_results.text import printable


def write_fleet(named: Sequence[Path], prefix: Path, indexed: Path | None = None) -> int:
    """Writes PREFIX.html and PREFIX.md of these files and folders, and index.md of the folder
    `indexed`. ResultsError if there is nothing to show."""
    paths = fleet.paths_of(named)
    listed = stored_files(indexed) if indexed else []
    digests = dict(zip(paths, fleet.read(paths), strict=True))
    further = [path for path in listed if path not in digests]
    digests.update(zip(further, fleet.read(further), strict=True))
    found = fleet.gather([digests[path] for path in paths])
    if not found.members:
        first = found.rejected[0]
        raise ResultsError(first.where, f"{first.problem}; none of {len(paths)} files can be shown")
    written = [
        (prefix.with_name(prefix.name + ".html"), fleet_page(found)),
        (prefix.with_name(prefix.name + ".md"), fleet_markdown(found)),
    ]
    if indexed:
        text = index_markdown(indexed, [digests[path] for path in listed])
        written.append((indexed / "index.md", text))
    for path, content in written:
        files.write_text(path, content)
        print(printable(str(path)))
    return 0
