# SPDX-License-Identifier: Apache-2.0
"""results/index.md: every file that it lists is there, and several machines stand side by side."""

from __future__ import annotations

import json
import re
from pathlib import Path

from conftest import sample

from quantbench_results import index, load, report, store, validate
from quantbench_results.errors import ResultsError

RESULTS = Path(__file__).parents[1]


def test_the_committed_index_lists_files_that_are_there():
    text = (RESULTS / "index.md").read_text(encoding="utf-8").replace("\\_", "_")
    listed = re.findall(r"\| ([\w.-]+/[\w.-]+\.json) \|", text)
    assert listed
    for name in listed:
        assert (RESULTS / name).is_file(), f"{name}: quantbench-report --index writes the list anew"


def committed() -> list[Path]:
    return sorted(RESULTS.glob("*/????-??-??*.json"))


def test_the_committed_index_is_what_the_tool_writes():
    written = (RESULTS / "index.md").read_text(encoding="utf-8")
    assert written == index.index_markdown(RESULTS), "quantbench-report --index writes it"


def test_one_complete_set_is_committed_per_machine():
    machines = [path.parent.name for path in committed()]
    assert machines and len(set(machines)) == len(machines), "only the newest of a machine is kept"
    for path in committed():
        results = load.load(path)
        assert results.complete and results.claims_timing
        assert results.text("profile") in ("quick", "full")
        assert path == store.store_path(results.context, RESULTS)


def test_committed_files_are_in_the_form_in_which_files_are_kept():
    for path in committed():
        text = path.read_text(encoding="utf-8")
        assert text == store.compact(json.loads(text)), f"quantbench-validate --compact {path}"


def test_pages_link_only_files_that_are_there():
    root = RESULTS.parent
    for page in [root / "README.md", root / "CONTRIBUTING.md", *root.glob("docs/**/*.md")]:
        for link in re.findall(r"\]\(((?:\.\./)*(?:results|docs|scripts)/[^)#\s]+)", page.read_text("utf-8")):
            assert (page.parent / link).exists() or (root / link).exists(), f"{page.name}: {link}"


def test_two_machines_stored_indexed_and_reported(write, tmp_path):
    root = tmp_path / "results"
    names = {"Example CPU": {}, "Another CPU": {"isa_best_level": "avx512"}}
    for number, (cpu, more) in enumerate(names.items()):
        context = {"cpu_name": cpu, "date": f"2026-01-0{number + 1}T00:00:00+00:00", **more}
        file = load.load(write(sample(context, 1.0 + number), f"in/{number}.json"))
        stored = validate.store(file, root)
        assert re.fullmatch(r"(example|another)-[0-9a-f]{8}", stored.parent.name)
    assert report.main(["--results", str(root), "--index"]) == 0
    text = (root / "index.md").read_text(encoding="utf-8")
    assert all(cpu in text for cpu in names)
    assert report.main([str(root), "--output", str(tmp_path / "both")]) == 0
    page = (tmp_path / "both.html").read_text(encoding="utf-8")
    text = (tmp_path / "both.md").read_text(encoding="utf-8")
    assert "2 machines" in page and "## Side by side" in text
    assert all(cpu in page and cpu in text for cpu in names)


def test_machines_are_counted_not_files(write, tmp_path):
    root = tmp_path / "results"
    for day, compiler in ((1, "GNU 12"), (2, "GNU 12"), (3, "Clang 14")):
        date = f"2026-01-0{day}T00:00:00+00:00"
        file = load.load(write(sample({"date": date, "compiler": compiler}), f"in/{day}.json"))
        validate.store(file, root)
    partial = {"date": "2026-01-04T00:00:00+00:00", "complete": False}
    validate.store(load.load(write(sample(partial), "in/4.json")), root)
    assert report.main(["--results", str(root), "--index"]) == 0
    text = (root / "index.md").read_text(encoding="utf-8")
    assert "3 machines, 4 files" in text
    assert text.count("(older method)") == 4, "the rows tell no turns"
    assert text.count("| interrupted |") == 1 and text.count("| complete |") == 3
    assert report.main([str(root), "--output", str(tmp_path / "all")]) == 0
    page = (tmp_path / "all.html").read_text(encoding="utf-8")
    assert "<h1>quantbench: 3 machines, 4 files</h1>" in page
    assert "interrupted" in (tmp_path / "all.md").read_text(encoding="utf-8")


def test_a_file_stored_twice_is_one_and_a_different_one_is_refused(write, tmp_path):
    root = tmp_path / "results"
    first = load.load(write(sample(), "in/a.json"))
    assert validate.store(first, root) == validate.store(first, root)
    other = load.load(write(sample(scale=2.0), "in/b.json"))
    try:
        validate.store(other, root)
    except ResultsError as error:
        assert "not overwritten" in str(error)
    else:
        raise AssertionError("overwritten")
