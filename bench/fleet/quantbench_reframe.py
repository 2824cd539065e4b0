# SPDX-License-Identifier: Apache-2.0
"""ReFrame tests that run quantbench on every partition and environment of a fleet.

    reframe -C bench/fleet/settings.py -c bench/fleet/quantbench_reframe.py -r

`QuantbenchStatic` takes the static binaries, in environments with the feature `static`;
`QuantbenchBuilt` builds on the node, in those with the feature `compiles`. A file per node is kept in
`kept`, so that a run that was cut off goes on where it stopped. docs/fleet.md has the options.
"""

import json
import os
import shlex
import subprocess
import sys

import reframe as rfm
import reframe.utility.sanity as sn
from reframe.core.builtins import (
    performance_function,
    run_after,
    run_before,
    sanity_function,
    variable,
)

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "results"))

from quantbench_results import export, load  # noqa: E402
from quantbench_results.errors import ResultsError  # noqa: E402


class Run(rfm.RegressionTestPlugin):
    """What both tests do: run on one whole machine, pinned, and read the file."""

    profile = variable(str, value="quick")
    rows = variable(str, value="")
    """Which rows to run, a regular expression; all if it is empty."""
    arguments = variable(str, value="")
    """Further options of quantbench."""
    kept = variable(str, value="fleet-results")
    """The folder of the nodes' files, which every node must see."""
    store = variable(str, value="")
    """The folder that quantbench-validate --store keeps complete files in; none if it is empty."""
    references = variable(str, value="")
    """A file of quantbench-export --to=reframe: what is expected per partition."""

    @run_after("init")
    def one_whole_machine(self):
        """Nobody else's job beside it. Jobs run in a stage folder, and so paths of the command line
        are made absolute."""
        self.num_tasks = 1
        self.exclusive_access = True
        self.time_limit = self.time_limit or "2h"
        self.valid_systems = ["*"]
        for name in ("kept", "store", "references"):
            if getattr(self, name):
                setattr(self, name, os.path.abspath(getattr(self, name)))

    def run_by(self, binaries):
        """Sets the command that the job runs."""
        self.executable = shlex.quote(os.path.join(HERE, "run-on-node.sh"))
        where = os.path.join(self.kept, self.current_partition.fullname.replace(":", "-"))
        if self.rows:  # another set of rows is another run
            where = os.path.join(
                where, "".join(c if c.isalnum() else "-" for c in self.rows).strip("-")
            )
        words = [binaries, where, f"--profile={self.profile}"]
        if self.rows:
            words.append(f"--benchmark_filter={self.rows}")
        words += shlex.split(self.arguments)
        self.executable_opts = [shlex.quote(word) for word in words]

    @sanity_function
    def complete_and_right(self):
        """The run ended by itself, and every kernel was right."""
        found = sn.evaluate(sn.extractall(r"^results: (.+)$", self.stdout, 1))
        if not found:
            why = sn.evaluate(sn.extractall(r"^run-on-node.sh: (.+)$", self.stderr, 1))
            return sn.assert_true(
                False, msg=f"no results: {why[0] if why else 'the job was ended'}"
            )
        self.file = found[-1]
        try:
            results = load.load(self.file)
        except ResultsError as error:
            return sn.assert_true(False, msg=str(error))
        failed = [row.name for row in results.rows if row.failed]
        self.hand_on(results.complete)
        return sn.all([
            sn.assert_true(results.complete, msg=f"{self.file}: interrupted after {len(results.rows)} "
                                                 "rows; the same command goes on from there"),
            sn.assert_false(failed, msg=f"{self.file}: failed: {', '.join(failed[:5])}"),
            sn.assert_found(r"^exit status: 0$", self.stdout),
        ])  # fmt: skip

    def hand_on(self, complete):
        """To quantbench-validate, which says what is wrong with the file and stores it if it is sound.
        An interrupted one waits for its other rows."""
        command = [sys.executable, "-m", "quantbench_results.validate", self.file]
        if self.store and complete:
            command += ["--store", "--results", self.store]
        path = os.pathsep.join(
            filter(None, (os.path.join(ROOT, "results"), os.environ.get("PYTHONPATH")))
        )
        done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False,
                              capture_output=True, text=True)  # fmt: skip
        with open(os.path.join(self.stagedir, "validated.txt"), "w", encoding="utf-8") as out:
            out.write(done.stdout + done.stderr)
        self.keep_files = ["validated.txt"]

    @run_before("performance")
    def figures(self):
        """Per operation and size the best variant's rate and its share of the limit."""
        try:
            figures = export.figures(load.load(self.file))
        except ResultsError:  # a smoke run, which claims nothing about time
            figures = []
        self.perf_variables = {
            figure.name: sn.make_performance_function(sn.defer(figure.value), figure.unit)
            for figure in figures
        }
        if self.references:
            with open(self.references, encoding="utf-8") as file:
                wanted = json.load(file)
            names = {figure.name for figure in figures}
            self.reference = {
                partition: {name: tuple(value) for name, value in values.items() if name in names}
                for partition, values in wanted.items()
            }


@rfm.simple_test
class QuantbenchStatic(rfm.RunOnlyRegressionTest, Run):
    descr = "quantbench's static binaries, the one for the node's architecture"
    binaries = variable(str, value=os.path.join(ROOT, "build"))
    valid_prog_environs = ["+static"]
    sourcesdir = None

    @run_before("run")
    def static_binary(self):
        self.run_by(os.path.abspath(self.binaries))


@rfm.simple_test
class QuantbenchBuilt(rfm.RegressionTest, Run):
    descr = "quantbench, built by the environment's compiler on the node"
    valid_prog_environs = ["+compiles"]
    sourcesdir = None
    build_locally = False
    build_time_limit = "2h"
    build_system = "CustomBuild"

    @run_before("compile")
    def build(self):
        environment = self.current_environ
        self.build_system.commands = [
            f"cmake -S {shlex.quote(ROOT)} -B build -G Ninja -DCMAKE_BUILD_TYPE=Release "
            f"-DCMAKE_C_COMPILER={environment.cc} -DCMAKE_CXX_COMPILER={environment.cxx}",
            "cmake --build build --target quantbench",
        ]

    @run_before("run")
    def built_binary(self):
        self.run_by(os.path.join(self.stagedir, "build/bench/quantbench"))
