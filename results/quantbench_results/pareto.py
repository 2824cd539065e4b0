# SPDX-License-Identifier: Apache-2.0
"""The Pareto front of speed and error: between what a choice is open, everything else being slower and
losing more."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def front(items: Iterable[T], cost: Callable[[T], float], error: Callable[[T], float]) -> list[T]:
    """The items that lose less than every cheaper one, cheapest first; of equal costs the most exact."""
    found: list[T] = []
    for item in sorted(items, key=lambda it: (cost(it), error(it))):
        if not found or error(item) < error(found[-1]):
            found.append(item)
    return found
