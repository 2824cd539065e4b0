// SPDX-License-Identifier: Apache-2.0
// What this library offers; plugin.c lists it.
#pragma once

#include <quantbench/plugin.h>

void absmax_f32_mine(const float* x, size_t groups, size_t len, float* out);

extern const quantbench_plugin_product matmul_a32_q4_0_mine;
