# SPDX-License-Identifier: Apache-2.0
"""The package's own shape: no modules that import each other, no function that is hard to read."""

from __future__ import annotations

import ast
import graphlib
import importlib.util
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "results/quantbench_results"
PYTHON = [
    path
    for folder in ("results/quantbench_results", "results/tests", "scripts", "tests")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
MOST_LINES_OF_A_FUNCTION = 60
MOST_LINES_OF_A_FILE = 500


def imports(path: Path) -> set[str]:
    """The package's own modules that a module imports, as paths below the package."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE.name):
            inside = node.module.split(".")[1:]
            for name in node.names:
                for parts in (inside, [*inside, name.name]):
                    if parts and (PACKAGE.joinpath(*parts).with_suffix(".py")).is_file():
                        found.add("/".join(parts))
    return found


def test_no_module_imports_what_imports_it():
    graph = {
        path.relative_to(PACKAGE).with_suffix("").as_posix(): imports(path)
        for path in PACKAGE.rglob("*.py")
    }
    assert "readme" in graph["report"] and "rules" in graph["readme"], "the graph is read"
    list(graphlib.TopologicalSorter(graph).static_order())  # CycleError names the modules


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_functions_and_files_are_short(path):
    text = path.read_text(encoding="utf-8")
    long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno >= MOST_LINES_OF_A_FUNCTION
    }
    assert not long, "split them"
    if "fixtures" not in path.parts:  # one part per operation, made once
        assert text.count("\n") <= MOST_LINES_OF_A_FILE, "split it"


# What reads models, beside what every tool needs: pyproject.toml's extra, and the package measured by.
READS_MODELS = {"gguf", "ml_dtypes", "safetensors", "tqdm"}


def imported_from_outside(paths) -> set[str]:
    """The packages of others that these modules import, at their top or within."""
    outside = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = (
                [alias.name for alias in node.names] if isinstance(node, ast.Import)
                else [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            )  # fmt: skip
            for name in (name.split(".")[0] for name in names):
                spec = importlib.util.find_spec(name)
                if spec and spec.origin and "site-packages" in spec.origin:
                    outside.add(name)
    return outside - {PACKAGE.name}


def test_the_dependencies_are_those_of_the_project_file():
    """What the tools import beyond Python is what pyproject.toml says they need (selenium draws the
    picture, and is imported there only)."""
    models = set((PACKAGE / "model").rglob("*.py"))
    project = tomllib.loads((ROOT / "results/pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = set(project["dependencies"])
    assert imported_from_outside(set(PACKAGE.rglob("*.py")) - models) <= needed | {"selenium"}
    assert set(project["optional-dependencies"]["model"]) == READS_MODELS
    assert imported_from_outside(models) <= needed | READS_MODELS | {"quantbench"}
