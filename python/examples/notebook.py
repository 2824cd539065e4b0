# SPDX-License-Identifier: Apache-2.0
"""The notebook that quantbench began with, cell by cell, on this package's quantization instead of
the notebook's two functions of each width. It prints what the notebook prints.

    pip install . && python python/examples/notebook.py
"""

import numpy as np

from quantbench import dequantize_f16, quantize_f16

WIDTHS = {"Int8": 8, "Int4": 4}


def four_weights(name):
    """Four weights quantized, restored, and what becomes of a product with them."""
    w_fp16 = np.array([1.0, -0.5, 0.25, -0.125], dtype=np.float16)
    print(f"Original FP16 Weights: {w_fp16}")

    codes, sf = quantize_f16(w_fp16, WIDTHS[name])
    print(f"Int8 Weights: {codes}")
    print(f"Quantization Constant: {sf}")

    rw_fp16 = dequantize_f16(codes, sf)
    print(f"Reconstructed FP16 Weights: {rw_fp16}")

    x = np.array([1.0, 0.25, -0.5, -1.0])
    y = np.matmul(x, w_fp16)
    qy = np.matmul(x, rw_fp16)
    print(f"Original Output: {y}")
    print(f"Quantized Output: {qy}")
    print(f"Output Loss: {y - qy}")


def layer():
    """Inputs [12, 512], a layer's weights [512, 512] and a classifier's [512, 4096]."""
    np.random.seed(2135)
    inn_size, hid_size, out_size = 12, 512, 4096
    x = np.random.randn(inn_size, hid_size).astype(np.float16)
    w_fp16 = np.random.randn(hid_size, hid_size).astype(np.float16)
    clf = np.random.randn(hid_size, out_size).astype(np.float16)
    return x, w_fp16, clf


def predict(x, w, clf):
    return np.argmax(np.matmul(np.matmul(x, w), clf), -1)


def predictions():
    """Labels of the twelve inputs by the weights as they are, and through int8 and int4."""
    x, w_fp16, clf = layer()
    labels = {"FP16": predict(x, w_fp16, clf)}
    for name, bits in WIDTHS.items():
        codes, sf = quantize_f16(w_fp16, bits)
        labels[name.upper()] = predict(x, dequantize_f16(codes, sf), clf)
    return labels


def main():
    for name in WIDTHS:
        four_weights(name)
    labels = predictions()
    y = labels.pop("FP16")
    for name, quantized in labels.items():
        print(f"FP16 Prediction: {y}")
        print(f"{name} Prediction: {quantized}")
        print(f"{name} Error: {np.sum(y != quantized)}, Results: {y == quantized}")


if __name__ == "__main__":
    main()
