# SPDX-License-Identifier: Apache-2.0
"""Every command of the results tools that README and docs show is run, on small data, as it stands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import sample
from test_front_model import found as model_found

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TOOL = re.compile(r"(?:\.venv/bin/)?quantbench-(report|compare|choose|validate|predict|export)\b")
# What the pages call the files and programs of a reader.
FILES = ("quantbench.json", "old.json", "new.json", "a.json", "b.json", "c.json", "d.json", "e.json",
         "f.json", "a1.json", "a2.json", "a3.json", "b1.json", "b2.json", "b3.json")  # fmt: skip
PROGRAMS = ("OLD", "NEW", "build/base/build/gate/bench/quantbench", "build/gate/bench/quantbench")


def shown_commands() -> list[tuple[str, str]]:
    """(page, command): lines of code blocks, with what continues them, and code within lines."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        lines = [line.strip() for block in blocks
                 for line in re.sub(r"\\\n\s*", "", block).splitlines()]  # fmt: skip
        prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        lines += [re.sub(r"\s+", " ", code) for code in re.findall(r"`([^`]+)`", prose)]
        for line in lines:
            command = line.split("   #")[0].strip()
            if TOOL.match(command) and " " in command:  # more than the tool's name
                found.append((page.name, command))
    return found


COMMANDS = shown_commands()


def test_the_pages_show_commands():
    assert len(COMMANDS) > 8
    assert {TOOL.match(command)[1] for _, command in COMMANDS} >= {"report", "compare", "validate"}


@pytest.fixture
def reader(tmp_path):
    """A folder like a reader's: results files by the pages' names, programs, stored results."""
    data = sample()
    data["benchmarks"] = [e for e in data["benchmarks"] if "/f16/" not in e["name"]]  # none failed
    text = json.dumps(data | {"context": data["context"] | {"operations": {"absmax/f32": "absmax_f32"}}})
    for name in FILES:
        (tmp_path / name).write_text(text, encoding="utf-8")
    for name in ("results/example-1/2026-01-02T030405-abc.json", "results/latest.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "model.json").write_text(json.dumps(model_found()), encoding="utf-8")
    for folder in ("results/tests", "results/predicted"):  # as results/*/ finds them here
        (tmp_path / folder).mkdir()
    (tmp_path / "README.md").write_text(
        "<!-- results: begin -->\n<!-- results: end -->\n", encoding="utf-8"
    )
    for name in PROGRAMS:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            "#!/bin/sh\nfor a; do case $a in --benchmark_out=*) cp old.json \"${a#*=}\";; esac; done\n"
        )
        path.chmod(0o755)
    folder = tmp_path / ".venv/bin"
    folder.mkdir(parents=True)
    for tool in ("report", "compare", "choose", "validate", "export"):
        script = folder / f"quantbench-{tool}"
        script.write_text(f'#!/bin/sh\nexec {sys.executable} -m quantbench_results.{tool} "$@"\n')
        script.chmod(0o755)
    return tmp_path


def run(reader: Path, command: str) -> subprocess.CompletedProcess:
    path = f"{reader}/.venv/bin:{os.environ['PATH']}"
    return subprocess.run(["sh", "-c", command], cwd=reader, env={**os.environ, "PATH": path},
                          capture_output=True, text=True, check=False, timeout=120)  # fmt: skip


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_a_command_that_a_page_shows_works(reader, page, command):
    command = re.sub(r"<results file>|results/<machine>/<file>\.json", "quantbench.json", command)
    command = re.sub(r"--write-tuning$", "quantbench.json --write-tuning tuning.json", command)
    # A reader has the quantbench program to measure a layer with; here a file has it.
    command = command.replace("--layer 11008x4096 --m 1,128", "quantbench.json --layer 1024x1024 --m 1,32")
    # Baselines are kept by the command before.
    if "--baseline" in command:
        assert run(reader, "quantbench-compare a.json,b.json --save-baseline main").returncode == 0
    done = run(reader, command)
    assert done.returncode == 0, f"{page}: {command}\n{done.stdout[-2000:]}\n{done.stderr}"
    assert "Traceback" not in done.stderr
