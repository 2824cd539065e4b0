# SPDX-License-Identifier: Apache-2.0
"""quantbench as its users and their machines treat it: odd files, full disks, too few threads,
signals, narrow terminals, hostile text.

Run by ctest: test_runs.py PROGRAM [unittest's arguments]. Standard library only."""

import csv
import fcntl
import io
import json
import os
import pty
import re
import resource
import signal
import stat
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unittest

PROGRAM = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 else ""
SANITIZED = os.environ.get("QB_TEST_SANITIZED") == "1"
SMOKE = ["--profile=smoke", "--no-peers"]
FEW = [*SMOKE, "--benchmark_filter=^absmax/f32/scalar/"]


def environment(**more):
    kept = {k: v for k, v in os.environ.items() if not re.match("BENCHMARK_|QB_|OMP_|COLUMNS", k)}
    return {**kept, **more}


def limited(what, value):
    return lambda: resource.setrlimit(what, (value, resource.getrlimit(what)[1]))


class Runs(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def write(self, name, text):
        with open(self.path(name), "w") as file:
            file.write(text)
        return self.path(name)

    def read(self, path):
        with open(path) as file:
            return file.read()

    def quantbench(self, *args, status=0, says="", env=None, before=None, stdout=subprocess.PIPE):
        done = subprocess.run([PROGRAM, *args], env=environment(**(env or {})), stdout=stdout,
                              stderr=subprocess.PIPE, preexec_fn=before, timeout=120)
        out = (done.stdout or b"").decode(errors="surrogateescape")
        err = done.stderr.decode(errors="surrogateescape")
        self.assertEqual(done.returncode, status, out + err)
        if says:
            self.assertRegex(out + err, says)
        return out, err

    def results(self, path, complete=True):
        with open(path) as file:
            document = json.load(file)
        self.assertIs(document["context"]["complete"], complete)
        return document


class Files(Runs):
    def test_a_fifo_is_written_to_and_not_replaced(self):
        fifo = self.path("out")
        os.mkfifo(fifo)
        read = []
        reader = threading.Thread(target=lambda: read.append(self.read(fifo)), daemon=True)
        reader.start()
        time.sleep(0.2)
        self.quantbench(*FEW, f"--benchmark_out={fifo}")
        reader.join(20)
        self.assertTrue(stat.S_ISFIFO(os.stat(fifo).st_mode))
        self.assertTrue(json.loads(read[0])["context"]["complete"])

    def test_a_fifo_that_nobody_reads_is_refused(self):
        os.mkfifo(self.path("out"))
        self.quantbench(*FEW, f"--benchmark_out={self.path('out')}", status=2, says="nobody reads")

    def test_a_device_stays_one(self):
        self.quantbench(*FEW, "--benchmark_out=/dev/null")
        self.assertTrue(stat.S_ISCHR(os.stat("/dev/null").st_mode))

    def test_the_target_of_a_link_is_replaced_and_the_link_stays(self):
        for name, old in (("real.json", "old"), ("new.json", None)):
            if old:
                self.write(name, old)
            os.makedirs(self.path("links"), exist_ok=True)
            link = self.path("links/" + name)
            os.symlink("../" + name, link)
            self.quantbench(*FEW, f"--benchmark_out={link}")
            self.assertTrue(os.path.islink(link))
            self.results(self.path(name))

    def test_a_loop_of_links_is_refused(self):
        os.symlink("out", self.path("out"))
        self.quantbench(*FEW, f"--benchmark_out={self.path('out')}", status=2, says="can't write")

    def test_files_of_others_beside_it_are_left_alone(self):
        victim, keep = self.write("victim", "precious"), self.write("keep.json.tmp", "mine")
        os.symlink(victim, self.path("x.json.tmp"))
        for name in ("x.json", "keep.json"):
            self.quantbench(*FEW, f"--benchmark_out={self.path(name)}")
        self.assertEqual(self.read(victim), "precious")
        self.assertEqual(self.read(keep), "mine")
        self.assertEqual(sorted(os.listdir(self.folder.name)),
                         ["keep.json", "keep.json.tmp", "victim", "x.json", "x.json.tmp"])

    def test_the_mode_of_a_replaced_file_stays(self):
        out = self.write("x.json", "old")
        os.chmod(out, 0o640)
        self.quantbench(*FEW, f"--benchmark_out={out}")
        self.assertEqual(stat.S_IMODE(os.stat(out).st_mode), 0o640)

    def test_a_second_run_into_a_file_is_refused(self):
        out = self.path("x.json")
        first = subprocess.Popen([PROGRAM, *SMOKE, "--benchmark_filter=^absmax/", f"--benchmark_out={out}"], env=environment(),
                                 stdout=subprocess.PIPE)
        self.addCleanup(first.wait)
        self.addCleanup(first.stdout.close)
        self.addCleanup(first.kill)
        first.stdout.readline()
        first.send_signal(signal.SIGSTOP)
        self.quantbench(*FEW, f"--benchmark_out={out}", status=2, says="another run is writing it")
        first.send_signal(signal.SIGCONT)
        first.stdout.read()
        self.assertEqual(first.wait(), 0)
        self.results(out)
        self.assertEqual(os.listdir(self.folder.name), ["x.json"])
        self.quantbench(*FEW, f"--benchmark_out={out}")

    def test_a_full_standard_output_is_an_error(self):
        for args in (["--list"], ["--list=all"], ["--help"], FEW, [*FEW, "--benchmark_format=csv"],
                     [*FEW, "--benchmark_format=json"], [*FEW, "--benchmark_list_tests"]):
            with self.subTest(args=args), open("/dev/full", "w") as full:
                self.quantbench(*args, status=3, says="No space left", stdout=full)

    def test_a_reader_that_goes_is_an_error_and_keeps_the_rows(self):
        read, write = os.pipe()
        os.close(read)
        out = self.path("x.json")
        self.quantbench(*FEW, f"--benchmark_out={out}", status=3, says="Broken pipe", stdout=write)
        os.close(write)
        self.assertGreater(len(self.results(out, complete=False)["benchmarks"]), 0)

    def test_a_full_disk_is_an_error(self):
        for kind in ("json", "csv", "console"):
            with self.subTest(kind=kind):
                self.quantbench(*FEW, "--benchmark_out=/dev/full", f"--benchmark_out_format={kind}",
                                status=3, says="can't write '/dev/full': No space left")

    def test_a_limit_on_the_size_of_files_leaves_the_old_one(self):
        out = self.write("x.json", "old")
        limit = 1024  # less than the context has; clang's OpenMP needs that much for a file of its own
        self.quantbench(*FEW, f"--benchmark_out={out}", status=3, says="File too large",
                        before=limited(resource.RLIMIT_FSIZE, limit))
        self.assertEqual(self.read(out), "old")
        self.assertEqual(os.listdir(self.folder.name), ["x.json"])


class Threads(Runs):
    TWO = [*FEW[:2], "--benchmark_filter=^matmul/a32.f32/scalar/", "--threads=2"]

    def test_a_smaller_team_is_refused(self):
        self.quantbench(*self.TWO, status=2, says="--threads=2: OpenMP gives a team of 1 .OMP_THREAD_LIMIT=1",
                        env={"OMP_THREAD_LIMIT": "1"})

    def test_one_cpu_for_two_threads_is_refused(self):
        one = {min(os.sched_getaffinity(0))}
        self.quantbench("--profile=quick", *self.TWO[1:], status=2,
                        says="--threads=2: they may run on 1 CPU only",
                        before=lambda: os.sched_setaffinity(0, one))

    @unittest.skipIf(os.cpu_count() < 2, "one CPU")
    def test_places_that_share_a_cpu_are_refused(self):
        self.quantbench("--profile=quick", *self.TWO[1:], status=2, says="they may run on 1 CPU only",
                        env={"OMP_PLACES": "{0}", "OMP_PROC_BIND": "true"})

    @unittest.skipIf(SANITIZED, "the sanitizer's own threads")
    def test_threads_that_can_not_be_made_are_refused(self):
        # No address space holds a stack as large: as if ulimit -u were reached, for root as well.
        without = limited(resource.RLIMIT_STACK, 1 << 47)
        self.quantbench(*self.TWO, status=2, before=without,
                        says="--threads=2: the operating system makes only 1")
        self.quantbench(*FEW, before=without)


class Rows(Runs):
    @unittest.skipIf(SANITIZED, "needs all of the address space")
    def test_a_row_without_memory_is_named_and_the_others_run(self):
        out = self.path("x.json")
        shown, _ = self.quantbench(*FEW, "--shape=n:1024", "--shape=n:268435456", "--shape=n:2048",
                                   f"--benchmark_out={out}", status=3,
                                   says="absmax/f32/scalar/n:268435456 FAILED: out of memory",
                                   before=limited(resource.RLIMIT_AS, 700 << 20))
        self.assertIn("0 failed verification, 1 could not run", shown)
        rows = self.results(out)["benchmarks"]
        self.assertEqual([row["name"].split("/")[-1] for row in rows if "mismatches" in row],
                         ["n:1024", "n:2048"])

    def test_a_signal_ends_a_run_that_shows_aggregates_only(self):
        for kind, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
            out = self.path("x.json")
            run = subprocess.Popen(
                [PROGRAM, *SMOKE, f"--benchmark_out={out}", "--benchmark_repetitions=2",
                 "--benchmark_min_time=0.01", "--benchmark_report_aggregates_only"],
                env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for _ in range(4):
                run.stdout.readline()
            run.send_signal(kind)
            _, err = run.communicate(timeout=60)
            self.assertEqual(run.returncode, status, err)
            self.assertIn(b"interrupted after", err)
            rows = self.results(out, complete=False)["benchmarks"]
            self.assertGreater(len(rows), 0)
            self.assertEqual({row["run_type"] for row in rows}, {"aggregate"})

    def test_numbers_are_checked(self):
        for flag, value in (("min_time", "nan"), ("min_time", "inf"), ("min_time", "-1"),
                            ("min_time", "1e300"), ("min_time", "0x"), ("min_warmup_time", "nan"),
                            ("repetitions", "0"), ("repetitions", "9999999999"),
                            ("time_unit", "h"), ("context", "novalue"),
                            ("enable_random_interleaving", "perhaps")):
            with self.subTest(flag=flag, value=value):
                self.quantbench(*FEW, f"--benchmark_{flag}={value}", status=2, says=f"benchmark_{flag}")
                self.quantbench(*FEW, status=2, says=f"benchmark_{flag}",
                                env={f"BENCHMARK_{flag.upper()}": value})

    def test_variables_are_obeyed_as_flags_are(self):
        out = self.path("x.csv")
        self.quantbench(*SMOKE, says=r"\n1 rows, each verified",
                        env={"BENCHMARK_FILTER": "^absmax/f32/scalar/", "BENCHMARK_OUT": out,
                             "BENCHMARK_OUT_FORMAT": "csv", "BENCHMARK_REPETITIONS": "2",
                             "BENCHMARK_REPORT_AGGREGATES_ONLY": "true"})
        rows = list(csv.DictReader(io.StringIO(self.read(out))))
        self.assertEqual([row["name"].split("_")[-1] for row in rows],
                         ["mean", "median", "stddev", "cv"])
        # A flag wins over its variable.
        self.quantbench(*FEW, says=r"\n1 rows, each", env={"BENCHMARK_FILTER": "no/such/row"})

    def test_equal_shapes_and_threads_run_once(self):
        out = self.path("x.json")
        self.quantbench(*SMOKE, "--threads=1,1", "--shape=n:64", "--shape=n:64", "--shape=m:1,n:8,k:32",
                        "--shape=m:1/n:8/k:32", "--benchmark_filter=f32/scalar/", f"--benchmark_out={out}")
        names = [row["name"] for row in self.results(out)["benchmarks"]]
        self.assertEqual(len(names), len(set(names)))

    def test_resuming_by_other_settings_is_refused(self):
        out = self.path("x.json")
        self.quantbench(*FEW, f"--benchmark_out={out}")
        resume = [*FEW, f"--benchmark_out={out}", "--resume"]
        self.quantbench(*resume, says="nothing left to run")
        for flag, key in (("repetitions=2", "repetitions"), ("min_time=0.2", "min_time"),
                          ("min_warmup_time=0.2", "min_warmup_time")):
            self.quantbench(*resume, "--benchmark_" + flag, status=2, says=f"can't resume.*'{key}' was")

    def test_a_resumed_run_keeps_the_limits_of_the_rows_it_keeps(self):
        out = self.path("x.json")
        self.quantbench(*FEW, f"--benchmark_out={out}", "--shape=n:64")
        document = self.results(out)
        document["context"]["limits"] = {"bandwidth_1r0w/bytes:256/threads:1": "3e+10"}
        self.write("x.json", json.dumps(document))
        self.quantbench(*FEW, f"--benchmark_out={out}", "--shape=n:64", "--shape=n:128", "--resume")
        resumed = self.results(out)
        self.assertEqual(len(resumed["benchmarks"]), 2)
        self.assertEqual(resumed["context"]["limits"], document["context"]["limits"])

    def test_what_is_no_file_is_not_resumed(self):
        os.mkfifo(self.path("fifo"))
        with open(self.path("large"), "wb") as file:
            file.truncate(100 << 20)
        os.mkdir(self.path("folder"))
        self.write("wrong", '{"context": 3}')
        for name, why in (("fifo", "nobody reads|no regular"), ("large", "larger than 64 MiB"),
                          ("folder", "directory"), ("wrong", "can't resume")):
            with self.subTest(name=name):
                self.quantbench(*FEW, "--resume", f"--benchmark_out={self.path(name)}", status=2, says=why)

    def test_json_on_standard_output_is_json(self):
        out, _ = self.quantbench(*FEW, "--benchmark_repetitions=3", "--benchmark_format=json")
        rows = json.loads(out, parse_constant=lambda name: self.fail(name))["benchmarks"]
        self.assertEqual(len(rows), 7)
        out, _ = self.quantbench(*FEW, "--benchmark_repetitions=3", "--benchmark_format=json",
                                 "--benchmark_display_aggregates_only")
        self.assertEqual({row["run_type"] for row in json.loads(out)["benchmarks"]}, {"aggregate"})

    def test_csv_has_every_counter_of_every_row(self):
        out = self.path("x.csv")
        different = [*SMOKE, "--benchmark_filter=^(absmax|matmul)/(f32|a8.s8)/scalar/"]
        shown, _ = self.quantbench(*different, "--benchmark_format=csv", f"--benchmark_out={out}",
                                   "--benchmark_out_format=csv")
        for text in (shown, self.read(out)):
            rows = list(csv.DictReader(io.StringIO(text)))
            self.assertTrue(rows[0]["name"].startswith("absmax/f32"))
            self.assertTrue(rows[-1]["name"].startswith("matmul/a8.s8"))
            self.assertEqual(rows[0]["nmse"], "")
            self.assertLess(float(rows[-1]["nmse"]), 1)
            self.assertNotIn(None, rows[0])


class Figures(Runs):
    """What rows say: how often they ran, and beside what."""

    ROWS = ["--no-peers", "--shape=n:4096", "--benchmark_min_time=0.0001"]

    def rows(self, filter_, *args):
        out = self.path("x.json")  # which the test may look into
        self.quantbench(*self.ROWS, f"--benchmark_filter={filter_}", *args, f"--benchmark_out={out}")
        rows = {}
        for entry in self.results(out)["benchmarks"]:
            if entry["run_type"] == "iteration":
                self.assertEqual(entry["name"], entry["run_name"])
                rows.setdefault(entry["name"].split("/")[2], []).append(entry)
        return rows

    def dispatched(self):
        out, _ = self.quantbench("--list")
        return re.search(r"absmax_f32 +(\S+) .*dispatched to", out)[1]

    def test_a_quick_run(self):
        """Dispatched rows are repeated more; the speed-up is the ratio of the medians."""
        rows = self.rows("^absmax/f32/.*/n:4096$")  # the end of a name is its shape
        counts = {variant: len(entries) for variant, entries in rows.items()}
        self.assertEqual(counts.pop(self.dispatched()), 15)
        self.assertEqual(set(counts.values()), {5})
        context = self.results(self.path("x.json"))["context"]
        self.assertEqual(context["dispatched"]["absmax/f32"], self.dispatched())
        median = {variant: statistics.median(entry["real_time"] for entry in entries)
                  for variant, entries in rows.items()}
        for variant, entries in rows.items():
            self.assertEqual({entry["repetitions"] for entry in entries}, {len(entries)}, variant)
            said = statistics.median(entry["speedup_vs_scalar"] for entry in entries)
            self.assertAlmostEqual(said / (median["scalar"] / median[variant]), 1, places=9)

    def test_rows_that_are_asked_for(self):
        """Repetitions are those that were asked for; without its row scalar code is timed all the same."""
        rows = self.rows(f"^absmax/f32/({self.dispatched()}|autovec)/", "--benchmark_repetitions=2")
        self.assertEqual({len(entries) for entries in rows.values()}, {2})
        for entries in rows.values():
            self.assertGreater(entries[0]["speedup_vs_scalar"], 0)
            ratio = entries[0]["speedup_vs_scalar"] / entries[1]["speedup_vs_scalar"]
            self.assertAlmostEqual(ratio * entries[0]["real_time"] / entries[1]["real_time"], 1, places=9)

    def test_scalar_code_can_be_left_out(self):
        rows = self.rows(f"^absmax/f32/({self.dispatched()}|autovec)/", "--no-scalar")
        self.assertEqual(len(rows), 2)
        for entries in rows.values():
            self.assertNotIn("speedup_vs_scalar", entries[0])
            self.assertIn("roof_pct", entries[0])

    def test_names_are_listed_without_repetitions(self):
        out, _ = self.quantbench("--no-peers", "--benchmark_filter=^absmax/f32/scalar/", "--benchmark_list_tests")
        self.assertIn("absmax/f32/scalar/n:4096\n", out)
        self.assertNotIn("repeats", out)


class Terminal(Runs):
    def on_terminal(self, args, columns, **env):
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        run = subprocess.Popen([PROGRAM, *args], env=environment(**env), stdout=slave, stderr=slave)
        os.close(slave)
        text = b""
        while True:
            try:
                part = os.read(master, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            text += part
        os.close(master)
        self.assertEqual(run.wait(), 0, text)
        return text.decode().replace("\r\n", "\n").split("\n")

    SHOWN = [*SMOKE, "--benchmark_filter=^matmul/a8.s8.g32/"]

    def assert_fits(self, lines, columns):
        rows = [i for i, line in enumerate(lines) if line.startswith("[")]
        table = rows[-1] + 2  # after a blank line
        end = next(i for i, line in enumerate(lines) if "failed verification" in line)
        self.assertGreater(len(rows), 1)
        for line in [lines[i] for i in rows] + lines[table:end]:
            self.assertLessEqual(len(line), columns, line)

    def test_lines_fit(self):
        for columns in (40, 60, 80, 200):
            self.assert_fits(self.on_terminal(self.SHOWN, columns), columns)
        lines = self.on_terminal(self.SHOWN, 200)
        self.assertTrue(any("matmul/a8.s8.g32/scalar/m:1/n:48/k:128" in line for line in lines))

    def test_where_the_terminal_has_no_width(self):
        self.assert_fits(self.on_terminal(self.SHOWN, 0, COLUMNS="50"), 50)
        for columns in ("", "wide", "0"):
            self.assert_fits(self.on_terminal(self.SHOWN, 0, COLUMNS=columns), 80)

    def test_elsewhere_lines_are_whole(self):
        shown, _ = self.quantbench(*self.SHOWN, env={"COLUMNS": "40"})
        self.assertIn("matmul/a8.s8.g32/scalar/m:1/n:48/k:128", shown)
        self.assertRegex(shown, "x scalar +(x peer +best peer +)?error")

    def test_three_lines_conclude(self):
        shown, _ = self.quantbench(*FEW)
        self.assertRegex(shown, "\n\n1 rows in .*, 0 failed verification, 0 could not run, 0 over.*\n"
                                "no claim about time: .*\n.*--profile=quick.*\n$")

    def test_the_list_is_of_what_runs_here(self):
        here, _ = self.quantbench("--list")
        everything, _ = self.quantbench("--list=all")
        self.assertNotIn("no: ", here)
        self.assertIn("no: not compiled: it is for", everything)
        self.assertRegex(here, r"\n\d+ more do not run here; --list=all.*:\n(.*\n)*.*: not compiled: it is for")
        self.assertLess(len(here.split("\n")), len(everything.split("\n")))
        self.quantbench("--list=some", status=2, says="--list")

    def test_help_tells_defaults_and_examples(self):
        shown, _ = self.quantbench("--help")
        shown = " ".join(shown.split())  # CLI11's versions break lines differently
        for text in (r"[=\[]quick", r"[=\[]2135", "15 of rows that are dispatched to, 5 of others",
                     "Examples:", "Exit status:", "BENCHMARK_FILTER"):
            self.assertRegex(shown, text)

    def test_counters_are_counted_or_refused(self):
        listed, _ = self.quantbench("--list")
        counters = "--benchmark_perf_counters=CYCLES"
        if "built without libpfm" in listed:
            self.quantbench(*FEW, counters, status=2, says="there are none: .* without libpfm")
        else:
            self.quantbench(*FEW, counters)

    def test_text_from_outside_does_not_steer_the_terminal(self):
        evil = "\x1b[2J\u202eevil\x07\u2066\x9b"
        missing = self.path("\x1b]0;title\x07\u202e.json")
        file = self.write("tuning.json", json.dumps({"quantbench_tuning": 2, "cpu": {"name": evil}},
                                                    ensure_ascii=False))
        for args, env, status in (
                (["--list"], {"QB_ISA": evil}, 2),
                (["--list"], {"QB_TUNING": missing}, 0),
                (["--list"], {"QB_TUNING": file}, 0),
                ([*SMOKE, "--benchmark_filter=" + evil], {}, 2),
                ([*SMOKE, "--benchmark_filter=(" + evil], {}, 2),
                (["--" + evil], {}, 2),
                (["--shape=n:" + evil], {}, 2),
                (["--profile=" + evil], {}, 2),
                ([*FEW, f"--benchmark_out={missing}/x"], {}, 2),
                ([*FEW, "--benchmark_format=json", "--benchmark_context=a=" + evil], {}, 0),
                (FEW, {"BENCHMARK_TIME_UNIT": evil}, 2)):
            with self.subTest(args=args, env=env):
                out, err = self.quantbench(*args, env=env, status=status, says=r"\\x1b|\\u202e")
                self.assertNotRegex(out + err, "[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\udc80-\udcff]")


if __name__ == "__main__":
    unittest.main()
