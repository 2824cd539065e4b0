# SPDX-License-Identifier: Apache-2.0
"""quantbench-choose: rankings, crossovers, formats, and the tuning file."""

from __future__ import annotations

import json

import pytest
from conftest import entries, sample

from quantbench_results import choose, dispatch
from quantbench_results.errors import ResultsError
from quantbench_results.load import load


def rows_file(write, *rows, **context):
    data = sample(context)
    data["benchmarks"] = [entry for row in rows for entry in row]
    return load(write(data))


def array(variant, n, ns, op="absmax", format_="f32", shape="", **counters):
    name = f"{op}/{format_}/{variant}/{shape or f'n:{n}'}"
    return entries(name, [ns * 1.01, ns, ns * 1.005], **counters)


def test_ranks_by_median_and_marks_ties(write):
    results = rows_file(write, array("scalar", 64, 100), array("a", 64, 10), array("b", 64, 10.05))
    ranked = choose.rank(choose.usable(results))[("absmax", "f32", "n:64", 1)]
    assert [r.row.variant for r in ranked] == ["a", "b", "scalar"]
    assert [r.tied for r in ranked] == [True, True, False]
    assert ranked[2].slowdown == pytest.approx(10)


def test_finds_the_crossover(write):
    results = rows_file(
        write,
        array("a", 64, 10), array("b", 64, 20),
        array("a", 128, 20), array("b", 128, 25),
        array("a", 256, 60), array("b", 256, 40),
    )  # fmt: skip
    found = choose.crossovers(choose.rank(choose.usable(results)))
    assert found == {"absmax/f32": [choose.Crossover("n", 128, 256, "a", "b")]}


def test_a_tie_is_no_crossover(write):
    results = rows_file(
        write,
        array("a", 64, 10), array("b", 64, 20),
        array("a", 128, 20.05), array("b", 128, 20),
    )  # fmt: skip
    assert choose.crossovers(choose.rank(choose.usable(results))) == {}
    # Nor is one where the later winner could not be told from the earlier one before.
    results = rows_file(
        write,
        array("a", 64, 10), array("b", 64, 10.05),
        array("a", 128, 20), array("b", 128, 15),
    )  # fmt: skip
    assert choose.crossovers(choose.rank(choose.usable(results))) == {}


def test_formats_name_their_error(write):
    found = choose.formats(choose.rank(choose.usable(load(write(sample())))))
    choices = found["m:1/n:1024/k:1024"]
    assert {c.format for c in choices} == {"a32.q8_0", "a8.q8_0", "a8.q4_0"}
    assert {c.error for c in choices} == {1e-13, 3e-5, 5e-3}
    assert all(not c.variant.startswith("peer:") for c in choices)
    assert [c.tied for c in choices] == [False, True, True], "equally fast"


def test_tuning_takes_the_best_over_all_sizes(write, tmp_path):
    results_path = write(
        sample({"operations": {"absmax/f32": "absmax_f32"}}) | {
            "benchmarks": [
                *array("a", 64, 10), *array("b", 64, 11),
                *array("a", 128, 40), *array("b", 128, 20),
                *array("only_small", 64, 1),
                *array("peer:x", 64, 0.5), *array("peer:x", 128, 0.5),
                *(row | {"label": "verified:quick; loaded from ./mine.so"}
                  for n in (64, 128) for row in array("mine", n, 0.5)),
            ]
        }
    )  # fmt: skip
    out = tmp_path / "tuning.json"
    assert choose.main([str(results_path), "--write-tuning", str(out)]) == 0
    tuned = json.loads(out.read_text())
    assert tuned["variants"] == {"absmax_f32": "b"}
    assert tuned["quantbench_tuning"] == 2
    assert tuned["row_classes"] == {"one": 1, "few": 2, "many": 4}
    assert tuned["cpu"] == {
        "name": "Example CPU E-5 @ 3.00GHz",
        "isa_detected": "sse4.2+avx2+fma+f16c",
    }


def product(variant, m, ns, format_="abf16.f32"):
    return array(variant, 64, ns, op="matmul", format_=format_, shape=f"m:{m}/n:64/k:64")


PRODUCTS = {"operations": {"matmul/abf16.f32": "matmul_abf16_f32", "absmax/f32": "absmax_f32"}}


def test_tuning_of_products_is_by_rows(write):
    results = rows_file(
        write,
        product("avx512", 1, 12), product("avx512bf16", 1, 10),
        product("avx512", 12, 60), product("avx512bf16", 12, 100),
        product("avx512", 128, 700), product("avx512bf16", 128, 600),
        array("avx2", 64, 10),
        **PRODUCTS,
    )  # fmt: skip
    assert choose.tuning(results)["variants"] == {
        "absmax_f32": "avx2",
        # 60/100 weighs more than 700/600; no row has m of 2 or 3, so that nothing is said of few
        "matmul_abf16_f32": {"one": "avx512bf16", "many": "avx512"},
    }


