#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Says of results files whether their runs came to their end; exit status 1 if one did not.

is-complete.py FILE ...
"""

import json
import sys


def state(path):
    """'complete', or what is the matter."""
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        complete, rows = (
            data["context"]["complete"],
            {row.get("run_name", row["name"]) for row in data["benchmarks"]},
        )
    except OSError as error:
        return error.strerror
    except (ValueError, KeyError, TypeError):
        return "not a results file of quantbench"
    return "complete" if complete is True else f"interrupted after {len(rows)} rows"


def main(paths):
    states = {path: state(path) for path in paths}
    for path, text in states.items():
        print(f"{path}: {text}")
    return 0 if states and all(text == "complete" for text in states.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
