# SPDX-License-Identifier: Apache-2.0
"""The GitHub workflow only names stages that .ci/run has."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def test_every_stage_that_the_workflow_names_is_one():
    stages = re.findall(
        r"^ *(?:stage|advisory) '([^']+)'", (ROOT / ".ci/run").read_text(), re.MULTILINE
    )
    named = re.findall(r'stages: "([^"]+)"', (ROOT / ".github/workflows/ci.yml").read_text())
    assert len(stages) > 5 and len(named) > 5
    for choice in named:
        for part in choice.split("|"):
            assert any(re.search(part, stage) for stage in stages), part


def test_every_stage_is_run_by_some_job():
    stages = re.findall(
        r"^ *(?:stage|advisory) '([^']+)'", (ROOT / ".ci/run").read_text(), re.MULTILINE
    )
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    named = re.findall(r'stages: "([^"]+)"', workflow)
    if 'image: "debian:13"' in workflow:  # jobs in such a container need not make one
        named.append("Debian 13")
    left = [s for s in stages if s != "packages" and not any(re.search(n, s) for n in named)]
    assert left == []


def fleet():
    return yaml.safe_load((ROOT / ".github/workflows/fleet.yml").read_text(encoding="utf-8"))


def test_the_fleet_is_measured_on_both_architectures_and_appended():
    jobs = fleet()["jobs"]
    runners = {entry["runner"] for entry in jobs["measure"]["strategy"]["matrix"]["include"]}
    assert runners == {"ubuntu-24.04", "ubuntu-24.04-arm"}
    steps = [step.get("run", "") for step in jobs["append"]["steps"]]
    assert any("--store" in step and "push" in step for step in steps)
    (draw,) = (s for s in jobs["series"]["steps"] if "github-action-benchmark" in s.get("uses", ""))
    assert draw["with"]["tool"] == "googlecpp"


def test_the_fleets_workflow_names_files_and_tools_that_are_there():
    text = (ROOT / ".github/workflows/fleet.yml").read_text(encoding="utf-8")
    for name in re.findall(r"\b(?:bench|scripts)/[\w./-]+\.sh", text):
        assert (ROOT / name).is_file(), name
    scripts = (ROOT / "results/pyproject.toml").read_text(encoding="utf-8")
    tools = set(re.findall(r"\.venv/bin/(quantbench-\w+)", text))
    assert tools == {"quantbench-validate", "quantbench-export", "quantbench-report"}
    assert all(f"{tool} =" in scripts for tool in tools)
    # Only the jobs that push may write.
    assert fleet()["permissions"] == {"contents": "read"}
