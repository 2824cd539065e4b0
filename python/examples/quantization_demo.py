# SPDX-License-Identifier: Apache-2.0
"""What each weight format loses of the notebook's layer, as examples/quantization_demo.cc prints it
and with the same numbers; and a drawing of it.

    pip install . plotly && python python/examples/quantization_demo.py --output demo.html
"""

from __future__ import annotations

import argparse
import os
import re
from dataclasses import dataclass

import numpy as np

import quantbench as qb

GRANULARITIES = ("tensor", "channel", "128", "64", "32")
THREADS = os.cpu_count() or 1


@dataclass
class Loss:
    """A format with one granularity."""

    format: str
    granularity: str  # "tensor", "channel", "32", ..., or "block of 32"
    bits: float  # that a weight takes, scales included
    nmse: float  # of the weights
    changed: int  # labels of the notebook's inputs
    further_changed: int  # labels of the further inputs


class Layer:
    """The notebook's random numbers: weights are [outputs, inputs], the transpose of its own."""

    def __init__(self, seed=2135, sizes=(12, 512, 4096), further=4096):
        samples, hidden, classes = sizes
        random = np.random.RandomState(seed)

        def draw(rows, columns):
            return random.randn(rows, columns).astype(np.float16)

        self.x = draw(samples, hidden)
        self.weights = np.ascontiguousarray(draw(hidden, hidden).T)
        self.classifier_weights = np.ascontiguousarray(draw(hidden, classes).T)
        self.classifier = _product(self.classifier_weights)
        self.further = draw(further, hidden)

    def labels(self, x, weights):
        """argmax of what the classifier makes of the layer's outputs, with other weights."""
        hidden = _product(weights).matmul(x, THREADS)
        return np.argmax(self.classifier.matmul(hidden, THREADS), -1)


def _product(weights):
    """float16 weights ready for the notebook's float16 products."""
    bytes_of_rows = weights.view(np.uint8)
    return qb.pack(qb.Quantized("f16", weights.shape, bytes_of_rows), "f16", threads=THREADS)


def schemes(formats=(), granularities=()):
    """Formats and granularities, and how each restores float16 weights: (weights, bytes)."""
    found = []
    for name, format in qb.formats().items():
        if format.codes in ("f32", "f16"):
            continue
        if format.in_blocks:
            found.append((name, f"block of {format.weights}", _by_rows(name, None)))
        elif format.in_groups:
            found += [(name.removesuffix("g"), group, _by_rows(name, int(group))) for group in ("128", "64", "32")]
        else:
            if name in ("s8", "s4"):
                found.append((name, "tensor", _as_the_notebook(int(name[1:]))))
            found.append((name, "channel", _by_rows(name, None)))
    order = list(dict.fromkeys(name for name, _, _ in found))
    unknown = set(formats) - set(order)
    if unknown:
        raise ValueError(f"no format {sorted(unknown)[0]!r}; there are: {', '.join(order)}")
    return [
        (name, granularity, restore)
        for name, granularity, restore in sorted(found, key=lambda s: order.index(s[0]))
        if (not formats or name in formats)
        and (not granularities or granularity not in GRANULARITIES or granularity in granularities)
    ]


def _as_the_notebook(bits):
    def restore(weights):
        codes, inverse = qb.quantize_f16(weights, bits)
        return qb.dequantize_f16(codes, inverse), (weights.size * bits + 7) // 8 + 2

    return restore


def _by_rows(name, group):
    def restore(weights):
        quantized = qb.quantize(weights.astype(np.float32), name, group)
        return qb.dequantize(quantized).astype(np.float16), quantized.nbytes

    return restore


def losses(layer, formats=(), granularities=()):
    """What each format loses; those whose blocks do not divide the hidden size are left out."""
    exact = layer.weights.astype(np.float64)
    labels, further = (layer.labels(x, layer.weights) for x in (layer.x, layer.further))
    found = []
    for name, granularity, restore in schemes(formats, granularities):
        try:
            weights, size = restore(layer.weights)
        except ValueError as error:
            print(f"not tried: {name} {granularity}: {error}")
            continue
        found.append(Loss(
            name, granularity, 8 * size / exact.size,
            float(np.sum((weights - exact) ** 2) / np.sum(exact**2)),
            int(np.sum(layer.labels(layer.x, weights) != labels)),
            int(np.sum(layer.labels(layer.further, weights) != further)),
        ))  # fmt: skip
    return found


