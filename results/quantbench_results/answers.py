# SPDX-License-Identifier: Apache-2.0
"""What a reader came for: which format to use on this CPU for decoding, for prompts, and when exactness
matters, with the margins and what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quantbench_results import layer, rules, summary
from quantbench_results.errors import ResultsError
from quantbench_results.layer import DEFAULT_ERROR, Candidate, Layer
from quantbench_results.rows import Results, Row

EXACT_ERROR = 1e-4
"""What 8 bits a weight lose, about: the budget when exactness matters."""

_ARITHMETICS = {
    "a8": "activations in 8 bits",
    "a32": "f32 activations",
    "abf16": "both rounded to bf16",
    "f16": "f16 activations",
}


@dataclass(frozen=True)
class Choice:
    """A format for one shape of products: the fastest within an error, or what ties with it and loses
    least."""

    purpose: str
    """ "decoding" or "a prompt"."""
    row: Row
    facts: tuple[str, ...]
    """Speed, error and margins, in words."""

    @property
    def weights(self) -> str:
        """q4_0 of a8.q4_0."""
        return self.row.format.partition(".")[2] or self.row.format

    @property
    def arithmetic(self) -> str:
        name = self.row.format.partition(".")[0]
        return f"{name}: {_ARITHMETICS[name]}" if name in _ARITHMETICS else name


@dataclass(frozen=True)
class Answer:
    """One question and what to use."""

    question: str
    choices: tuple[Choice, ...]
    none: str = ""
    """Why there is no choice."""


def answers(results: Results) -> list[Answer]:
    """Nothing of a file without products that one could choose by."""
    try:
        shapes = _shapes(results)
        if not shapes:
            return []
        found = {purpose: _candidates(results, shape) for purpose, shape in shapes.items()}
    except ResultsError:
        return []
    questions = {
        "decoding": ("For decoding", DEFAULT_ERROR, ["decoding"]),
        "a prompt": ("For prompts", DEFAULT_ERROR, ["a prompt"]),
        "": ("When exactness matters", EXACT_ERROR, list(shapes)),
    }
    return [
        _answer(question, budget, {purpose: found[purpose] for purpose in purposes}, results)
        for key, (question, budget, purposes) in questions.items()
        if not key or key in shapes
    ]


def _shapes(results: Results) -> dict[str, tuple[int, int, int, int]]:
    """Rows, outputs, inputs and threads of the largest product with one row and of the one with most
    rows: the least number of threads that the file has."""
    rows = [
        row for row in summary.timed(results.rows)
        if row.op == "matmul" and row.is_ours and {"m", "n", "k"} <= set(row.dims)
    ]  # fmt: skip
    threads = min((row.threads for row in rows), default=1)
    shapes = {(row.dims["m"], row.dims["n"], row.dims["k"], threads) for row in rows if row.threads == threads}
    found = {}
    if one := [shape for shape in shapes if shape[0] == 1]:
        found["decoding"] = max(one, key=lambda shape: shape[1] * shape[2])
    if many := [shape for shape in shapes if shape[0] > 1]:
        found["a prompt"] = max(many, key=lambda shape: (shape[0], shape[1] * shape[2]))
    return found


def _candidates(results: Results, shape: tuple[int, int, int, int]) -> list[Candidate]:
    m, n, k, threads = shape
    return layer.candidates(results, Layer(n, k, (m,), threads), m)


def _answer(
    question: str, budget: float, found: dict[str, list[Candidate]], results: Results
) -> Answer:
    choices = []
    for purpose, all_of in found.items():
        fitting = layer.allowed(all_of, budget, None)
        best = layer.recommended(fitting)
        if best:
            choices.append(Choice(purpose, best.row, _facts(best, fitting, all_of)))
    none = "" if choices else f"No format of this file is within an error of {budget:g}."
    return Answer(question, tuple(choices), none)


def _facts(best: Candidate, fitting: Sequence[Candidate], all_of: Sequence[Candidate]) -> tuple[str, ...]:
    row = best.row
    facts = [
        f"{summary.time_text(best.ns)} {summary.spread_text(row)} for {summary.shape_text(row)}"
        + (f" on {row.threads} threads" if row.threads > 1 else "")
        + f" ({summary.speed_text(row)}, {row.variant})",
        f"loses {percent(best.error)} of the outputs' energy; {best.bits:.4g} bits a weight",
    ]
    facts.append(_margin(best, fitting))
    floats = [c for c in all_of if c.row.format.endswith((".f32", ".f16")) and c is not best]
    if floats:
        plain = min(floats, key=lambda c: c.ns)
        ahead = summary.times_text(plain.ns / best.ns)
        facts.append(f"{ahead} as fast as {plain.row.format}, the fastest that is not quantized")
    if turns := summary.in_turns(row):
        tie = rules.tied_with_peer(row)
        ahead = "a tie with" if tie else f"{summary.times_text(turns[0])} as fast as"
        facts.append(f"{ahead} {turns[1]}, the fastest other project on the same work")
    if share := summary.share(row):
        facts.append(f"{share:.0f} % of the measured limit")
    return tuple(fact for fact in facts if fact)


def _margin(best: Candidate, fitting: Sequence[Candidate]) -> str:
    """How far ahead of the other formats within the same error."""
    ties = [c for c in fitting if c is not best and rules.tied(best.row, c.row)]
    slower = [c for c in fitting if c.ns > best.ns and c not in ties]
    parts = []
    if ties:
        names = ", ".join(c.row.format for c in ties[:3]) + (" and others" if len(ties) > 3 else "")
        parts.append(f"a tie with {names}, and the most exact of them")
    if slower:
        ahead = summary.times_text(slower[0].ns / best.ns)
        parts.append(f"{ahead} as fast as the next, {slower[0].row.format}")
    return "; ".join(parts)


def percent(nmse: float) -> str:
    """0.74 %, 0.0072 %, under 0.0001 %."""
    return f"{100 * nmse:.2g} %" if nmse >= 1e-6 else "under 0.0001 %"


def measured(results: Results) -> str:
    """What the answers rest on, in a sentence."""
    rows = summary.timed(results.rows)
    ours = {row.variant for row in rows if not row.is_peer}
    peers = {row.variant for row in rows if row.is_peer}
    text = f"{len(rows)} rows of {len(ours)} variants"
    if peers:
        text += f" and of {len(peers)} kernels of other projects"
    verified = sum(row.verified for row in rows)
    text += ", each verified" if verified == len(rows) else f", {verified} of them verified"
    return f"{text} on the inputs that were timed; {results.text('date')[:10]}, profile {results.text('profile')}"
