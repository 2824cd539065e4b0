# SPDX-License-Identifier: Apache-2.0
"""The one way in which the tools write files.

A file is written whole or not at all: first a temporary file of a random name beside it, opened
exclusively, then a rename. Only regular files are replaced. A link stays: the file that it points to
is replaced. A device or a pipe is written to as it is.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from quantbench_results.errors import ResultsError


def write_text(path: Path | str, text: str) -> None:
    """Writes the text to the file; ResultsError if it can't be written, closed or renamed."""
    path = Path(path)
    data = text.encode("utf-8", errors="replace")
    try:
        mode = _mode(path)
        if mode is not None and not stat.S_ISREG(mode):
            _write_through(path, data)
        else:
            _replace(Path(os.path.realpath(path)), data, mode)
    except OSError as error:
        raise ResultsError(path, f"can't write: {error.strerror or error}") from None


def _mode(path: Path) -> int | None:
    """The mode of the file that the path leads to; None if there is none."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _write_through(path: Path, data: bytes) -> None:
    with open(path, "wb", buffering=0) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]


def _replace(target: Path, data: bytes, mode: int | None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # mkstemp opens with O_EXCL: a file or link that is there already is never followed.
    handle, beside = tempfile.mkstemp(
        prefix=target.name[:100] + ".", suffix=".tmp", dir=target.parent
    )
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), stat.S_IMODE(mode) if mode is not None else _default_mode())
        os.replace(beside, target)
    except BaseException:
        os.unlink(beside)
        raise


def _default_mode() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
