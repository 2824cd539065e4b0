# SPDX-License-Identifier: Apache-2.0
"""From results to a tuning file, and from there to the dispatcher: quantbench and quantbench-choose.

Run by ctest: test_tuning.py PROGRAM [unittest's arguments]. Standard library only."""

import json
import os
import re
import subprocess
import sys
import unittest

from test_runs import Runs, environment


class Tuning(Runs):
    """What quantbench-choose writes, the dispatcher obeys."""

    def choose(self, *args):
        results = os.path.join(os.path.dirname(__file__), "../../results")
        done = subprocess.run([sys.executable, "-m", "quantbench_results.choose", *args],
                              env=environment(PYTHONPATH=results), capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def listed(self, **env):
        """Of matmul_a32_f32 and absmax_f32: (operation, variant) -> what --list says of it."""
        shown, err = self.quantbench("--list", env=env)
        self.assertEqual(err, "")
        return {(op, variant): here.strip() for op, variant, here in re.findall(
            r"^(matmul_a32_f32|absmax_f32) +(\S+) .*(runs.*)$", shown, re.MULTILINE)}

    def test_from_results_to_the_list(self):
        file = self.path("smoke.json")
        self.quantbench("--profile=smoke", "--no-peers", f"--benchmark_out={file}",
                        "--benchmark_filter=^(absmax/f32|matmul/a32.f32)/")
        results = json.loads(self.read(file))
        results["context"]["profile"] = "quick"
        fast = {"m:1/": "autovec", "m:5/": "scalar"}
        for row in results["benchmarks"]:
            op, _, variant, shape = row["run_name"].split("/", 3)
            best = "scalar" if op == "absmax" else next(v for k, v in fast.items() if k in shape)
            row["label"] = "verified:quick"
            row["real_time"] = row["cpu_time"] = 10.0 if variant == best else 100.0
        tuning = self.path("tuning.json")
        self.choose(self.write("results.json", json.dumps(results)), "--write-tuning", tuning)
        self.assertEqual(json.loads(self.read(tuning))["variants"], {
            "absmax_f32": "scalar", "matmul_a32_f32": {"one": "autovec", "many": "scalar"}})
        before, after = self.listed(), self.listed(QB_TUNING=tuning)
        self.assertEqual(after["absmax_f32", "scalar"], "runs, dispatched to")
        self.assertEqual(after["matmul_a32_f32", "autovec"], "runs, dispatched to for rows: one")
        self.assertEqual(after["matmul_a32_f32", "scalar"], "runs, dispatched to for rows: many")
        usual = [v for (op, v), here in before.items()
                 if op == "matmul_a32_f32" and ("few" in here or here == "runs, dispatched to")]
        self.assertEqual(after["matmul_a32_f32", usual[0]], "runs, dispatched to for rows: few")
        self.assertEqual(before.keys(), after.keys())

        tuned = self.path("tuned.json")
        self.quantbench("--profile=smoke", "--no-peers", f"--benchmark_out={tuned}",
                        "--benchmark_filter=^(absmax/f32|matmul/a32.f32)/", env={"QB_TUNING": tuning})
        context = json.loads(self.read(tuned))["context"]
        self.assertEqual(context["dispatched"]["absmax/f32"], "scalar")
        self.assertEqual(context["dispatched"]["matmul/a32.f32"],
                         {"one": "autovec", "few": usual[0], "many": "scalar"})

    def test_rows_say_what_is_dispatched(self):
        file = self.path("smoke.json")
        self.quantbench("--profile=smoke", "--no-peers", f"--benchmark_out={file}",
                        "--benchmark_filter=^(absmax/f32|matmul/a32.f32)/")
        rows = json.loads(self.read(file))["benchmarks"]
        said = {row["run_name"]: row["label"] for row in rows}
        dispatched = json.loads(self.read(file))["context"]["dispatched"]
        products = dispatched["matmul/a32.f32"]
        for name, label in said.items():
            op, _, variant, shape = name.split("/", 3)
            rows = "" if op == "absmax" else "one" if "m:1/" in shape else "many"
            best = dispatched["absmax/f32"] if op == "absmax" else products[rows]
            tail = "; dispatched to" + (f" for rows: {rows}" if rows else "")
            self.assertEqual(tail in label, variant == best, f"{name}: {label}")


if __name__ == "__main__":
    unittest.main()
