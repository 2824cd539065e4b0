# SPDX-License-Identifier: Apache-2.0
"""The README's lines and the example that it runs, as they stand there."""

import pathlib
import re
import runpy

import numpy as np

ROOT = pathlib.Path(__file__).parents[2]


def test_the_readmes_lines(capsys):
    section = (ROOT / "README.md").read_text().split("\n## Import it\n")[1].split("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    names: dict = {}
    exec(code, names)
    exact = names["x"].astype(np.float64) @ names["w"].T
    error = np.linalg.norm(names["y"] - exact) / np.linalg.norm(exact)
    assert names["y"].shape == (2, 4096) and error < 0.12
    assert "absmax_f32 [1048576]: right on" in capsys.readouterr().out


def test_the_example(capsys):
    runpy.run_path(str(ROOT / "python" / "examples" / "gemv.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert re.search(r"^\w+: error \d\.\d% of the product$", printed, re.MULTILINE), printed
    assert re.search(r"^numpy is \S+ times as fast as ", printed, re.MULTILINE), printed
