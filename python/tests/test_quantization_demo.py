# SPDX-License-Identifier: Apache-2.0
"""The table of what formats lose: the notebook's counts, and NumPy's errors."""

import importlib.util
import pathlib
import sys

import numpy as np
import pytest

import quantbench as qb

PATH = pathlib.Path(__file__).parent.parent / "examples" / "quantization_demo.py"


@pytest.fixture(scope="module")
def demo():
    spec = importlib.util.spec_from_file_location("quantization_demo", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["quantization_demo"] = module
    spec.loader.exec_module(module)
    return module


def test_per_tensor_it_is_the_notebook(demo):
    layer = demo.Layer(further=64)
    rows = demo.losses(layer, ["s8", "s4"], ["tensor"])
    assert [(row.format, row.changed) for row in rows] == [("s8", 1), ("s4", 7)]
    assert "s4       tensor                  4   3.8e-02         7" in demo.table(rows, layer)


def test_errors_and_labels_are_those_of_numpy(demo):
    layer = demo.Layer(seed=3, sizes=(6, 64, 96), further=40)
    (row,) = demo.losses(layer, ["s4"], ["channel"])
    w = layer.weights.astype(np.float64)
    scale = np.abs(layer.weights.astype(np.float32)).max(axis=1, keepdims=True) / np.float32(7)
    restored = (np.rint(layer.weights / scale) * scale).astype(np.float16)
    assert row.nmse == pytest.approx(np.sum((restored - w) ** 2) / np.sum(w**2), rel=1e-3)
    assert row.bits == 4 + 32 / 64

    random = np.random.RandomState(3)
    x, w, classifier = (random.randn(*shape).astype(np.float16)
                        for shape in ((6, 64), (64, 64), (64, 96)))  # fmt: skip
    further = random.randn(40, 64).astype(np.float16)
    for inputs, changed in ((x, row.changed), (further, row.further_changed)):
        before = np.argmax(inputs @ w @ classifier, -1)
        after = np.argmax(inputs @ restored.T @ classifier, -1)
        assert changed == np.sum(before != after)


def test_every_format_has_a_row(demo):
    rows = demo.losses(demo.Layer(sizes=(2, 256, 16), further=8))
    names = {name.removesuffix("g") for name in qb.formats()} - {"f32", "f16"}
    assert {row.format for row in rows} == names
    with pytest.raises(ValueError, match="no format 'q9'; there are: s8"):
        demo.schemes(["q9"])


def test_what_does_not_fit_is_said(demo, capsys):
    rows = demo.losses(demo.Layer(sizes=(2, 40, 16), further=8), ["s8", "q4_0"], ["channel"])
    assert [row.format for row in rows] == ["s8"]
    assert "not tried: q4_0" in capsys.readouterr().out


def test_bad_arguments(demo, capsys):
    for arguments in (["--sizes", "12x512"], ["--format", "q9"], ["--granularity", "7"]):
        with pytest.raises(SystemExit) as status:
            demo.main(arguments)
        assert status.value.code == 2
    assert "is not like 12x512x4096" in capsys.readouterr().err


def test_the_weights_are_written_as_outputs_by_inputs(demo, tmp_path):
    weights = tmp_path / "notebook.npz"
    demo.main(["--sizes", "2x64x16", "--inputs", "8", "--format", "q4_0", "--weights", str(weights)])
    found = np.load(weights)
    assert found["layer"].shape == (64, 64) and found["classifier"].shape == (16, 64)
    np.testing.assert_array_equal(found["layer"], demo.Layer(sizes=(2, 64, 16), further=8).weights)


def test_the_drawing(demo, tmp_path, capsys):
    pytest.importorskip("plotly")
    page = tmp_path / "demo.html"
    demo.main(["--sizes", "2x64x16", "--inputs", "8", "--format", "q4_0", "--output", str(page)])
    assert "q4_0     block of 32           4.5" in capsys.readouterr().out
    assert "plotly" in page.read_text(encoding="utf-8")
