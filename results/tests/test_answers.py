# SPDX-License-Identifier: Apache-2.0
"""The report's first screen: what to use for decoding, for prompts and when exactness matters."""

from __future__ import annotations

import pytest
from conftest import CONTEXT, entries
from test_layer import FORMATS, measured

from quantbench_results import answers, load, page_parts
from quantbench_results.charts import label_machines
from quantbench_results.page import html_page


def found(data, tmp_path):
    return {a.question: a for a in answers.answers(load.parse(data, tmp_path / "a.json"))}


def test_three_questions_are_answered(tmp_path):
    by_question = found(measured(), tmp_path)
    assert list(by_question) == ["For decoding", "For prompts", "When exactness matters"]
    (decoding,) = by_question["For decoding"].choices
    exact = by_question["When exactness matters"].choices
    assert [choice.purpose for choice in exact] == ["decoding", "a prompt"]
    assert FORMATS[decoding.row.format][1] <= 1e-2
    for choice in exact:
        assert FORMATS[choice.row.format][1] <= answers.EXACT_ERROR
    within = {name: ns for name, (_, error, ns) in FORMATS.items() if error <= answers.EXACT_ERROR}
    assert exact[0].row.format == min(within, key=within.get)


def test_margins_are_told(tmp_path):
    (choice,) = found(measured(), tmp_path)["For decoding"].choices
    text = " ".join(choice.facts)
    assert "as fast as the next" in text or "a tie with" in text
    assert "that is not quantized" in text
    assert "of the outputs' energy" in text and "bits a weight" in text


def two_formats(first_ns, second_ns):
    rows = []
    for format_, ns, error in (("a8.q4_0", first_ns, 7e-3), ("a8.iq4_nl", second_ns, 6e-3)):
        rows += entries(
            f"matmul/{format_}/avx2/m:1/n:512/k:256", [ns, ns, ns], ops_per_second=2e9 * 512 * 256 / ns,
            bytes_per_second=1e9 * (512 * 144 + 4 * 768) / ns, nmse=0.0, weights_nmse=error,
        )  # fmt: skip
    return {"context": CONTEXT, "benchmarks": rows}


def test_of_a_tie_the_more_exact_is_taken(tmp_path):
    (choice,) = found(two_formats(1000.0, 1010.0), tmp_path)["For decoding"].choices
    assert choice.weights == "iq4_nl" and choice.arithmetic == "a8: activations in 8 bits"
    assert any("a tie with a8.q4_0, and the most exact" in fact for fact in choice.facts)
    (choice,) = found(two_formats(1000.0, 1100.0), tmp_path)["For decoding"].choices
    assert choice.weights == "q4_0" and any("1.10× as fast as the next" in f for f in choice.facts)


def test_no_format_within_the_error_is_said(tmp_path):
    answer = found(two_formats(1000.0, 1100.0), tmp_path)["When exactness matters"]
    assert not answer.choices and "within an error of 0.0001" in answer.none


def test_a_file_without_products_or_times_has_no_answers(tmp_path):
    arrays = {"context": CONTEXT, "benchmarks": entries("absmax/f32/avx2/n:8", [1.0], bytes_per_second=1.0)}
    assert found(arrays, tmp_path) == {}
    smoke = two_formats(1000.0, 1100.0)
    for entry in smoke["benchmarks"]:
        entry["label"] = "verified:quick emulated: no timing claim"
    smoke["context"] = CONTEXT | {"emulated": "yes"}
    assert found(smoke, tmp_path) == {}


def test_the_page_answers_before_its_charts(tmp_path):
    page = html_page(label_machines([load.parse(measured(), tmp_path / "a.json")]))
    assert page.index("On this CPU use") < page.index("For decoding") < page.index('class="filters"')
    assert page.index("When exactness matters") < page.index("<figcaption>")
    assert "Measured: " in page and "each verified" in page


def test_percent_of_an_error():
    assert [answers.percent(e) for e in (7.4e-3, 7.2e-5, 1e-9)] == [
        "0.74 %", "0.0072 %", "under 0.0001 %"]  # fmt: skip


def test_long_names_may_break():
    assert page_parts.breakable("sse4.2+avx2<b>") == "sse4.2+<wbr>avx2&lt;b&gt;"


@pytest.mark.parametrize("count", [1, 2])
def test_counts(count):
    assert page_parts.counted(count, "row") == ("1 row" if count == 1 else "2 rows")
