# SPDX-License-Identifier: Apache-2.0
"""What the command-line tools share: their parser, and how they end."""

from __future__ import annotations

import argparse
import errno
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import IO, NoReturn

from quantbench_results.errors import ResultsError
from quantbench_results.text import printable

UNUSABLE = 2


class Parser(argparse.ArgumentParser):
    """An argument parser whose messages can't fool a terminal."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))

    def _print_message(self, message: str, file: IO[str] | None = None) -> None:
        """As argparse does it, but an output that is full is no success."""
        if file is sys.stdout and message:
            file.write(message)
            file.flush()
        else:
            super()._print_message(message, file)


def joined(argv: Sequence[str] | None, *options: str) -> list[str]:
    """The arguments with the value of each of these options joined to it by '=', so that a value
    that begins with '-' is taken for what it is."""
    words = list(sys.argv[1:] if argv is None else argv)
    found: list[str] = []
    while words:
        word = words.pop(0)
        if word == "--":
            return [*found, word, *words]
        found.append(f"{word}={words.pop(0)}" if word in options and words else word)
    return found


def guarded(tool: str, body: Callable[[], int]) -> int:
    """Runs a tool's body. Whatever goes wrong is one line on stderr and exit status 2: an unusable
    file, an output that is closed or full, and what nobody foresaw."""
    try:
        if sys.stdout is None:
            raise ResultsError("standard output", "is closed")
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")  # a locale may lack a character
        try:
            return body()
        finally:
            sys.stdout.flush()
    except ResultsError as error:
        _say(f"{tool}: {error}" + (f"\n{error.details}" if error.details else ""))
    except KeyboardInterrupt:
        return 130
    except MemoryError:
        _say(f"{tool}: out of memory")
    except OSError as error:
        _discard_output()
        where = printable(str(error.filename)) if error.filename else "standard output"
        _say(f"{tool}: {where}: {error.strerror or errno.errorcode.get(error.errno or 0, error)}")
    except Exception as error:  # noqa: BLE001 - a tool in a pipeline must not end in a traceback
        at = traceback.extract_tb(error.__traceback__)[-1]
        what = printable(f"{type(error).__name__}: {error}", 300)
        _say(f"{tool}: a fault of this tool at {os.path.basename(at.filename)}:{at.lineno}: {what}")
    return UNUSABLE


def _say(text: str) -> None:
    if sys.stderr is not None:
        try:
            print(text, file=sys.stderr, flush=True)
        except OSError:
            pass


def _discard_output() -> None:
    """Sends what is still buffered nowhere, lest the interpreter complain about it when it ends."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        pass
