// SPDX-License-Identifier: Apache-2.0
#include "kernels.h"

static const quantbench_plugin_variant variants[] = {
    QUANTBENCH_VARIANT(absmax_f32, "mine", "avx2", absmax_f32_mine),
    QUANTBENCH_PRODUCT(matmul_a32_q4_0, "mine", "avx2", &matmul_a32_q4_0_mine),
};

QUANTBENCH_PLUGIN(variants)
