# SPDX-License-Identifier: Apache-2.0
"""python -m quantbench_results.model: quantbench-formats, once its packages are found to be there."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence

NEEDED = ("quantbench", "safetensors", "gguf", "ml_dtypes", "tqdm")
INSTALL = "pip install . 'results[model]' in the project's folder installs them; `make formats` does so too"


def main(argv: Sequence[str] | None = None) -> int:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        print(f"quantbench-formats: needs {', '.join(missing)}: {INSTALL}", file=sys.stderr)
        return 2
    from quantbench_results.model.command import main as command

    return command(argv)


if __name__ == "__main__":
    sys.exit(main())
