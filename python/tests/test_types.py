# SPDX-License-Identifier: Apache-2.0
"""The installed package's types are whole, and find a mistake of its user. Skipped without mypy."""

import pytest

SOURCE = """
import numpy as np
import quantbench as qb

q = qb.quantize(np.zeros((64, 64), np.float32), "q4_0")
y = qb.pack(q, arithmetic="a8", threads=2).matmul(np.zeros((2, 64), np.float32))
ratio: float = qb.rank(lambda x: np.abs(x).max(), op="absmax_f32").vs_best_own
qb.matmul(y, q, threads="2")
"""


def test_types(tmp_path):
    api = pytest.importorskip("mypy.api")
    out, _, status = api.run(["--strict", "--cache-dir", str(tmp_path), "-p", "quantbench"])
    assert status == 0, out
    user = tmp_path / "user.py"
    user.write_text(SOURCE)
    out, _, status = api.run(["--strict", "--cache-dir", str(tmp_path), str(user)])
    assert "Found 1 error" in out and "user.py:8: error" in out and '"threads"' in out, out