def test_classes_of_rows_are_those_of_the_file(write):
    rows = [product("a", 12, 20), product("b", 12, 10), product("a", 32, 10), product("b", 32, 20)]
    context = PRODUCTS | {"row_classes": {"one": 1, "few": 2, "many": 20}}
    tuned = choose.tuning(rows_file(write, *rows, **context))
    assert tuned["variants"] == {"matmul_abf16_f32": {"few": "b", "many": "a"}}
    assert tuned["row_classes"] == context["row_classes"]


def test_a_class_without_its_dispatched_variant_is_left_out(write):
    dispatched = {"matmul/abf16.f32": {"one": "avx512bf16", "few": "avx512", "many": "avx512"}}
    results = rows_file(
        write,
        product("avx512", 1, 12),
        product("avx512", 12, 60), product("avx512bf16", 12, 100),
        **PRODUCTS, dispatched=dispatched,
    )  # fmt: skip
    assert choose.tuning(results)["variants"] == {"matmul_abf16_f32": {"many": "avx512"}}
    assert any("matmul/abf16.f32 (1 shapes)" in warning for warning in choose.warnings(results))


def test_unverified_and_failed_rows_do_not_count(write):
    unverified = array("fast", 64, 1)
    for entry in unverified:
        del entry["mismatches"]
    results = rows_file(write, unverified, array("a", 64, 10))
    assert {row.variant for row in choose.usable(results)} == {"a"}


def interrupted(write, **context):
    """Two formats whole, of a third only what runs first."""
    data = sample({"complete": False, **context,
                   "operations": {f"absmax/{f}": f"absmax_{f}" for f in ("f32", "f16", "bf16")}})  # fmt: skip
    data["benchmarks"] = [
        *array("autovec", 64, 20), *array("avx2", 64, 10),
        *array("autovec", 64, 20, format_="f16"), *array("avx2", 64, 10, format_="f16"),
        *array("autovec", 64, 20, format_="bf16"),
    ]  # fmt: skip
    return write(data)


@pytest.mark.parametrize(
    "context", [{}, {"dispatched": {f"absmax/{f}": "avx2" for f in ("f32", "f16", "bf16")}}]
)
def test_an_interrupted_file_is_warned_about(write, capsys, tmp_path, context):
    path = interrupted(write, **context)
    tuning = tmp_path / "tuning.json"
    assert choose.main([str(path), "--write-tuning", str(tuning)]) == 0
    said = capsys.readouterr()
    assert "warning" in said.err and "interrupted" in said.err
    assert "left out" in said.err and "absmax/bf16 (1 shapes)" in said.err
    assert "absmax/bf16" not in said.out and "absmax/f16" in said.out
    assert json.loads(tuning.read_text())["variants"] == {"absmax_f32": "avx2", "absmax_f16": "avx2"}


def test_a_dispatched_variant_that_failed_leaves_its_format_out(write, capsys):
    path = interrupted(write, complete=True,
                       dispatched={"absmax/f32": "avx2", "absmax/f16": "avx512"})  # fmt: skip
    assert choose.main([str(path)]) == 0
    said = capsys.readouterr()
    assert "absmax/f16 (1 shapes)" in said.err and "interrupted" not in said.err
    assert "absmax/f32" in said.out and "absmax/f16" not in said.out


def test_what_a_file_does_not_name_is_not_dispatched(write):
    """Packing has a hand-written variant, but no user calls it for itself."""
    packing = {"op": "repack", "format_": "a8.s8", "shape": "n:64/k:64"}
    rows = [array("scalar", 64, 20, **packing), array("avx2", 64, 10, **packing), array("avx2", 64, 10)]
    results = rows_file(write, *rows, dispatched={"absmax/f32": "avx2"})
    assert dispatch.dispatched(results) == {("absmax", "f32", ""): "avx2"}
    assert dispatch.unmeasured(results) == [] and choose.warnings(results) == []
    old = rows_file(write, *rows)
    assert dispatch.dispatched(old)["repack", "a8.s8", ""] == "avx2", "guessed, as nothing is named"


def test_refuses_emulated_results(write):
    with pytest.raises(ResultsError, match="no timing to choose by"):
        choose.usable(load(write(sample({"emulated": "yes: timings mean nothing"}))))


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["--shape", "n:7"], "no row has this"),
        (["--write-tuning", "/nonexistent/dir/t.json"], "operations"),
    ],
)
def test_errors_are_one_line(write, capsys, args, why):
    assert choose.main([str(write(sample())), *args]) == 2
    error = capsys.readouterr().err
    assert why in error and error.count("\n") == 1


def test_truncated_file_is_an_error(write, capsys):
    assert choose.main([str(write('{"context": {'))]) == 2
    assert "not valid JSON" in capsys.readouterr().err


def test_hostile_names_are_harmless(write, capsys):
    data = sample()
    data["benchmarks"] += array("a\x1b[31m", 64, 10)
    assert choose.main([str(write(data))]) == 0
    assert "\x1b" not in capsys.readouterr().out
