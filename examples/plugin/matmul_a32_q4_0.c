// SPDX-License-Identifier: Apache-2.0
// y = x * transpose(w) with w in GGUF's q4_0 and f32 activations, by AVX2. Made for one row of
// activations (GEMV); several rows are taken one after the other.
//
// A block holds 32 weights: d in f16, then 16 bytes. Byte j has weight j in its low nibble and
// weight j+16 in its high one, each stored +8: w = d * (nibble - 8). The kernel reads the blocks
// where they are, so the record has no pack.
#include <immintrin.h>

#include "kernels.h"

typedef struct {
  uint16_t d;
  uint8_t nibbles[16];
} block_q4_0;

enum { kWeights = 32 };

// Eight weights from the low bytes of `nibbles`, before the scale.
static __m256 weights_of_8(__m128i nibbles) {
  return _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_cvtepu8_epi32(nibbles), _mm256_set1_epi32(8)));
}

static __m256 add_block(__m256 sums, const block_q4_0* block, const float* x) {
  const __m128i bytes = _mm_loadu_si128((const __m128i*)block->nibbles);
  const __m128i low = _mm_and_si128(bytes, _mm_set1_epi8(15));
  const __m128i high = _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(15));
  __m256 block_sums = _mm256_mul_ps(weights_of_8(low), _mm256_loadu_ps(x));
  block_sums =
      _mm256_fmadd_ps(weights_of_8(_mm_srli_si128(low, 8)), _mm256_loadu_ps(x + 8), block_sums);
  block_sums = _mm256_fmadd_ps(weights_of_8(high), _mm256_loadu_ps(x + 16), block_sums);
  block_sums =
      _mm256_fmadd_ps(weights_of_8(_mm_srli_si128(high, 8)), _mm256_loadu_ps(x + 24), block_sums);
  return _mm256_fmadd_ps(_mm256_set1_ps(_cvtsh_ss(block->d)), block_sums, sums);
}

static float sum_of_lanes(__m256 v) {
  __m128 sum = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}

// Two sums, since the fused multiply-adds of one would wait for each other.
static float dot(const block_q4_0* blocks, size_t count, const float* x) {
  __m256 even = _mm256_setzero_ps(), odd = _mm256_setzero_ps();
  size_t i = 0;
  for (; i + 2 <= count; i += 2) {
    even = add_block(even, blocks + i, x + i * kWeights);
    odd = add_block(odd, blocks + i + 1, x + (i + 1) * kWeights);
  }
  if (i < count) even = add_block(even, blocks + i, x + i * kWeights);
  return sum_of_lanes(_mm256_add_ps(even, odd));
}

static void run(const quantbench_plugin_weights* w, const void* packed, const void* x,
                const void* workspace, size_t m, size_t n0, size_t n1, void* y) {
  (void)packed, (void)workspace;
  const size_t count = w->k / kWeights;
  for (size_t n = n0; n < n1; ++n)
    for (size_t i = 0; i < m; ++i)
      ((float*)y)[i * w->n + n] =
          dot((const block_q4_0*)w->values + n * count, count, (const float*)x + i * w->k);
}

const quantbench_plugin_product matmul_a32_q4_0_mine = {.run = run};
