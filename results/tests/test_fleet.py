# SPDX-License-Identifier: Apache-2.0
"""200 results files of a made-up fleet: what is planted is found and nothing else, within the time and
the size that a page may take."""

from __future__ import annotations

import re
import time
from pathlib import Path

import make_fleet
import pytest
from conftest import sample
from test_report import Page

from quantbench_results import (
    fleet,
    fleet_outliers,
    fleet_page,
    fleet_tables,
    index,
    load,
    report,
    store,
)
from quantbench_results.fleet_digest import digest
from quantbench_results.fleet_markdown import fleet_markdown

FILES = 200
MOST_SECONDS = 10
MOST_BYTES = 5_000_000


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder, what is planted in it, and the seconds of CPU that each step took."""
    folder = tmp_path_factory.mktemp("fleet")
    planted = make_fleet.make(folder, FILES)
    start = time.process_time()
    paths = fleet.paths_of([folder])
    digests = [digest(path) for path in paths]  # in this process, whose time is counted
    found = fleet.gather(digests)
    page = fleet_page.fleet_page(found)
    text = fleet_markdown(found)
    listed = dict(zip(paths, digests, strict=True))
    list_ = index.index_markdown(folder, [listed[path] for path in index.stored_files(folder)])
    took = time.process_time() - start
    return folder, planted, found, page, text, list_, took


def test_200_files_take_no_more_time_and_space_than_they_may(made):
    _, _, found, page, _, _, took = made
    assert found.files == FILES
    assert took < MOST_SECONDS, "on one CPU"
    assert len(page.encode()) < MOST_BYTES


def test_machines_are_counted_not_files(made):
    _, planted, found, page, _, list_, _ = made
    assert len(found.members) == planted.machines
    assert f"<h1>quantbench: {planted.machines} machines, {FILES} files</h1>" in page
    # The list also has files without figures to rank: the emulated one and the one of the future,
    # which are of a machine each. Three can't be read.
    machines, files = re.search(r"(\d+) machines, (\d+) files", list_).groups()
    assert (int(machines), int(files)) == (planted.machines + 2, FILES - 3)


def node(found, name):
    return next(member for member in found.members if member.digest.node.endswith(name))


def test_what_is_planted_is_found_and_nothing_else(made):
    _, planted, found, _, _, _, _ = made
    odd = {(o.what, o.machine): o.text for o in fleet_outliers.outliers(found)}
    wanted = {
        ("memory", node(found, planted.slow_memory).label),
        ("clock", node(found, planted.clock_drop).label),
        ("kernel", node(found, planted.wrong_kernel).label),
    }
    assert set(odd) == wanted
    text = odd["kernel", node(found, planted.wrong_kernel).label]
    assert text.startswith("matmul/a8.q4_0/avx2: 17 mismatches")
    assert "right on 63 other machines" in text
    assert "from 60 % of the run on" in odd["clock", node(found, planted.clock_drop).label]
    text = odd["memory", node(found, planted.slow_memory).label]
    assert re.search(r"2[1-4]\.\d GB/s, where 64 machines of .* have 4[1-5]\.\d GB/s", text)


def test_interrupted_and_changed_runs_are_marked_everywhere(made):
    _, planted, found, page, text, list_, _ = made
    marks = {member.digest.node: ", ".join(member.digest.marks) for member in found.members}
    assert marks[planted.interrupted] == "interrupted"
    for name in (planted.repetition_changed, planted.speed_changed):
        assert marks[name] == "changed by hand? 1 row contradicts itself"
    assert marks[planted.same_run] == "changed by hand? another file of the same run differs"
    assert sum(bool(mark) for mark in marks.values()) == 4
    for shown in (page, text, list_):
        assert shown.count("interrupted") >= 1
        assert shown.count("changed by hand? 1 row contradicts itself") == 2
    assert list_.count("changed by hand") == 2, "a list of single files can't know of the other"


def test_figures_of_changed_runs_are_not_ranked(made):
    _, planted, found, _, _, _, _ = made
    for name in (planted.repetition_changed, planted.speed_changed, planted.same_run):
        assert not node(found, name).digest.places


def test_unusable_files_are_named_with_the_reason_and_copies_counted_once(made):
    _, planted, found, page, text, _, _ = made
    assert sorted(d.where for d in found.rejected) == sorted(planted.rejected)
    reasons = {Path(d.where).parent.name: d.problem for d in found.rejected}
    assert "truncated" in reasons["truncated"] and "emulated" in reasons["emulated"]
    assert "future" in reasons["future"] and "deeply" in reasons["deep"]
    assert sorted(where for where, _ in found.copies) == sorted(planted.copies)
    assert all(Path(where).parent.name in page for where in planted.rejected + planted.copies)


def test_hostile_text_stays_text(made):
    _, _, found, page, text, list_, _ = made
    parsed = Page(page)
    assert parsed.fetched == []
    assert parsed.tags.count("script") == 1
    assert "img" not in parsed.tags and "i" not in parsed.tags
    assert make_fleet.EVIL[:20] not in page + text + list_
    assert "&lt;img" in page and "&lt;img" in text
    assert "&lt;i onclick=x&gt;convert" in page


def test_best_variants_and_shares_are_those_of_the_files(made):
    folder, _, found, page, _, _, _ = made
    at = fleet_tables.places(found)
    kind = next(k for k in found.kinds if k.label.startswith("AMD EPYC 9354"))
    # One machine's run ended before its products, another's figures are not ranked.
    winner = fleet_tables.winner(kind, ("matmul", "a8.q8_0", "m = 1"))
    assert winner.variant in ("avx512vnni", "avx512") and winner.machines == len(kind.members) - 2
    member = node(found, "n001")
    shares = fleet_tables.shares(member)
    assert {op for op, _ in shares} == {"absmax", "convert", "quantize", "dequantize", "pack",
                                        "matmul a32", "matmul a8"}  # fmt: skip
    assert all(0 < share < 102 for share in shares.values())
    lines = page[page.index('id="heat"') : page.index('id="panels"')]
    have = [m for m in found.members if m.digest.places]
    assert lines.count(f">{member.label}<") == 1 + 6, "the whole and six operations"
    assert all(lines.count(f">{m.label}<") >= 1 for m in have[:20])


def test_panels_share_their_axis(made):
    _, _, found, page, _, _, _ = made
    panel = re.search(r'<svg class="strips".*?</svg>', page, re.DOTALL)[0]
    assert panel.count('class="median"') == len(found.kinds)
    assert panel.count('class="rule"') == 5, "one axis for all kinds"


def test_what_is_odd_needs_five_machines():
    assert fleet_outliers.low_ones([1.0, 1.0, 1.0, 0.5]) == []
    assert fleet_outliers.low_ones([1.0, 1.01, 0.99, 1.0, 0.5]) == [4]
    assert fleet_outliers.low_ones([1.0, 1.0, 1.0, 1.0, 0.95]) == []
    assert fleet_outliers.low_ones([1.0, 1.3, 0.7, 1.6, 0.6]) == []
    assert fleet_outliers.low_ones([1.0, 1.0, 1.0, 1.0, 3.0]) == [], "faster is not odd"


def test_the_command_reads_in_processes_and_writes_page_summary_and_list(made):
    folder, planted, _, page, _, list_, _ = made
    few = folder.parent / "few"
    for path in sorted(folder.glob("node-00?")):
        store_folder = few / path.name
        store_folder.mkdir(parents=True)
        for file in path.iterdir():
            (store_folder / file.name).write_bytes(file.read_bytes())
    assert report.main(["--fleet", "--index", "--results", str(few)]) == 0
    assert "10 machines" in (few / "report.html").read_text(encoding="utf-8")
    assert "10 machines" in (few / "report.md").read_text(encoding="utf-8")
    assert "10 machines" in (few / "index.md").read_text(encoding="utf-8")
    assert report.main([str(few), "--output", str(few / "implied")]) == 0
    assert "is best where" in (few / "implied.html").read_text(encoding="utf-8"), "so many files"


def test_a_folder_without_a_file_that_can_be_shown_is_an_error(write, tmp_path, capsys):
    write("{", "r/a/2026-01-01T000000-a.json")
    assert report.main(["--fleet", "--results", str(tmp_path / "r")]) == 2
    assert "not valid JSON" in capsys.readouterr().err
    assert not (tmp_path / "r/report.html").exists()


def test_links_out_of_the_folder_are_not_followed(write, tmp_path):
    write(sample(), "outside.json")
    write(sample(), "r/a/2026-01-01T000000-a.json")
    (tmp_path / "r/a/2026-01-02T000000-b.json").symlink_to(tmp_path / "outside.json")
    (tmp_path / "r/b").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "2026-01-02T000000-c.json").write_text("{}", encoding="utf-8")
    for found in (fleet.paths_of([tmp_path / "r"]), index.stored_files(tmp_path / "r")):
        assert [p.name for p in found] == ["2026-01-01T000000-a.json"]


def test_equal_nodes_are_machines_of_their_own_if_they_are_named(write):
    def of(name, **context):
        return load.load(write(sample(context), f"{name}.json"))

    plain, first, second = of("p"), of("a", node="n1"), of("b", node="n2")
    ids = {store.machine_id(results) for results in (plain, first, second)}
    assert len(ids) == 3
    assert store.machine_id(plain) == store.machine_id(of("q")), "without a name as ever"
    assert "/" not in store.machine_id(of("c", node="../../etc"))
