# SPDX-License-Identifier: Apache-2.0
"""What every page of the results tools is: one HTML file that fetches nothing, and runs no script but
those that its policy names by their hashes, whatever a file's names and texts hold."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from quantbench_results.text import attribute


def part(name: str) -> str:
    """A file of this folder: styles or a script."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def script_hash(script: str) -> str:
    """By which a policy lets a script run."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() + "'"


def document(
    title: str,
    style: str,
    body: str,
    script: str,
    hashes: Sequence[str] = (),
    images: str = "data:",
) -> str:
    """The page. `script` stands at the end of its body. `hashes` are those of other scripts that it may
    run, `images` is where its pictures may come from."""
    policy = (
        f"default-src 'none'; script-src {' '.join([*hashes, script_hash(script)])}; "
        f"style-src 'unsafe-inline'; img-src {images}; base-uri 'none'; form-action 'none'"
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{attribute(title)}</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
</head>
<body>
{body}
<script>{script}</script>
</body>
</html>
"""
