# SPDX-License-Identifier: Apache-2.0
"""The one error that the tools report: a file or a program that can't be used, and why."""

from __future__ import annotations

from pathlib import Path

from quantbench_results.text import printable


class ResultsError(Exception):
    """Which file or program can't be used, and what is wrong with it, in one line."""

    def __init__(self, path: Path | str, problem: str, details: str = ""):
        super().__init__(f"{printable(str(path))}: {printable(problem)}")
        self.path = Path(path)
        self.problem = problem
        self.details = details
        """Lines that may follow the message: texts that are too long for one line."""
