# SPDX-License-Identifier: Apache-2.0
"""The GitHub workflow only names stages that .ci/run has."""

from __future__ import annotations

import re
from pathlib import Path

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
