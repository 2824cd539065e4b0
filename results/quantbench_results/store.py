# SPDX-License-Identifier: Apache-2.0
"""Where results files are kept, and in which form.

A kept file is evidence, and small: Google Benchmark's JSON without the aggregates, which follow from
the repetitions, without spaces, and with one row a line, so that a difference can be read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quantbench_results.rows import Results

# What makes two files those of one machine, set up and compiled alike. Not here: what changes from
# run to run (load, date, measured limits), and the suite's revision.
MACHINE_KEYS = (
    "arch",
    "cpu_name",
    "cpu_family_model_stepping",
    "cpu_flags",
    "num_cpus",
    "caches_sysfs",
    "compiler",
    "compiler_flags",
    "build_type",
    "isa_enabled",
    "virtualised",
    "emulated",
    "governor",
    "huge_pages",
)

# Which of several machines of one kind it is, if whoever ran it said so by
# --benchmark_context=node=NAME: without a name twenty equal nodes are one machine.
NODE = "node"


def cpu_slug(context: Mapping[str, Any]) -> str:
    """The CPU's name fit for a folder: "AMD EPYC 7B13" -> "amd-epyc-7b13"."""
    name = str(context.get("cpu_name", ""))
    name = re.sub(r"\((r|tm|c)\)|\b(cpu|processor)\b|@.*", " ", name, flags=re.IGNORECASE)
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:48].strip("-")
    return slug or "unknown-cpu"


def context_hash(context: Mapping[str, Any]) -> str:
    """Eight hex digits that machines set up and compiled alike share (see MACHINE_KEYS), and the
    name of the node if the file has one."""
    keys = [*MACHINE_KEYS, NODE] if context.get(NODE) else MACHINE_KEYS
    facts = json.dumps([[key, context.get(key)] for key in keys], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()[:8]


def store_path(context: Mapping[str, Any], root: Path | str = "results") -> Path:
    """Where a file with this context is kept: <root>/<cpu>-<hash>/<date>-<revision>.json."""
    date = re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d):(\d\d):(\d\d)\S*", str(context.get("date", "")))
    when = f"{date[1]}T{date[2]}{date[3]}{date[4]}" if date else "0000-00-00"
    revision = re.sub(r"[^0-9A-Za-z._-]", "", str(context.get("git_revision", "")))[:16].strip(".")
    if str(context.get("git_dirty", "no")) == "yes":
        revision += "-dirty"
    folder = f"{cpu_slug(context)}-{context_hash(context)}"
    return Path(root) / folder / f"{when}-{revision or 'unknown'}.json"


def machine_id(results: Results) -> str:
    """The folder of a machine's files: its CPU's name and the hash of how it is set up."""
    return f"{cpu_slug(results.context)}-{context_hash(results.context)}"


def count_text(files: Sequence[Results]) -> str:
    """ "3 machines, 5 files": files of one machine are one machine."""
    machines = len({machine_id(results) for results in files})
    text = f"{machines} machine" + ("s" if machines != 1 else "")
    return text if machines == len(files) else f"{text}, {len(files)} files"


def compact(data: Mapping[str, Any]) -> str:
    """A file's JSON in the form in which it is kept."""
    entries = data["benchmarks"]
    repeated = {_run_name(entry) for entry in entries if not _is_aggregate(entry)}
    kept = [
        entry for entry in entries
        if not _is_aggregate(entry) or _run_name(entry) not in repeated
    ]  # fmt: skip
    parts = [f"{_dump(key)}:{_dump(value)}" for key, value in data.items() if key != "benchmarks"]
    rows = ",\n".join(_dump(entry) for entry in kept)
    return "{" + ",\n".join([*parts, f'"benchmarks":[\n{rows}\n]']) + "}\n"


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _is_aggregate(entry: Mapping[str, Any]) -> bool:
    return entry.get("run_type") == "aggregate"


def _run_name(entry: Mapping[str, Any]) -> Any:
    return entry.get("run_name", entry["name"])
