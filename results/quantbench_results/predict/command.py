# SPDX-License-Identifier: Apache-2.0
"""quantbench-predict: see the package."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from quantbench_results import files, load, readme
from quantbench_results.cli import Parser, guarded
from quantbench_results.errors import ResultsError
from quantbench_results.predict.judge import Measured, measured_from, predictions
from quantbench_results.predict.model import model
from quantbench_results.predict.objects import run_tool, tool
from quantbench_results.predict.output import markdown, table
from quantbench_results.text import printable


def _parser() -> Parser:
    parser = Parser(
        prog="quantbench-predict",
        description="Models each hot loop of built kernels with llvm-mca: a prediction, labelled so.",
    )
    parser.add_argument("builds", nargs="+", type=Path, metavar="BUILD", help="build folders")
    parser.add_argument("--output", type=Path, default=Path("results/predicted"), metavar="FOLDER")
    parser.add_argument(
        "--measured",
        type=Path,
        metavar="FILE",
        help="a results file to judge the model by, or a README whose tables name one: predictions "
        "for that core that are above what was measured are refused",
    )
    return parser


def _measured(file: Path | None) -> Measured | None:
    if file is None:
        return None
    return measured_from(load.load(readme.named_file(file) if file.suffix == ".md" else file))


def _main(argv: Sequence[str] | None) -> int:
    options = _parser().parse_args(argv)
    found = model(options.builds)
    if not found:
        raise ResultsError(
            options.builds[0], "no hot loop of a variant that a modelled core can run"
        )
    measured = _measured(options.measured)
    version = run_tool([tool("llvm-mca"), "--version"]).strip().splitlines()[0].strip()
    told = predictions(found, measured)
    for name, text in (
        ("loops.csv", table(found, told)),
        ("README.md", markdown(found, measured, version)),
    ):
        files.write_text(options.output / name, text)
        print(printable(str(options.output / name)))
    failed = sum(bool(loop.error) for loop in found)
    refused = sum(prediction.refused for prediction in told.values())
    print(
        f"{len(found)} loops modelled, {failed} of them not possible; {len(told)} predictions, "
        f"{refused} refused, since the kernel was measured to be faster"
    )
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    return guarded("quantbench-predict", lambda: _main(argv))


if __name__ == "__main__":
    sys.exit(main())