def table(rows, layer):
    lines = [f"{'format':8} {'a scale for':13} {'bits':>11} {'NMSE':>9}  labels changed",
             f"{'':8} {'':13} {'a weight':>11} {'':9}  {f'of {len(layer.x)}':>8} "
             f"{f'of {len(layer.further)}':>8}"]  # fmt: skip
    for row in rows:
        lines.append(f"{row.format:8} {row.granularity:13} {row.bits:11.4g} {row.nmse:9.1e}  "
                     f"{row.changed:8} {row.further_changed:8}")  # fmt: skip
    return "\n".join(lines)


def drawing(rows, layer):
    """Labels changed against the bits of a weight, a symbol per format."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for name in dict.fromkeys(row.format for row in rows):
        own = [row for row in rows if row.format == name]
        figure.add_scatter(
            x=[row.bits for row in own],
            y=[100 * row.further_changed / len(layer.further) for row in own],
            mode="markers+text",
            name=name,
            text=[f" {name}" if row.granularity.startswith("block") else f" {name} {row.granularity}"
                  for row in own],
            textposition="middle right",
            marker={"size": 10},
            hovertext=[f"{name}, a scale for {row.granularity}<br>{row.bits:.4g} bits a weight"
                       f"<br>NMSE {row.nmse:.1e}<br>{row.changed} of {len(layer.x)} and "
                       f"{row.further_changed} of {len(layer.further)} labels changed"
                       for row in own],
            hovertemplate="%{hovertext}<extra></extra>",
        )  # fmt: skip
    figure.update_layout(
        title="The notebook's layer in each weight format",
        xaxis_title="bits a weight, scales included",
        yaxis_title=f"% of {len(layer.further)} labels changed",
        yaxis_type="log",
        showlegend=False,
        template="simple_white",
    )
    return figure


def sizes(text):
    """12x512x4096."""
    if not re.fullmatch(r"[1-9]\d{0,5}x[1-9]\d{0,3}x[1-9]\d{0,5}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not like 12x512x4096")
    return tuple(int(size) for size in text.split("x"))


def main(argv=None):
    parser = argparse.ArgumentParser(description="What each weight format loses of the notebook's "
                                                 "layer: of its weights and of its labels.")  # fmt: skip
    parser.add_argument("--seed", type=int, default=2135, help="of NumPy's generator (%(default)s)")
    parser.add_argument("--sizes", type=sizes, default=(12, 512, 4096),
                        metavar="INPUTSxHIDDENxCLASSES", help="(12x512x4096)")  # fmt: skip
    parser.add_argument("--inputs", type=int, default=4096, help="further inputs (%(default)s)")
    parser.add_argument("--format", action="append", default=[], help="may be repeated; default: all")
    parser.add_argument("--granularity", action="append", default=[], choices=GRANULARITIES,
                        help="what shares a scale; may be repeated; default: all")  # fmt: skip
    parser.add_argument("--output", metavar="PAGE.html", help="draw it, too (needs plotly)")
    parser.add_argument("--weights", metavar="FILE.npz",
                        help="write both matrices there, as `make formats MODEL=FILE.npz` takes them")  # fmt: skip
    options = parser.parse_args(argv)
    try:
        layer = Layer(options.seed, options.sizes, options.inputs)
        rows = losses(layer, options.format, options.granularity)
    except ValueError as error:
        parser.error(str(error))
    print(table(rows, layer))
    if options.weights:
        np.savez(options.weights, layer=layer.weights, classifier=layer.classifier_weights)
    if options.output:
        drawing(rows, layer).write_html(options.output, include_plotlyjs=True)
        print(f"drawn in {options.output}")


if __name__ == "__main__":
    main()
