# SPDX-License-Identifier: Apache-2.0
"""The fleet's ReFrame tests, run by ReFrame on this machine with a program in quantbench's place.

Skipped without ReFrame (scripts/install-deps.sh --fleet); QB_REQUIRE_REFRAME=1 makes that a failure.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import sample

from quantbench_results import export, load

FLEET = Path(__file__).parents[2] / "bench/fleet"
REFRAME = Path(sys.executable).with_name("reframe")

pytestmark = pytest.mark.skipif(
    not REFRAME.exists() and os.environ.get("QB_REQUIRE_REFRAME") != "1", reason="no ReFrame here"
)

# Copies the results that lie beside it, and says which program it is.
FAKE = """#!/bin/sh
for a; do case $a in --benchmark_out=*) cp "$(dirname "$0")/$(basename "$0").json" "${a#*=}";; esac; done
exit 0
"""
# A partition whose nodes say that they are of another architecture.
SETTINGS = """
def part(name, machine):
    return {"name": name, "scheduler": "local", "launcher": "local", "environs": ["static"],
            "prepare_cmds": ["export PATH=%s/" + machine + ":$PATH QB_NODE=" + name]}
site_configuration = {
    "systems": [{"name": "mixed", "hostnames": [".*"],
                 "partitions": [part("zen", "x86_64"), part("graviton", "aarch64")]}],
    "environments": [{"name": "static", "features": ["static"]}],
}
"""


def results_of(cpu: str, scale: float, **context) -> str:
    """Like a run's file, of rows that are right, in the form in which quantbench writes it."""
    data = sample({"cpu_name": cpu, **context}, scale)
    data["benchmarks"] = [e for e in data["benchmarks"] if "error_occurred" not in e]
    return json.dumps(data, indent=2)


@pytest.fixture
def fleet(tmp_path):
    """Programs for two architectures, and settings with a partition of each."""
    binaries = tmp_path / "bin"
    for machine, text in (
        ("x86_64", results_of("Zen", 1.0)),
        ("aarch64", results_of("Graviton", 2.0)),
    ):
        (tmp_path / machine).mkdir()
        program, uname = binaries / f"quantbench-{machine}", tmp_path / machine / "uname"
        binaries.mkdir(exist_ok=True)
        program.write_text(FAKE)
        (binaries / f"quantbench-{machine}.json").write_text(text)
        uname.write_text(f"#!/bin/sh\n[ $1 = -m ] && echo {machine} || echo host\n")
        program.chmod(0o755)
        uname.chmod(0o755)
    (tmp_path / "settings.py").write_text(SETTINGS % tmp_path)
    return tmp_path


