# SPDX-License-Identifier: Apache-2.0
"""files.py and cli.py: whole files or none, links and devices left alone, faults in one line."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import entries, sample

from quantbench_results import choose, compare, report, validate
from quantbench_results.cli import guarded
from quantbench_results.errors import ResultsError
from quantbench_results.files import write_text

EVIL = "a\x1b[31m\u202eb"


def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    target, link = tmp_path / "real" / "target.txt", tmp_path / "link.txt"
    target.parent.mkdir()
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink() and target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert [path.name for path in target.parent.iterdir()] == ["target.txt"]


def test_a_link_to_nothing_yet(tmp_path):
    link = tmp_path / "link.txt"
    link.symlink_to(tmp_path / "later.txt")
    write_text(link, "new")
    assert link.is_symlink() and (tmp_path / "later.txt").read_text() == "new"


def test_devices_and_pipes_are_written_to_not_replaced(tmp_path):
    write_text("/dev/null", "text")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with pytest.raises(ResultsError, match="No space left"):
        write_text("/dev/full", "text")
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    write_text(fifo, "text")
    assert os.read(reader, 10) == b"text" and stat.S_ISFIFO(fifo.stat().st_mode)
    os.close(reader)
    with pytest.raises(ResultsError, match="can't write"):
        write_text(tmp_path, "a folder")


def test_nobody_s_file_beside_it_is_touched(tmp_path):
    path = tmp_path / "x.json"
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "x.json.tmp").symlink_to(victim)
    write_text(path, "new")
    assert victim.read_text() == "precious" and (tmp_path / "x.json.tmp").is_symlink()
    assert path.read_text() == "new"


def test_a_text_that_is_no_unicode(tmp_path):
    write_text(tmp_path / "x", "a\ud800b")
    assert (tmp_path / "x").read_text() == "a?b"


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("x"), RecursionError("deep"), ValueError("\x1b[31m"), MemoryError()]
)
def test_what_nobody_foresaw_is_one_line(capsys, error):
    def body():
        raise error

    assert guarded("tool", body) == 2
    text = capsys.readouterr().err
    assert text.startswith("tool: ") and text.count("\n") == 1 and "\x1b" not in text


def tool(name: str, *arguments: str, shell: str = "", **environment: str) -> subprocess.CompletedProcess:
    """Runs a tool as a process, with its output sent where `shell` says."""
    command = [sys.executable, "-m", f"quantbench_results.{name}", *arguments]
    return subprocess.run(
        ["sh", "-c", f'"$@" {shell}', "sh", *command],
        capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, **environment},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("shell", "why"),
    [(">&-", "closed"), (">/dev/full", "No space left"), ("| true; exit 2", "")],
)
@pytest.mark.parametrize("name", ["choose", "compare", "validate"])
def test_an_output_that_is_closed_or_full(write, shell, why, name):
    path = str(write(sample()))
    done = tool(name, path, *([path, "--all"] if name == "compare" else []), shell=shell)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr and done.stderr.count("\n") <= 2
    assert why in done.stderr


def test_help_on_a_full_device():
    done = tool("validate", "--help", shell=">/dev/full")
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_a_locale_without_the_characters(write):
    path = str(write(sample({"cpu_name": "Prozessor \N{GREEK SMALL LETTER MU}"})))
    for name in ("choose", "validate"):
        done = tool(name, path, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0",
                    PYTHONIOENCODING="ascii")  # fmt: skip
        assert done.returncode == 0 and "Traceback" not in done.stderr


def changed(entry: dict | None = None, **context) -> dict:
    data = sample(context)
    data["benchmarks"][0] |= entry or {}
    return data


@pytest.mark.parametrize(
    "data",
    [
        changed({"run_name": "absmax/f32/scalar/n:0", "name": "absmax/f32/scalar/n:0"}),
        changed({"run_name": "matmul/a/b/m:1/n:0/k:5", "ops_per_second": 1.0}),
        changed({"run_name": "absmax/f32/scalar/n:8/threads:0"}),
        changed({"bytes_per_second": 1e308}),
        changed({"roof_pct": 1e-308}),
        changed({"real_time": 1e300}),
        changed({"real_time": 1e-320}),
    ],
)
def test_impossible_numbers_are_refused_in_one_line(write, tmp_path, data, capsys):
    path = str(write(data))
    calls = (
        lambda: report.main([path, "--output", str(tmp_path / "out")]),
        lambda: choose.main([path]),
        lambda: compare.main([path, path]),
        lambda: validate.main([path]),
    )
    for call in calls:
        assert call() == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out.html").exists()


def test_hostile_text_is_neutral_wherever_it_is_shown(write, tmp_path, capsys):
    data = sample({"cpu_name": EVIL, "isa_refused_x": EVIL, "compiler": EVIL})
    data["benchmarks"] += entries(f"absmax/{EVIL}/avx2/n:8", [1.0], items_per_second=8e9,
                                  bytes_per_second=32e9, label=EVIL)  # fmt: skip
    data["benchmarks"][0] |= {"error_occurred": True, "error_message": EVIL}
    path = str(write(data))
    assert report.main([path, "--output", str(tmp_path / "out")]) == 0
    choose.main([path])
    compare.main([path, path, "--all"])
    validate.main([path])
    write(data, "r/x-0/2026-01-02-a.json")
    assert report.main(["--index", "--results", str(tmp_path / "r")]) == 0
    shown = capsys.readouterr()
    texts = [shown.out, shown.err, (tmp_path / "r/index.md").read_text()]
    texts += [(tmp_path / name).read_text() for name in ("out.html", "out.md")]
    for text in texts:
        body = text.split('<script type="application/json"')[0]
        assert "\x1b" not in body and "\u202e" not in text
    with pytest.raises(SystemExit):
        validate.main([path, f"--{EVIL}"])
    assert "\x1b" not in capsys.readouterr().err


def test_three_thousand_operations(write, tmp_path, capsys):
    data = sample()
    data["benchmarks"] = []
    for i in range(3000):
        data["benchmarks"] += entries(f"op{i}/f32/avx2/n:64", [1.0, 1.0], bytes_per_second=1e9,
                                      items_per_second=6e10, roof_pct=50.0)  # fmt: skip
    path = str(write(data))
    assert report.main([path, "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "3000 operations and formats" in error and error.count("\n") == 1
    assert choose.main([path]) == validate.main([path]) == compare.main([path, path]) == 0


def test_compact_form(write, tmp_path, capsys):
    data = sample()
    median = {**data["benchmarks"][1], "run_type": "aggregate", "aggregate_name": "median"}
    alone = {**median, "name": "a/b/c/n:1_median", "run_name": "a/b/c/n:1"}
    data["benchmarks"] += [median, alone]
    path = write(data)
    before = path.read_text()
    assert validate.main([str(path), "--compact"]) in (0, 1)
    text = path.read_text()
    assert len(text) < len(before)
    found = json.loads(text)
    assert found["context"] == data["context"]
    # What follows from repetitions is gone, a row that is an aggregate only is not.
    assert [e for e in found["benchmarks"] if e["run_type"] == "aggregate"] == [alone]
    rows = [line for line in text.splitlines() if line.startswith('{"name"')]
    assert len(rows) == len(found["benchmarks"]) and ", " not in rows[0].split('"label"')[0]
    validate.main([str(path), "--compact"])
    assert path.read_text() == text
    assert Path(path).is_file()
