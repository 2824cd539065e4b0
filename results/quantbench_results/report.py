# SPDX-License-Identifier: Apache-2.0
"""Turns results files into one HTML page that opens offline, and a Markdown summary.

quantbench-report [FILE|FOLDER ...]   default: the newest file under results/
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from quantbench_results import files, fleet, load, readme
from quantbench_results.charts import check_size, label_machines
from quantbench_results.cli import Parser, guarded
from quantbench_results.errors import ResultsError
from quantbench_results.fleet_report import write_fleet
from quantbench_results.index import index_markdown
from quantbench_results.markdown import markdown
from quantbench_results.page import html_page
from quantbench_results.text import printable


def _readme(path: Path, named: Sequence[Path], check: bool) -> int:
    if len(named) > 1:
        raise ResultsError(path, "shows one results file, not several")
    if not named and not check:
        raise ResultsError(path, "name the results file that it shall show")
    file = named[0] if named else readme.named_file(path)
    same = readme.write(path, load.load(file), check)
    state = "as they are in" if same else "not those of" if check else "written from"
    print(printable(f"{path}: results {state} {file}"))
    return 1 if check and not same else 0


def _parser() -> Parser:
    parser = Parser(
        prog="quantbench-report",
        description="Turns results files into one HTML page that opens offline, and a Markdown "
        "summary.",
    )
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="results files or folders of them (default: the newest under --results)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PREFIX",
        help="writes PREFIX.html and PREFIX.md (default: <results>/report)",
    )
    parser.add_argument(
        "--model",
        type=Path,
        action="append",
        default=[],
        metavar="MODEL.json",
        help="a file of quantbench-formats, to be shown as well; may be repeated",
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        metavar="FOLDER",
        help="the folder of results (default: %(default)s)",
    )
    parser.add_argument(
        "--index",
        action="store_true",
        help="only write <results>/index.md, the list of stored files",
    )
    parser.add_argument(
        "--fleet",
        action="store_true",
        help="the page on many machines (default: from %d files on); with --index also the list of "
        "stored files, each file being read once" % fleet.FROM_MACHINES,
    )
    parser.add_argument(
        "--readme",
        nargs="+",
        type=Path,
        metavar="PAGE.md",
        help="only write the tables of one file between the marks of README.md, docs/results.md",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="with --readme: write nothing, exit status 1 if the tables aren't those of the file "
        "(default: of the file that they name)",
    )
    return parser


def _main(argv: Sequence[str] | None) -> int:
    parser = _parser()
    options = parser.parse_args(argv)
    if options.check and not options.readme:
        parser.error("--check goes with --readme")
    if options.readme:
        return max(_readme(page, options.files, options.check) for page in options.readme)
    if options.index and not options.fleet:
        path = options.results / "index.md"
        files.write_text(path, index_markdown(options.results))
        print(printable(str(path)))
        return 0
    prefix = options.output or options.results / "report"
    named = options.files or [options.results if options.fleet else load.newest(options.results)]
    if options.fleet:
        return write_fleet(named, prefix, options.results if options.index else None)
    if len(fleet.paths_of(named)) >= fleet.FROM_MACHINES:
        return write_fleet(named, prefix)
    found = load.load_many(named)
    check_size(found)
    machines = label_machines(found)
    page, text = html_page(machines, options.model), markdown(machines)
    for suffix, content in ((".html", page), (".md", text)):
        path = prefix.with_name(prefix.name + suffix)
        files.write_text(path, content)
        print(printable(str(path)))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    return guarded("quantbench-report", lambda: _main(argv))


if __name__ == "__main__":
    sys.exit(main())