def reframe(folder: Path, *options: str, settings: str = "settings.py"):
    """The exit status, what it printed, and the report's test cases by partition."""
    report = folder / "report.json"
    done = subprocess.run(
        [REFRAME, "-C", folder / settings, "-c", FLEET / "quantbench_reframe.py", "--nocolor", "-r",
         f"--prefix={folder / 'reframe'}", "-n", "QuantbenchStatic", f"--report-file={report}",
         "-S", f"QuantbenchStatic.binaries={folder / 'bin'}", "-S", f"kept={folder / 'kept'}",
         "-S", f"store={folder / 'store'}", *options],
        cwd=folder, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    cases = json.loads(report.read_text())["runs"][-1]["testcases"] if report.exists() else []
    return done.returncode, done.stdout + done.stderr, {case["partition"]: case for case in cases}


def test_each_architecture_runs_its_binary_and_its_file_is_kept_and_stored(fleet):
    status, said, cases = reframe(fleet)
    assert status == 0, said
    assert set(cases) == {"zen", "graviton"} and all(c["result"] == "pass" for c in cases.values())
    names = {
        name: load.load(fleet / f"kept/mixed-{name}/{name}.json").text("cpu_name") for name in cases
    }
    assert names == {"zen": "Zen", "graviton": "Graviton"}
    assert sorted(path.parent.name.split("-")[0] for path in fleet.glob("store/*/*.json")) == [
        "graviton",
        "zen",
    ]


def test_figures_have_units_and_are_those_of_the_file(fleet):
    _, said, cases = reframe(fleet)
    found = {key.split(":")[-1]: value for key, value in cases["zen"]["perfvalues"].items()}
    assert found["absmax_L1_rate"][0] == pytest.approx(32, rel=1e-3), said
    assert found["absmax_L1_rate"][4] == "GB/s" and found["absmax_L1_share"][4] == "%"
    assert found["matmul_a8_m_1_rate"][4] == "Gop/s"
    assert len(found) == len(export.figures(load.load(fleet / "kept/mixed-zen/zen.json")))


@pytest.mark.parametrize(("least", "status"), [(-0.1, 0), (-0.01, 1)])
def test_references_of_a_partition_have_thresholds(fleet, least, status):
    """32 GB/s on zen, 16 on graviton: 5 % above what is measured there passes 10 % and fails 1 %."""
    wanted = {"mixed:graviton": {"absmax_L1_rate": [16 * 1.05, least, None, "GB/s"]},
              "mixed:zen": {"absmax_L1_rate": [32, -0.01, 0.01, "GB/s"]}}  # fmt: skip
    (fleet / "wanted.json").write_text(json.dumps(wanted))
    got, said, cases = reframe(fleet, "-S", "references=wanted.json")
    assert got == status, said
    assert cases["zen"]["result"] == "pass"
    assert cases["graviton"]["result"] == ("fail" if status else "pass")
    assert ("absmax_L1_rate" in said and "failed to meet reference" in said) == bool(status)


def test_exported_references_are_read(fleet):
    reframe(fleet)
    file = fleet / "kept/mixed-zen/zen.json"
    wanted = fleet / "wanted.json"
    assert (
        export.main([str(file), "--to=reframe", "--partition=mixed:zen", f"--output={wanted}"]) == 0
    )
    status, said, _ = reframe(fleet, "-S", "references=wanted.json")
    assert status == 0, said


def test_what_did_not_finish_is_named_and_not_stored(fleet):
    (fleet / "bin/quantbench-aarch64.json").write_text(results_of("Graviton", 2.0, complete=False))
    status, said, cases = reframe(fleet)
    assert status == 1 and cases["zen"]["result"] == "pass"
    assert "graviton.json: interrupted after" in said
    assert [path.parent.name.split("-")[0] for path in fleet.glob("store/*/*.json")] == ["zen"]
    (fleet / "bin/quantbench-aarch64.json").write_text(results_of("Graviton", 2.0))
    assert reframe(fleet)[0] == 0, "the same command completes it"


def test_a_wrong_kernel_fails_and_is_named(fleet):
    (fleet / "bin/quantbench-x86_64.json").write_text(json.dumps(sample({"cpu_name": "Zen"})))
    status, said, cases = reframe(fleet)
    assert status == 1 and cases["graviton"]["result"] == "pass"
    assert "zen.json: failed: absmax/f16/avx2/n:4096" in said


def test_a_node_without_a_binary_is_named(fleet):
    (fleet / "bin/quantbench-aarch64").unlink()
    status, said, _ = reframe(fleet)
    assert status == 1 and "no results: no program" in said and "aarch64" in said


@pytest.mark.parametrize("system", ["laptop", "container", "cluster"])
def test_the_settings_are_ones_that_reframe_takes(fleet, system):
    shutil.copy(FLEET / "settings.py", fleet / "own.py")
    done = subprocess.run(
        [REFRAME, "-C", fleet / "own.py", f"--system={system}", "-c", FLEET / "quantbench_reframe.py", "-l"],
        cwd=fleet, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0 and "QuantbenchStatic" in done.stdout, done.stdout + done.stderr
    assert ("QuantbenchBuilt" in done.stdout) == (system != "container")
