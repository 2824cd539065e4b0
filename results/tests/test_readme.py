# SPDX-License-Identifier: Apache-2.0
"""The README's tables: every figure in them comes from a committed results file."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import CONTEXT, entries, sample

from quantbench_results import load, picture, readme, report, shown
from quantbench_results.errors import ResultsError

README = Path(__file__).parents[2] / "README.md"
PAGES = (README, README.parent / "docs/results.md")
EMPTY = f"# Title\n\nbefore\n{readme.BEGIN}\nold figures\n{readme.END}\nafter\n"


@pytest.fixture
def project(write, tmp_path):
    """A README and a results file below its folder."""
    path = write(sample(), "results/cpu-1/2026-01-02-abc.json")
    (tmp_path / "README.md").write_text(EMPTY, encoding="utf-8")
    return tmp_path / "README.md", path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_pages_of_this_project_show_one_committed_file(page):
    file = readme.named_file(page)
    assert file.is_file() and file.samefile(readme.named_file(README))
    assert readme.write(page, load.load(file), check=True), (
        "make readme FILES=<results file> writes the tables"
    )


def test_the_picture_shows_the_same_file():
    file = readme.named_file(README)
    shown = [path.name for path in (README.parent / "docs/images").glob("*-*.svg")
             if picture.source_mark(file) in path.read_text(encoding="utf-8")]  # fmt: skip
    names = [f"{name}-{scheme}.svg" for name in sorted(picture.PICTURES) for scheme in ("dark", "light")]
    assert sorted(shown) == names, "make picture draws them"
    text = README.read_text(encoding="utf-8")
    assert all(f"docs/images/{name}" in text for name in shown)


def test_writes_only_between_the_marks(project):
    path, file = project
    assert report.main([str(file), "--readme", str(path)]) == 0
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# Title\n\nbefore\n" + readme.BEGIN) and text.endswith("\nafter\n")
    assert "old figures" not in text
    assert "](results/cpu-1/2026-01-02-abc.json)" in text
    assert readme.named_file(path) == file
    assert report.main(["--readme", str(path), "--check"]) == 0


def test_a_page_with_the_marks_of_formats_has_those_alone(project):
    path, file = project
    page = path.parent / "docs/formats.md"
    page.parent.mkdir()
    page.write_text(f"a\n{readme.FORMATS_BEGIN}\n{readme.FORMATS_END}\nb\n", encoding="utf-8")
    assert report.main([str(file), "--readme", str(path), str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "](../results/cpu-1/2026-01-02-abc.json)" in text and "| format | bits |" in text
    assert "array operation" not in text and text.startswith("a\n") and text.endswith("\nb\n")
    assert readme.named_file(page).samefile(file)
    assert report.main(["--readme", str(path), str(page), "--check"]) == 0


def test_check_finds_a_figure_changed_by_hand(project):
    path, file = project
    assert report.main([str(file), "--readme", str(path), "--check"]) == 1
    assert path.read_text(encoding="utf-8") == EMPTY
    report.main([str(file), "--readme", str(path)])
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("8.0 G/s", "9.0 G/s", 1), encoding="utf-8")
    assert text.count("8.0 G/s") > 0
    assert report.main(["--readme", str(path), "--check"]) == 1


def test_figures(project):
    results = load.load(project[1])
    lines = "\n".join(readme.array_table(results))
    assert "| absmax f32 | avx2 | 8.0 G/s, 80 % | 8.0 G/s, 80 % | 8.0 G/s, 80 % | 8× | 1 % |" in lines
    assert "Every row is exact" in lines
    lines = "\n".join(readme.matmul_table(results))
    assert "| matmul | variant | 1 × 1024 × 1024 | 32 × 1024 × 1024 | NMSE | spread |" in lines
    assert "| a8.q4_0 | avx2 | 8.0, 80 %, 8× | 8.0, 80 %, 8× | 5e-03 | 1 % |" in lines


def test_peers_are_named_with_every_shape(project, write):
    results = load.load(project[1])
    lines = readme.peer_tables(results)
    assert "| matmul | 1 × 1024 × 1024 | 32 × 1024 × 1024 |" in lines
    assert "| a8.q4_0 | 1.07× example | 1.07× example |" in lines
    assert any("not in turns" in line for line in lines), "its rows don't say"
    assert not any("absmax" in line for line in lines), "a row without a peer has no line"
    data = sample()
    data["benchmarks"] = [e for e in data["benchmarks"] if "/peer:" not in e["name"]]
    assert readme.peer_tables(load.load(write(data))) == []


def test_peers_are_compared_by_turns_where_rows_have_them(write):
    data = sample({"peers": {"example": "1.2.3 (2026-01), built for x", "absent": "4.5.6"}})
    for entry in data["benchmarks"]:
        if entry["name"] == "matmul/a8.q4_0/avx2/m:1/n:1024/k:1024":
            # Unlike what the separately timed rows say, which is 1.07.
            entry.update(vs_best_peer=0.93, vs_best_peer_low=0.92, vs_best_peer_high=0.94,
                         label="verified:quick; best peer: peer:example-2")  # fmt: skip
    lines = readme.peer_tables(load.load(write(data)))
    assert "| a8.q4_0 | 0.93× example-2 |  |" in lines
    assert not any("1.07" in line for line in lines), "one method in one table"
    assert any("in turns of batches" in line for line in lines)
    assert "Versions and dates: example 1.2.3 (2026-01)." in lines


def test_peers_that_do_more_or_less_than_is_asked_for_are_marked(write):
    data = sample()
    for entry in data["benchmarks"]:
        if "/a8.q4_0/peer:example/m:1/" in entry["name"]:
            entry["label"] = "verified:quick; a product; left out: quantizing the activations"
        if "/a8.q4_0/peer:example/m:32/" in entry["name"]:
            entry["label"] = "verified:quick; a product, which computes more: the positions"
    lines = readme.peer_tables(load.load(write(data)))
    assert "| a8.q4_0 | 1.07× example⁻ | 1.07× example⁺ |" in lines
    assert any(line.startswith("⁺ computes more") and "⁻ leaves" in line for line in lines)


def test_ratios_of_before_both_sides_were_measured_alike_are_not_called_turns(write):
    data = sample()
    for entry in data["benchmarks"]:
        entry["vs_best_peer"] = 1.9
    lines = readme.peer_tables(load.load(write(data)))
    assert not any("1.90" in line for line in lines)
    assert any("not in turns" in line for line in lines)


def test_an_inexact_row_takes_the_claim_away(write):
    data = sample()
    for entry in data["benchmarks"]:
        if entry["name"] == "absmax/f32/avx2/n:4096":
            entry["mismatches"] = 1
    lines = "\n".join(readme.array_table(load.load(write(data))))
    assert "exact" not in lines


def test_rows_with_threads_cold_rows_and_packing_are_left_out(write):
    rows = entries("matmul/a8.s8/avx2/m:1/n:8/k:8/threads:2", [1.0], ops_per_second=1e9)
    rows += entries("matmul/a8.s8/avx2/m:2/n:8/k:8/cold", [1.0], ops_per_second=1e9)
    rows += entries("repack/a8.s8/avx2/n:8/k:8", [1.0], bytes_per_second=1e9)
    with pytest.raises(ResultsError, match="hand-written"):
        readme.block(load.load(write({"context": CONTEXT, "benchmarks": rows})), "x.json")


def test_the_variant_that_runs_last_is_shown(write):
    data = sample()
    data["benchmarks"] += entries(
        "absmax/f32/avx512/n:4096", [1000.0], items_per_second=4.1e9, bytes_per_second=16e9
    )
    results = load.load(write(data))
    assert shown.dispatched(results)["absmax", "f32", ""] == "avx512"
    assert shown.dispatched(results)["convert", "f16.f32", ""] == "avx2"
    lines = "\n".join(readme.array_table(results))
    assert "| absmax f32 | avx512 | 4.1 G/s" in lines and "| absmax f32 | avx2" not in lines


def test_a_product_shows_the_variant_of_each_class_of_rows(write):
    rates = {"ops_per_second": 1e9, "items_per_second": 1e9, "bytes_per_second": 1e9}
    data = sample({"dispatched": {"matmul/a8.s8": {"one": "avx2", "many": "avx512"}}})
    data["benchmarks"] = [
        entry
        for m, ns in ((1, 1000.0), (12, 2000.0))
        for variant, factor in (("avx2", 1), ("avx512", 3))
        for entry in entries(
            f"matmul/a8.s8/{variant}/m:{m}/n:8/k:8",
            [ns],
            **{key: value / factor for key, value in rates.items()},
        )
    ]
    (line,) = [line for line in readme.matmul_table(load.load(write(data))) if "a8.s8" in line]
    assert line.startswith("| a8.s8 | avx2, avx512 | 1.0, –") and "| 0.3, –" in line


@pytest.mark.parametrize("context", [{"profile": "smoke"}, {"emulated": "yes: qemu"}])
def test_without_a_claim_about_time_nothing_is_written(project, write, context):
    path, _ = project
    file = write(sample(context), "results/cpu-1/smoke.json")
    assert report.main([str(file), "--readme", str(path)]) == 2
    assert path.read_text(encoding="utf-8") == EMPTY


@pytest.mark.parametrize(
    "text", ["no marks", readme.BEGIN, readme.END + readme.BEGIN, 2 * (readme.BEGIN + readme.END)]
)
def test_marks_must_be_a_pair(project, text, capsys):
    path, file = project
    path.write_text(text, encoding="utf-8")
    assert report.main([str(file), "--readme", str(path)]) == 2
    assert path.read_text(encoding="utf-8") == text
    assert capsys.readouterr().err.count("\n") == 1


def test_usage(project, write, tmp_path, capsys):
    path, file = project
    assert report.main(["--readme", str(path)]) == 2  # which file?
    assert report.main([str(file), str(file), "--readme", str(path)]) == 2
    assert report.main(["--readme", str(tmp_path / "none.md"), str(file)]) == 2
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/README.md").write_text(EMPTY, encoding="utf-8")  # a project of its own
    assert report.main([str(file), "--readme", str(tmp_path / "sub/README.md")]) == 2
    assert "below the folder" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        report.main([str(file), "--check"])


def test_hostile_names_are_text(write):
    data = sample({"cpu_name": "<img src=x onerror=alert(1)>](http://evil)"})
    data["benchmarks"] += entries(
        "absmax/<script>|x/avx2/n:4096", [1.0], items_per_second=1e9, bytes_per_second=4e9
    )
    text = readme.block(load.load(write(data)), "results/a.json")
    assert (
        "<script>" not in text
        and "<img" not in text
        and "](http://evil)" not in text.replace("\\](", "")
    )
