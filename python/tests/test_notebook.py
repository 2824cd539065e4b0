# SPDX-License-Identifier: Apache-2.0
"""The notebook: its 36 labels, and the library's own float16 product on the way to them."""

import importlib.util
import pathlib

import numpy as np

import quantbench as qb

PATH = pathlib.Path(__file__).parent.parent / "examples" / "notebook.py"
FP16 = [3956, 874, 201, 109, 843, 46, 1419, 1058, 865, 2894, 2059, 1386]
INT8 = [3956, 874, 201, 109, 843, 46, 1419, 1058, 1495, 2894, 2059, 1386]
INT4 = [3956, 3782, 242, 1582, 514, 1716, 2584, 1058, 865, 2436, 2059, 1386]


def notebook():
    spec = importlib.util.spec_from_file_location("notebook", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_labels():
    labels = notebook().predictions()
    assert {name: y.tolist() for name, y in labels.items()} == {"FP16": FP16, "INT8": INT8,
                                                                "INT4": INT4}


def test_what_it_prints(capsys):
    notebook().four_weights("Int4")
    assert "Int8 Weights: [ 7 -4  2 -1]" in capsys.readouterr().out


def test_the_float16_product_is_numpys():
    x, w, _ = notebook().layer()
    columns = np.ascontiguousarray(w.T)
    weights = qb.Quantized("f16", columns.shape, columns.view(np.uint8))
    assert np.array_equal(qb.matmul(x, weights, "f16"), np.matmul(x, w))
