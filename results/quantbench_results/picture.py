# SPDX-License-Identifier: Apache-2.0
"""Draws the README's pictures with the report's own page, in Chromium.

python -m quantbench_results.picture FILE --output docs/images
writes docs/images/speed-light.svg (what each family of variants buys), docs/images/formats-light.svg
(which format: speed against error), a picture for each model of results/formats, and all for dark
pages
"""

from __future__ import annotations

import base64
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

from quantbench_results import files, load, readme
from quantbench_results.charts import label_machines
from quantbench_results.cli import Parser, guarded
from quantbench_results.errors import ResultsError
from quantbench_results.figures.base import Machine
from quantbench_results.page import html_page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PICTURES = {"speed": "families", "formats": "front"}
"""Names of pictures, and the kind of chart of which each is the first."""
TABLES = Path("results/formats")
"""Tables of models (quantbench-formats --table), each of which is a picture, too."""
WAIT_SECONDS = 110  # a busy machine takes its time


def missing() -> str:
    """What keeps a browser from being driven here; empty if nothing does."""
    if not any(map(shutil.which, BROWSERS)):
        return "no chromium on PATH (scripts/install-deps.sh --browser installs it)"
    if not shutil.which("chromedriver"):
        return "no chromedriver on PATH (scripts/install-deps.sh --browser installs it)"
    return ""


@contextmanager
def browser() -> Iterator[webdriver.Chrome]:
    """A headless Chromium."""
    if why := missing():
        raise ResultsError("the picture", why)
    options = Options()
    options.binary_location = next(filter(None, map(shutil.which, BROWSERS)))
    for flag in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(flag)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium has none for root
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    try:
        driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    except WebDriverException as error:
        raise ResultsError("chromium", f"does not start: {error.msg}") from None
    try:
        driver.set_script_timeout(WAIT_SECONDS)
        yield driver
    finally:
        driver.quit()


def wait_for(driver: webdriver.Chrome, script: str) -> None:
    """Until the script returns something true."""
    WebDriverWait(driver, WAIT_SECONDS).until(lambda d: d.execute_script(script))


def load_page(driver: webdriver.Chrome, page: Path) -> None:
    """Opens a report and waits until its script has unpacked the data."""
    driver.get(page.as_uri())
    wait_for(driver, "return !!window.quantbench")


def open_page(driver: webdriver.Chrome, page: Path) -> None:
    """Opens a report, unfolds it and waits until every chart is drawn."""
    load_page(driver, page)
    driver.execute_async_script("quantbench.drawAll().then(arguments[0])")


def emulate(
    driver: webdriver.Chrome, *, scheme: str = "light", width: int = 0, height: int = 0
) -> None:
    """A colour scheme, and the screen of a phone if width is given (otherwise none)."""
    driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )
    if width:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": True}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    else:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def print_pdf(driver: webdriver.Chrome) -> bytes:
    """The page on A4."""
    size = {"paperWidth": 8.27, "paperHeight": 11.69, "preferCSSPageSize": False}
    return base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", size)["data"])


def draw(
    driver: webdriver.Chrome, machine: Machine, scheme: str, kind: str = "families", width: int = 860,
    models: Sequence[Path] = (),
) -> str:  # fmt: skip
    """The first chart of a kind in one colour scheme, as SVG."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        files.write_text(page, html_page([machine], models))
        emulate(driver, scheme=scheme)
        load_page(driver, page)
        svg = driver.execute_async_script(
            "quantbench.svg(arguments[0], arguments[1]).then(arguments[2])", kind, width
        )
        emulate(driver)
    if not isinstance(svg, str):
        raise ResultsError(machine.results.path, "has no rows to draw the picture from")
    return svg


def source_mark(file: Path) -> str:
    """At the end of the picture: the results file that it was drawn from."""
    return f"<!-- drawn from {file.name.replace('--', '-')} -->"


def _main(argv: list[str] | None) -> int:
    parser = Parser(prog="picture", description="Draws the README's picture.")
    parser.add_argument(
        "file", type=Path, nargs="?", help="default: the one that README.md's tables name"
    )
    parser.add_argument("--output", type=Path, default=Path("docs/images"), metavar="FOLDER")
    parser.add_argument(
        "--model", type=Path, metavar="MODEL.json",
        help="draw MODEL-light.svg and -dark.svg alone, of this file of quantbench-formats",
    )  # fmt: skip
    options = parser.parse_args(argv)
    file = options.file or readme.named_file(Path("README.md"))
    (machine,) = label_machines([load.load(file)])
    models = [options.model] if options.model else sorted(TABLES.glob("*.json"))
    of_models = [(path.name.removesuffix(".json"), "model", [path]) for path in models]
    wanted = [] if options.model else [(name, kind, []) for name, kind in PICTURES.items()]
    with browser() as driver:
        for name, kind, sources in [*wanted, *of_models]:
            for scheme in ("light", "dark"):
                path = options.output / f"{name}-{scheme}.svg"
                svg = draw(driver, machine, scheme, kind, models=sources)
                files.write_text(path, svg + source_mark(sources[0] if sources else file) + "\n")
                print(path)
    return 0


def main(argv: list[str] | None = None) -> int:
    return guarded("picture", lambda: _main(argv))


if __name__ == "__main__":
    sys.exit(main())
