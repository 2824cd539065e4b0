// SPDX-License-Identifier: Apache-2.0
// The largest magnitude by AVX2, which reads 32 floats at a time.
//
// Without its sign bit a float's pattern, as an integer, grows with its magnitude, and that of a
// NaN is larger than that of infinity. So the maximum of the patterns is the maximum of the
// magnitudes, and NaN if one of them is: what the contract asks for, without a comparison of
// floats.
#include <immintrin.h>
#include <string.h>

#include "kernels.h"

static const uint32_t kMagnitude = 0x7fffffff;

static __m256i magnitudes_of_8(const float* x) {
  return _mm256_and_si256(_mm256_loadu_si256((const __m256i*)x),
                          _mm256_set1_epi32((int)kMagnitude));
}

static uint32_t largest_lane(__m256i v) {
  uint32_t lanes[8], largest = 0;
  _mm256_storeu_si256((__m256i*)lanes, v);
  for (int lane = 0; lane < 8; ++lane)
    if (lanes[lane] > largest) largest = lanes[lane];
  return largest;
}

static uint32_t largest_pattern(const float* x, size_t len) {
  __m256i most[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                     _mm256_setzero_si256()};
  size_t j = 0;
  for (; j + 32 <= len; j += 32)
    for (int v = 0; v < 4; ++v) most[v] = _mm256_max_epu32(most[v], magnitudes_of_8(x + j + 8 * v));
  for (; j + 8 <= len; j += 8) most[0] = _mm256_max_epu32(most[0], magnitudes_of_8(x + j));
  uint32_t largest = largest_lane(
      _mm256_max_epu32(_mm256_max_epu32(most[0], most[1]), _mm256_max_epu32(most[2], most[3])));
  for (; j < len; ++j) {  // the tail: no byte behind the array is read
    uint32_t pattern;
    memcpy(&pattern, x + j, sizeof pattern);
    pattern &= kMagnitude;
    if (pattern > largest) largest = pattern;
  }
  return largest;
}

void absmax_f32_mine(const float* x, size_t groups, size_t len, float* out) {
  for (size_t i = 0; i < groups; ++i) {
    const uint32_t largest = largest_pattern(x + i * len, len);
    memcpy(out + i, &largest, sizeof largest);
  }
}
