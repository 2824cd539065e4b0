# SPDX-License-Identifier: Apache-2.0
"""rules.py: one figure, one spread, one rule for the best, the same in every tool."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import entries, sample

from quantbench_results import choose, page_notes, readme, rules, summary
from quantbench_results.charts import label_machines
from quantbench_results.load import load
from quantbench_results.markdown import markdown
from quantbench_results.rows import Row


def row(*times, variant="v"):
    return Row(f"a/b/{variant}/n:1", "a", "b", variant, "n:1", 1, times)


def test_figure_and_spread():
    assert rules.figure(row(3.0, 1.0, 2.0)) == 2
    assert rules.spread(row(90.0, 100.0, 130.0)) == pytest.approx(0.1)
    assert rules.spread(row(100.0, 100.0)) == rules.LEAST_SPREAD  # closer repetitions are luck
    assert rules.spread(row(100.0)) == rules.LEAST_SPREAD


@pytest.mark.parametrize(
    ("left", "right", "tie"),
    [
        ((100.0,), (101.9,), True),  # 1 % each
        ((100.0,), (102.5,), False),
        ((80.0, 100.0, 120.0), (110.0,), True),
        ((99.0, 100.0, 101.0), (110.0,), False),
    ],
)
def test_ties(left, right, tie):
    assert rules.tied(row(*left), row(*right)) is tie
    assert rules.tied(row(*right), row(*left)) is tie


def test_over_the_limit_goes_by_the_marks():
    def judged(**counters):
        return rules.over_limit(Row("n", "a", "b", "v", "n:1", 1, (1.0, 1.0, 1.0), counters))

    assert judged(over_limit=(1.0, 1.0, 0.0), roof_pct=(99.0, 99.0, 99.0))
    assert not judged(over_limit=(1.0, 0.0, 0.0), roof_pct=(103.0, 103.0, 99.0))
    assert judged(roof_pct=(103.0, 103.0, 99.0))  # of before there were marks
    assert not judged(roof_pct=(102.0, 102.0, 99.0)) and not judged()


@pytest.mark.parametrize(
    ("low", "high", "tie"), [(0.98, 1.02, True), (1.01, 1.05, False), (0.9, 0.97, False)]
)
def test_a_tie_with_a_peer_is_an_interval_around_one(low, high, tie):
    counters = {"vs_best_peer": (1.0,), "vs_best_peer_low": (low,), "vs_best_peer_high": (high,)}
    assert rules.tied_with_peer(Row("n", "a", "b", "v", "n:1", 1, (1.0,), counters)) is tie


def test_the_rules_are_the_same_in_c_plus_plus():
    """A number of the rules that is changed on one side only is found here."""
    root = Path(__file__).parents[2] / "bench"
    text = (root / "figure.h").read_text() + (root / "figure.cc").read_text()
    for name, value in (("kPercentOfError", rules.PERCENT_OF_ERROR),
                        ("kLeastSpread", rules.LEAST_SPREAD)):  # fmt: skip
        found = re.findall(rf"constexpr double {name} = ([\d.]+);", text)
        assert [float(number) for number in found] == [value], name
    everywhere = "".join(path.read_text() for path in root.glob("*.cc"))
    assert len(re.findall(rf"= {rules.PERCENT_OF_ERROR};", everywhere)) == 0, "one place"


def test_pages_that_explain_the_rules_name_their_numbers():
    text = page_notes.reading_section() + (Path(__file__).parents[2] / "docs/results-rules.md").read_text()
    assert text.count(f"{rules.PERCENT_OF_ERROR} %") == 2
    assert "fastest and the" not in text, "the spread is that of the quartiles"


def test_the_best_has_the_smallest_median_not_the_luckiest_repetition():
    lucky, steady = row(50.0, 100.0, 101.0, variant="lucky"), row(90.0, 91.0, 92.0, variant="steady")
    assert rules.best([lucky, steady]) is steady
    assert [r.variant for r in rules.ranked([lucky, steady])] == ["steady", "lucky"]
    assert rules.ties_of_best([steady, lucky]) == [lucky]
    assert rules.best([]) is None


def test_every_tool_names_the_same_best_variant(write):
    """One repetition of the slower variant is the fastest of all; another variant ties."""
    rates = {"items_per_second": 1e9, "bytes_per_second": 4e9, "ops_per_second": 1e9}

    def timed(variant, *times):
        return entries(f"matmul/a8.s8/{variant}/m:1/n:64/k:64", list(times), **rates)

    data = sample({"operations": {"matmul/a8.s8": "matmul_a8_s8"}})
    data["benchmarks"] = [
        *timed("scalar", 1000.0, 1000.0, 1000.0),
        *timed("xsimd_avx2", 100.0, 101.0, 102.0),
        *timed("avx2", 97.0, 180.0, 181.0),
        *timed("avx512", 99.0, 100.5, 103.0),
    ]
    results = load(write(data))
    (best,) = summary.best_variants(results.rows)
    assert (best.row.variant, [r.variant for r in best.ties]) == ("avx512", ["xsimd_avx2"])
    assert best.runner_up is not None and best.runner_up.variant == "avx2"
    (ranked,) = choose.rank(choose.usable(results)).values()
    assert [r.row.variant for r in ranked if r.tied] == ["avx512", "xsimd_avx2"]
    assert choose.tuning(results)["variants"] == {"matmul_a8_s8": {"one": "avx512"}}
    assert "| avx512 |" in markdown(label_machines([results])) and "tie: xsimd" in markdown(
        label_machines([results])
    )
    assert readme.better_variants(results) == []


def test_the_readme_says_where_another_variant_is_faster(write):
    rates = {"items_per_second": 1e9, "bytes_per_second": 4e9, "ops_per_second": 1e9}
    data = sample()
    data["benchmarks"] = [
        *entries("matmul/a8.s8/avx2/m:1/n:64/k:64", [100.0, 101.0], **rates),
        *entries("matmul/a8.s8/avx512/m:1/n:64/k:64", [150.0, 151.0], **rates),
    ]
    text = " ".join(readme.better_variants(load(write(data))))
    assert re.search(r"matmul a8\.s8 1 × 64 × 64 avx2 1\.50×", text)
