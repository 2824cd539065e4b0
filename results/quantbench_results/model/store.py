# SPDX-License-Identifier: Apache-2.0
"""What was found out about a model, in a JSON file that is rewritten after every matrix: a run that is
interrupted goes on where it ended, if it is asked the same of the same file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
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
from quantbench_results.rows import Results


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

    def write_table(self, path: Path) -> None:
        """The small part alone, a line for each of its entries."""
        small = table(self.data)
        lines = []
        for key, value in small.items():
            if isinstance(value, list) and value and isinstance(value[0], dict):
                entries = ",\n  ".join(json.dumps(entry, allow_nan=False) for entry in value)
                lines.append(f"{json.dumps(key)}: [\n  {entries}\n ]")
            else:
                lines.append(f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}")
        write_text(path, "{\n " + ",\n ".join(lines) + "\n}\n")

    def _write(self) -> None:
        write_text(self.path, json.dumps(self.data, indent=1, allow_nan=False) + "\n")


_MACHINE = {"cpu_features": "isa_enabled", "compiler": "compiler", "revision": "git_revision", "date": "date"}


def machine(results: Results) -> dict[str, str]:
    """Where times were measured: the CPU by its features, since names of virtual ones say nothing."""
    return {name: results.text(key) for name, key in _MACHINE.items()}


def table(data: Mapping[str, Any]) -> dict[str, Any]:
    """The small part of a whole file that a picture is drawn from: matrices by shape, every choice for the
    whole model, the plans by how many matrices have which format, and the passes."""
    shapes: dict[tuple[int, int], int] = {}
    for record in data["tensors"]:
        shape = record["n"], record["k"]
        shapes[shape] = shapes.get(shape, 0) + 1
    kept = ("choice", "error", "nmse", "output", "bits", "nbytes", "ns", "spread", "limit_ns", "elsewhere")
    return {
        "quantbench_model": data["quantbench_model"], "complete": data["complete"],
        "machine": data["machine"], "m": data["m"], "threads": data["threads"],
        "tensors": [{"n": n, "k": k, "count": count} for (n, k), count in shapes.items()],
        "totals": [{key: rounded(total[key]) for key in kept} for total in data["totals"]],
        "plans": [
            {**{key: rounded(plan[key]) for key in ("least", "budget", "ns", "error", "nbytes")},
             "counts": counts(plan["choices"].values())}
            for plan in data["plans"]
        ],
        "passes": [{key: rounded(value) for key, value in entry.items()} for entry in data["passes"]],
    }  # fmt: skip


def counts(choices: Iterable[str]) -> dict[str, int]:
    """How many matrices have each choice, the most first."""
    found: dict[str, int] = {}
    for choice in choices:
        found[choice] = found.get(choice, 0) + 1
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def rounded(value: Any) -> Any:
    """Floating-point numbers of four digits, wherever they are."""
    if isinstance(value, Mapping):
        return {key: rounded(part) for key, part in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def plan_data(plan: Plan, names: Sequence[str]) -> dict[str, Any]:
    """A plan as JSON: its budget, what it comes to, and a choice for each matrix."""
    return {
        "least": "time" if plan.budget.fastest else "error",
        "budget": {k: v for k, v in dataclasses.asdict(plan.budget).items() if v is not None},
        "ns": plan.ns, "error": plan.error, "nbytes": plan.nbytes,
        "choices": {name: o.name for name, o in zip(names, plan.chosen, strict=True)},
    }  # fmt: skip
