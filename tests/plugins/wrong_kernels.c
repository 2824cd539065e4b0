// SPDX-License-Identifier: Apache-2.0
// Kernels that are wrong in the ways that must not end a run. Each is right up to its mistake.
#include <math.h>
#include <quantbench/plugin.h>
#include <stdlib.h>

static void absmax(const float* x, size_t groups, size_t len, float* out) {
  for (size_t i = 0; i < groups; ++i) {
    float largest = 0;
    for (size_t j = 0; j < len; ++j) {
      const float magnitude = fabsf(x[i * len + j]);
      if (!(magnitude <= largest) && !isnan(largest)) largest = magnitude;
    }
    out[i] = largest;
  }
}

// Of every call that is longer than 40 elements.
static void crashes(const float* x, size_t groups, size_t len, float* out) {
  absmax(x, groups, len, out);
  if (len > 40) __builtin_trap();
}

static void hangs(const float* x, size_t groups, size_t len, float* out) {
  absmax(x, groups, len, out);
  for (volatile int forever = len > 40; forever;) {
  }
}

static void exits(const float* x, size_t groups, size_t len, float* out) {
  absmax(x, groups, len, out);
  if (len > 40) exit(0);
}

static void writes_on(const float* x, size_t groups, size_t len, float* out) {
  absmax(x, groups, len, out);
  ((volatile float*)out)[groups] = 0;
}

// As MAXPS with its operands in the wrong order.
static void drops_nan(const float* x, size_t groups, size_t len, float* out) {
  for (size_t i = 0; i < groups; ++i) {
    out[i] = 0;
    for (size_t j = 0; j < len; ++j)
      if (fabsf(x[i * len + j]) > out[i]) out[i] = fabsf(x[i * len + j]);
  }
}

// What only long arrays show, on which the conformance pass spends no time.
static void reads_on_late(const float* x, size_t groups, size_t len, float* out) {
  absmax(x, groups, len, out);
  if (groups == 1 && len == 4096) (void)*(const volatile float*)(x + len);
}

static void wrong_late(const float* x, size_t groups, size_t len, float* out) {
  absmax(x, groups, len, out);
  if (groups == 1 && len == 4096) out[0] *= 2;
}

static void crashes_late(const float* x, size_t groups, size_t len, float* out) {
  absmax(x, groups, len, out);
  if (groups == 1 && len == 4096) abort();
}

// A product that writes an output more than it was asked for.
static void run(const quantbench_plugin_weights* w, const void* packed, const void* x,
                const void* workspace, size_t m, size_t n0, size_t n1, void* y) {
  (void)packed, (void)workspace;
  for (size_t i = 0; i < m; ++i)
    for (size_t n = n0; n < n1; ++n) {
      float sum = 0;
      for (size_t k = 0; k < w->k; ++k)
        sum += ((const float*)x)[i * w->k + k] * ((const float*)w->values)[n * w->k + k];
      ((float*)y)[i * w->n + n] = sum;
    }
  ((volatile float*)y)[m * w->n] = 0;
}

static const quantbench_plugin_product writes_on_product = {.run = run};

static const quantbench_plugin_variant variants[] = {
    QUANTBENCH_VARIANT(absmax_f32, "crashes", NULL, crashes),
    QUANTBENCH_VARIANT(absmax_f32, "hangs", NULL, hangs),
    QUANTBENCH_VARIANT(absmax_f32, "exits", NULL, exits),
    QUANTBENCH_VARIANT(absmax_f32, "writes_on", NULL, writes_on),
    QUANTBENCH_VARIANT(absmax_f32, "drops_nan", NULL, drops_nan),
    QUANTBENCH_VARIANT(absmax_f32, "reads_on_late", NULL, reads_on_late),
    QUANTBENCH_VARIANT(absmax_f32, "wrong_late", NULL, wrong_late),
    QUANTBENCH_VARIANT(absmax_f32, "crashes_late", NULL, crashes_late),
    QUANTBENCH_PRODUCT(matmul_a32_f32, "writes_on", NULL, &writes_on_product),
};

QUANTBENCH_PLUGIN(variants)
