# SPDX-License-Identifier: Apache-2.0
"""What was found out about a model, in a JSON file that is rewritten after every matrix: a run that is
interrupted goes on where it ended, if it is asked the same of the same file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quantbench_results.errors import ResultsError
from quantbench_results.figures.model import VERSION
from quantbench_results.files import write_text
from quantbench_results.load import read_json
from quantbench_results.model.plan import Plan
from quantbench_results.model.reading import Skipped
from quantbench_results.model.speeds import Speeds
from quantbench_results.model.totals import Total


class Store:
    """The file of one model."""

    def __init__(self, path: Path, asked: Mapping[str, Any]):
        """`asked` is what the records depend on: the model's file, the formats, the activations."""
        self.path = path
        self.data: dict[str, Any] = {
            "quantbench_model": VERSION, "complete": False, "asked": dict(asked),
            "tensors": [], "skipped": [],
        }  # fmt: skip
        self._known = {record["name"]: record for record in self._earlier(asked)}

    def _earlier(self, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The records of an earlier run that was asked the same."""
        if not self.path.is_file():
            return []
        old = read_json(self.path)
        if not isinstance(old, dict) or old.get("quantbench_model") != VERSION:
            raise ResultsError(self.path, "is there, and no file of quantbench-formats: not replaced")
        same = old.get("asked") == json.loads(json.dumps(asked))
        return old["tensors"] if same and isinstance(old.get("tensors"), list) else []

    def known(self, name: str) -> dict[str, Any] | None:
        return self._known.get(name)

    def add(self, record: dict[str, Any]) -> None:
        self.data["tensors"].append(record)
        self._write()

    def skip(self, skipped: Sequence[Skipped]) -> None:
        self.data["skipped"] += [dataclasses.asdict(entry) for entry in skipped]
        self._write()

    def finish(
        self, speeds: Speeds, totals: Sequence[Total], plans: Sequence[Plan], about: Mapping[str, Any]
    ) -> None:
        """Adds what follows from the records, and marks the file as complete."""
        self.data |= about
        self.data["speeds"] = [
            {"choice": choice, "n": n, "k": k, "m": m, **dataclasses.asdict(speed)}
            for (choice, n, k, m), speed in speeds.items()
        ]
        self.data["totals"] = [dataclasses.asdict(total) for total in totals]
        names = [record["name"] for record in self.data["tensors"]]
        self.data["plans"] = [plan_data(plan, names) for plan in plans]
        self.data["complete"] = True
        self._write()

    def _write(self) -> None:
        write_text(self.path, json.dumps(self.data, indent=1, allow_nan=False) + "\n")


def plan_data(plan: Plan, names: Sequence[str]) -> dict[str, Any]:
    """A plan as JSON: its budget, what it comes to, and a choice for each matrix."""
    return {
        "least": "time" if plan.budget.fastest else "error",
        "budget": {k: v for k, v in dataclasses.asdict(plan.budget).items() if v is not None},
        "ns": plan.ns, "error": plan.error, "nbytes": plan.nbytes,
        "choices": {name: o.name for name, o in zip(names, plan.chosen, strict=True)},
    }  # fmt: skip
