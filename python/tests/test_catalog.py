# SPDX-License-Identifier: Apache-2.0
"""Names and geometry of formats and variants."""

import gguf
import pytest

import quantbench as qb


def block_formats():
    """Our block formats, with the gguf package's type of each."""
    return [(name, getattr(gguf.GGMLQuantizationType, name.upper()))
            for name, row in qb.formats().items() if row.in_blocks]


@pytest.mark.parametrize("name, kind", block_formats())
def test_blocks_have_ggufs_size(name, kind):
    assert (qb.formats()[name].weights, qb.formats()[name].bytes) == gguf.GGML_QUANT_SIZES[kind]


def test_bits_count_scales():
    formats = qb.formats()
    assert formats["q4_0"].bits_per_weight(4096) == 4.5
    assert formats["s4g"].bits_per_weight(4096, 128) == 4.125
    assert formats["u4h"].bits_per_weight(4096, 32) == 4.625
    assert formats["s8"].bits_per_weight(32) == 9


def test_variants_of_an_operation_run_or_say_why():
    rows = qb.variants("absmax_f32")
    assert rows[0].name == "scalar" and rows[0].runs
    assert all(row.runs or row.refusal for row in rows)
    assert any(not row.runs for row in qb.variants()), "no CPU has both architectures"


def test_unknown_operation():
    with pytest.raises(ValueError, match="no operation 'absmax_f64'"):
        qb.variants("absmax_f64")
