"""What the command-line tools share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from quantbench_results.load import ResultsError


def guarded(tool: str, body: Callable[[], int]) -> int:
    """Runs a tool's body: a ResultsError is one line on stderr and exit status 2, no traceback."""
    try:
        status = body()
        sys.stdout.flush()
        return status
    except ResultsError as error:
        print(f"{tool}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
