// SPDX-License-Identifier: Apache-2.0
// A plugin without a mistake, on any CPU: plain loops.
#include <quantbench/plugin.h>
#include <string.h>

static void absmax(const float* x, size_t groups, size_t len, float* out) {
  for (size_t i = 0; i < groups; ++i) {
    uint32_t largest = 0;
    for (size_t j = 0; j < len; ++j) {
      uint32_t pattern;
      memcpy(&pattern, x + i * len + j, sizeof pattern);
      pattern &= 0x7fffffff;
      if (pattern > largest) largest = pattern;
    }
    memcpy(out + i, &largest, sizeof largest);
  }
}

static void unpack(const uint8_t* packed, size_t n, int8_t* q) {
  for (size_t i = 0; i < n; ++i) {
    const int nibble = packed[i / 2] >> (i % 2 ? 4 : 0) & 15;
    q[i] = (int8_t)(nibble < 8 ? nibble : nibble - 16);
  }
}

// The product with f32 weights. It packs, into the layout that it had before, and has a workspace,
// so that every function of a record is called.
static size_t packed_bytes(size_t n, size_t k, size_t group) {
  (void)group;
  return n * k * sizeof(float);
}

static void pack(const quantbench_plugin_weights* w, size_t n0, size_t n1, void* packed) {
  if (n1 > n0)
    memcpy((float*)packed + n0 * w->k, (const float*)w->values + n0 * w->k,
           (n1 - n0) * w->k * sizeof(float));
}

static void unpack_weights(const void* packed, size_t n, size_t k, size_t group, size_t n0,
                           size_t n1, void* codes) {
  (void)n, (void)group;
  if (n1 > n0)
    memcpy((float*)codes + n0 * k, (const float*)packed + n0 * k, (n1 - n0) * k * sizeof(float));
}

static size_t workspace_bytes(size_t m, size_t n, size_t k, size_t group) {
  (void)n, (void)group;
  return m * k * sizeof(float);
}

static void prepare(const void* x, size_t m, size_t k, size_t group, size_t m0, size_t m1,
                    void* workspace) {
  (void)m, (void)group;
  if (m1 > m0)
    memcpy((float*)workspace + m0 * k, (const float*)x + m0 * k, (m1 - m0) * k * sizeof(float));
}

static void run(const quantbench_plugin_weights* w, const void* packed, const void* x,
                const void* workspace, size_t m, size_t n0, size_t n1, void* y) {
  (void)x;
  for (size_t i = 0; i < m; ++i)
    for (size_t n = n0; n < n1; ++n) {
      float sums[8] = {0};
      for (size_t k = 0; k < w->k; ++k)
        sums[k % 8] +=
            ((const float*)workspace)[i * w->k + k] * ((const float*)packed)[n * w->k + k];
      ((float*)y)[i * w->n + n] =
          ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
    }
}

static const quantbench_plugin_product product = {
    0, 0, packed_bytes, pack, unpack_weights, workspace_bytes, prepare, run};

static const quantbench_plugin_variant variants[] = {
    QUANTBENCH_VARIANT(absmax_f32, "good", "", absmax),
    QUANTBENCH_VARIANT(unpack_s4, "good", NULL, unpack),
    QUANTBENCH_PRODUCT(matmul_a32_f32, "good", NULL, &product),
};

QUANTBENCH_PLUGIN(variants)
