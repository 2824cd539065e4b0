# SPDX-License-Identifier: Apache-2.0
"""bench/fleet: the manifest by Kubernetes' published schema, the script that runs on every node with a
program in quantbench's place, and what is said of files that are not complete."""

from __future__ import annotations

import copy
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

FLEET = Path(__file__).parents[2] / "bench/fleet"
MANIFEST = FLEET / "kubernetes/jobs.yaml"


def documents():
    return list(yaml.safe_load_all(MANIFEST.read_text(encoding="utf-8")))


def check(document):
    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def test_the_manifest_is_valid_by_the_published_schema():
    found = documents()
    assert [d["kind"] for d in found] == ["PersistentVolumeClaim", "Job", "Job", "Job"]
    for document in found:
        check(document)


@pytest.mark.parametrize("spoil", ["completionMod", "completions"])
def test_a_wrong_manifest_is_not(spoil):
    job = copy.deepcopy(documents()[1])
    if spoil == "completions":
        job["spec"][spoil] = "three"
    else:
        job["spec"][spoil] = job["spec"].pop("completionMode")
    with pytest.raises(kubernetes_validate.ValidationError):
        check(job)


def test_each_family_has_an_indexed_job_with_nodes_of_its_own():
    claim, *jobs = documents()
    selectors = []
    for job in jobs:
        spec, pod = job["spec"], job["spec"]["template"]["spec"]
        assert spec["completionMode"] == "Indexed" and spec["completions"] == spec["parallelism"]
        selectors.append(pod["nodeSelector"])
        assert pod["nodeSelector"]["kubernetes.io/arch"] in ("amd64", "arm64")
        (rule,) = pod["affinity"]["podAntiAffinity"][
            "requiredDuringSchedulingIgnoredDuringExecution"
        ]
        assert rule["topologyKey"] == "kubernetes.io/hostname"
        (container,) = pod["containers"]
        resources = container["resources"]
        assert resources["requests"] == resources["limits"], "whole CPUs: the kubelet pins them"
        assert resources["limits"]["cpu"].isdigit()
        (volume,) = pod["volumes"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert container["volumeMounts"] == [{"name": volume["name"], "mountPath": "/results"}]
        assert container["env"][0]["valueFrom"]["fieldRef"]["fieldPath"] == "spec.nodeName"
    assert len({json.dumps(selector, sort_keys=True) for selector in selectors}) == len(jobs)


def test_the_image_has_what_the_manifest_runs():
    text = (FLEET / "kubernetes/Dockerfile").read_text(encoding="utf-8")
    for copied in (
        "build/quantbench-x86_64",
        "build/quantbench-aarch64",
        "bench/fleet/run-on-node.sh",
    ):
        assert copied in text
    assert 'ENTRYPOINT ["/opt/quantbench/run-on-node.sh", "/opt/quantbench", "/results"]' in text


FAKE = """#!/bin/sh
echo "$(basename "$0") $*" >> "$(dirname "$0")/calls"
for a; do case $a in --benchmark_out=*) echo '{"context": {
  "complete": %s
 }, "benchmarks": []}' > "${a#*=}";; esac; done
exit %d
"""


@pytest.fixture
def programs(tmp_path):
    """A folder with a program for each architecture, which writes down how it was called, and a
    `uname` that says another one."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def make(complete="true", status=0, machine="x86_64"):
        for arch in ("x86_64", "aarch64"):
            write(folder / f"quantbench-{arch}", FAKE % (complete, status))
        write(folder / "uname", f"#!/bin/sh\n[ $1 = -m ] && echo {machine} || echo host\n")
        return folder

    def write(path, text):
        path.write_text(text, encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    return make


def run(folder, kept, *options, **env):
    path = f"{folder}:{os.environ['PATH']}"
    return subprocess.run(
        [FLEET / "run-on-node.sh", folder, kept, *options], capture_output=True, text=True, check=False,
        env={**os.environ, "PATH": path, **env}, timeout=60)  # fmt: skip


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_a_node_takes_the_binary_of_its_architecture(programs, tmp_path, machine):
    folder = programs(machine=machine)
    done = run(folder, tmp_path / "kept", "--profile=smoke", QB_NODE="n7")
    assert done.returncode == 0, done.stderr
    file = tmp_path / "kept/n7.json"
    assert done.stdout.splitlines()[-2:] == [f"results: {file}", "exit status: 0"]
    first = min(os.sched_getaffinity(0))
    assert (folder / "calls").read_text().split() == [
        f"quantbench-{machine}", f"--benchmark_out={file}", "--resume", "--benchmark_context=node=n7",
        f"--pin={first}", "--profile=smoke"]  # fmt: skip


def test_a_node_of_an_architecture_without_a_binary_says_so(programs, tmp_path):
    done = run(programs(machine="riscv64"), tmp_path / "kept")
    assert done.returncode == 2 and "no program" in done.stderr and "riscv64" in done.stderr


def test_a_complete_file_is_not_measured_again_and_another_is_continued(programs, tmp_path):
    folder = programs(complete="false", status=143)
    assert run(folder, tmp_path, QB_NODE="n1", QB_PIN="no").returncode == 143
    folder = programs()
    assert run(folder, tmp_path, QB_NODE="n1", QB_PIN="no").returncode == 0
    done = run(folder, tmp_path, QB_NODE="n1", QB_PIN="no")
    assert done.returncode == 0 and done.stdout.startswith("complete already\n")
    calls = (folder / "calls").read_text().splitlines()
    assert len(calls) == 2 and not any("--pin" in call for call in calls)


@pytest.mark.parametrize("name", ["../../etc/x", "a b;c", "..", ""])
def test_a_nodes_name_leads_nowhere_else(programs, tmp_path, name):
    kept = tmp_path / "kept"
    done = run(programs(), kept, QB_NODE=name)
    assert done.returncode == 0, done.stderr
    (file,) = kept.iterdir()
    assert file.suffix == ".json" and "/" not in file.name and " " not in file.name


def test_slurms_name_of_the_node_is_taken(programs, tmp_path):
    run(programs(), tmp_path / "kept", SLURMD_NODENAME="n3")
    assert [file.name for file in (tmp_path / "kept").iterdir()] == ["n3.json"]


def test_incomplete_files_are_named(tmp_path):
    for name, text in {
        "a": '{"context": {"complete": true}, "benchmarks": []}',
        "b": '{"context": {"complete": false}, "benchmarks": [{"name": "x"}, {"name": "x"}]}',
        "c": "{",
        "d": "[]",
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")

    def said(*names):
        done = subprocess.run([sys.executable, FLEET / "is-complete.py", *names], cwd=tmp_path,
                              capture_output=True, text=True, check=False)  # fmt: skip
        return done.returncode, done.stdout.splitlines()

    assert said("a") == (0, ["a: complete"])
    assert said("a", "b", "c", "d", "e") == (
        1, ["a: complete", "b: interrupted after 1 rows", "c: not a results file of quantbench",
            "d: not a results file of quantbench", "e: No such file or directory"])  # fmt: skip
    assert said()[0] == 1


@pytest.mark.parametrize("script", ["run-on-node.sh", "slurm-array.sh", "slurm-cluster.sh"])
def test_scripts_say_how_they_are_used(script):
    asked = subprocess.run([FLEET / script, "--help"], capture_output=True, text=True, check=False)
    assert asked.returncode == 0 and script in asked.stdout
    wrong = subprocess.run([FLEET / script], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2 and script in wrong.stderr
