// What x86's a8 kernels share: weights in panels of 16 outputs, four of K to a dword, so that four
// activations, broadcast, meet eight or sixteen outputs and no sum is ever taken across lanes; and
// activations quantized on the fly.
//
// A class L says how a panel is laid out:
//
//   kFlip                  what neighbouring 8-bit codes are xor'ed with, the even one's byte low
//   kDword                 bytes from dword to dword of K, for the same outputs
//   kHalf                  bytes from outputs 0..7 of a block to outputs 8..15
//   block(b, group_blocks) where block b's codes are, scales(g, group_blocks) group g's scales:
//   f16,
//                          or with one scale per output f32
//   bytes(k, group)        of a panel
//   kTwins                 4-bit codes: whether two blocks lie together, at the first one's place
//
// 4-bit codes are stored +8. In pairs the first block is the low nibbles and the second the high
// ones, a row's last block without a second one has zeros for it; otherwise K+0..15 of a block are
// the low nibbles, K+16..31 the high ones.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include <immintrin.h>

#include "core/unroll.h"
#include "matmul/a8_activations.h"
#include "matmul/row_formats.h"

#if !defined(__AVX2__) || !defined(__FMA__) || !defined(__F16C__)
#error "compile with the flags of cmake/Isa.cmake for avx2 at the least"
#endif

namespace qb::matmul {
namespace {

constexpr std::size_t kPanel = 16;  // outputs
constexpr std::size_t kEight = 8;   // outputs that are packed at a time

constexpr std::size_t least(std::size_t a, std::size_t b) { return a < b ? a : b; }

inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

/// Length of a row of codes that L keeps in whole blocks or pairs of them.
template <class L>
constexpr std::size_t padded(std::size_t k) {
  return L::kTwins ? (k + 2 * kBlock - 1) / (2 * kBlock) * (2 * kBlock) : k;
}

// --- Packing -----------------------------------------------------------------------------------

/// Eight outputs' 32 bytes: dword j of every output becomes vector j.
template <class L>
inline void put_dwords(__m256i (&a)[8], std::uint8_t* to) {
  __m256i b[8];
  for (int i = 0; i < 8; i += 2) {
    b[i] = _mm256_unpacklo_epi32(a[i], a[i + 1]);
    b[i + 1] = _mm256_unpackhi_epi32(a[i], a[i + 1]);
  }
  for (int i = 0; i < 8; i += 4)
    for (int j = 0; j < 2; ++j) {
      a[i + 2 * j] = _mm256_unpacklo_epi64(b[i + j], b[i + j + 2]);
      a[i + 2 * j + 1] = _mm256_unpackhi_epi64(b[i + j], b[i + j + 2]);
    }
  for (std::size_t j = 0; j < 4; ++j) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + j * L::kDword),
                        _mm256_permute2x128_si256(a[j], a[j + 4], 0x20));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + (j + 4) * L::kDword),
                        _mm256_permute2x128_si256(a[j], a[j + 4], 0x31));
  }
}

/// Eight outputs' 32 codes of a byte each.
template <class L>
inline void pack_half(const std::uint8_t* const (&from)[kEight], std::uint8_t* to, __m256i*) {
  __m256i a[8];
  for (int i = 0; i < 8; ++i)
    a[i] = _mm256_xor_si256(load(from[i]), _mm256_set1_epi16(static_cast<short>(L::kFlip)));
  put_dwords<L>(a, to);
}

/// Eight outputs' pairs of 32 codes of a nibble each.
template <class L, bool neighbours>
inline void pack_pairs(const std::uint8_t* const (&first)[kEight],
                       const std::uint8_t* const (&second)[kEight], std::uint8_t* to) {
  const __m128i nibble = _mm_set1_epi8(15);
  __m256i a[8];
  for (int i = 0; i < 8; ++i) {
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(first[i]));
    const __m128i w = _mm_loadu_si128(reinterpret_cast<const __m128i*>(second[i]));
    const __m128i low =
        _mm_or_si128(_mm_and_si128(v, nibble), _mm_slli_epi16(_mm_and_si128(w, nibble), 4));
    const __m128i high =
        _mm_or_si128(_mm_and_si128(_mm_srli_epi16(v, 4), nibble), _mm_andnot_si128(nibble, w));
    if constexpr (neighbours)
      a[i] = _mm256_xor_si256(
          _mm256_set_m128i(_mm_unpackhi_epi8(low, high), _mm_unpacklo_epi8(low, high)),
          _mm256_set1_epi8(static_cast<char>(0x88)));
    else
      a[i] = _mm256_set_m128i(high, low);
  }
  put_dwords<L>(a, to);
}

/// Eight outputs' 32 codes of a nibble each, likewise; neighbours: reordered to low and high halves
/// of K and stored +8.
template <class L, bool neighbours>
inline void pack_half(const std::uint8_t* const (&from)[kEight], std::uint8_t* to, __m128i*) {
  __m256i a[4], b[4];
  for (int i = 0; i < 4; ++i) {
    a[i] = _mm256_loadu2_m128i(reinterpret_cast<const __m128i*>(from[i + 4]),
                               reinterpret_cast<const __m128i*>(from[i]));
    if constexpr (neighbours) {
      const __m256i nibble = _mm256_set1_epi8(15);
      const __m256i even = _mm256_and_si256(a[i], nibble);
      const __m256i odd = _mm256_and_si256(_mm256_srli_epi16(a[i], 4), nibble);
      const __m256i low = _mm256_unpacklo_epi8(even, odd), high = _mm256_unpackhi_epi8(even, odd);
      a[i] = _mm256_xor_si256(_mm256_or_si256(low, _mm256_slli_epi16(high, 4)),
                              _mm256_set1_epi8(static_cast<char>(0x88)));
    }
  }
  for (int i = 0; i < 4; i += 2) {
    b[i] = _mm256_unpacklo_epi32(a[i], a[i + 1]);
    b[i + 1] = _mm256_unpackhi_epi32(a[i], a[i + 1]);
  }
  for (std::size_t j = 0; j < 2; ++j) {
    auto* const out = reinterpret_cast<__m256i*>(to + 2 * j * L::kDword);
    auto* const next = reinterpret_cast<__m256i*>(to + (2 * j + 1) * L::kDword);
    _mm256_storeu_si256(out, _mm256_unpacklo_epi64(b[j], b[j + 2]));
    _mm256_storeu_si256(next, _mm256_unpackhi_epi64(b[j], b[j + 2]));
  }
}

template <class L>
std::size_t packed_bytes(std::size_t n, std::size_t k, std::size_t group) {
  return (n + kPanel - 1) / kPanel * L::bytes(k, group);
}

template <class F, class L>
void pack(const Weights& w, std::size_t n0, std::size_t n1, void* packed) {
  constexpr std::size_t code_bytes = kBlock * F::bits / 8;
  // Outputs and codes that aren't there are zeros; +8 in q4_0's nibbles.
  alignas(32) std::uint8_t missing[2][kEight][kBlock];
  __builtin_memset(missing, F::bits == 4 && !F::neighbours ? 0x88 : 0, sizeof missing);
  const std::size_t bytes = L::bytes(w.k, w.group);
  const std::size_t row = F::row(w.k), blocks = blocks_of(padded<L>(w.k));
  const std::size_t group_blocks = F::per_block ? w.group / kBlock : blocks;
  for (std::size_t n = n0; n < n1; n += kPanel) {
    auto* const panel = static_cast<std::uint8_t*>(packed) + n / kPanel * bytes;
    const auto* const from = static_cast<const std::uint8_t*>(w.values) + n * row;
    const std::size_t outputs = least(n1 - n, kPanel);
    for (std::size_t b = 0; b < blocks; b += L::kTwins ? 2 : 1) {
      for (std::size_t half = 0; half < 2; ++half) {
        const std::uint8_t* source[L::kTwins ? 2 : 1][kEight];
        for (std::size_t i = 0; i < (L::kTwins ? 2 : 1); ++i) {
          const std::size_t at = (b + i) * F::block + F::codes;
          const std::size_t count = least(row - least(at, row), code_bytes);
          const bool all = outputs == kPanel && count == code_bytes;
          for (std::size_t c = 0; c < kEight; ++c) {
            const std::size_t column = half * kEight + c;
            if (all || (column < outputs && count == code_bytes)) {
              source[i][c] = from + column * row + at;
            } else {
              source[i][c] = missing[i][c];
              if (column < outputs && count)
                __builtin_memcpy(missing[i][c], from + column * row + at, count);
            }
          }
        }
        std::uint8_t* const to = panel + L::block(b, group_blocks) + half * L::kHalf;
        if constexpr (L::kTwins)
          pack_pairs<L, F::neighbours>(source[0], source[1], to);
        else if constexpr (F::bits == 8)
          pack_half<L>(source[0], to, static_cast<__m256i*>(nullptr));
        else
          pack_half<L, F::neighbours>(source[0], to, static_cast<__m128i*>(nullptr));
      }
    }
    if constexpr (F::per_block) {
      for (std::size_t g = 0; g < blocks / group_blocks; ++g) {
        f16 scales[kPanel] = {};
        if (g < w.k / w.group)
          for (std::size_t c = 0; c < outputs; ++c) scales[c] = F::scale(w, n + c, g);
        __builtin_memcpy(panel + L::scales(g, group_blocks), scales, sizeof scales);
      }
    } else {
      float scales[kPanel] = {};
      for (std::size_t c = 0; c < outputs; ++c)
        scales[c] = static_cast<const float*>(w.scales)[n + c];
      __builtin_memcpy(panel + L::scales(0, group_blocks), scales, sizeof scales);
    }
  }
}

template <class F, class L>
void unpack(const void* packed, std::size_t, std::size_t k, std::size_t group, std::size_t n0,
            std::size_t n1, void* codes) {
  const std::size_t bytes = L::bytes(k, group);
  const std::size_t group_blocks = F::per_block ? group / kBlock : blocks_of(padded<L>(k));
  for (std::size_t n = n0; n < n1; ++n) {
    const auto* panel = static_cast<const std::uint8_t*>(packed) + n / kPanel * bytes;
    const std::size_t column = n % kPanel;
    for (std::size_t i = 0; i < k; ++i) {
      const std::size_t within = i % kBlock;
      const std::uint8_t* at = panel + L::block(i / kBlock, group_blocks) +
                               column / kEight * L::kHalf + column % kEight * 4 + within % 4;
      std::int8_t code;
      if constexpr (F::bits == 8) {
        code = static_cast<std::int8_t>(at[within / 4 * L::kDword] ^ (L::kFlip >> i % 2 * 8));
      } else {
        const int byte = at[within % (L::kTwins ? kBlock : 16) / 4 * L::kDword];
        const bool high = L::kTwins ? i / kBlock % 2 : within >= 16;
        code = static_cast<std::int8_t>((high ? byte >> 4 : byte & 15) - 8);
      }
      static_cast<std::int8_t*>(codes)[n * k + i] = code;
    }
  }
}

// --- Activations -------------------------------------------------------------------------------

inline __m256 magnitude(__m256 v) {
  return _mm256_and_ps(v, _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff)));
}

inline float reduce_max(__m256 v) {
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

inline std::int32_t reduce_add(__m256i v) {
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

/// Nearest integers; half_away: a tie goes away from zero, otherwise to even. Adding the float
/// below one half and cutting off rounds ties away and leaves what lies just below a tie below.
template <bool half_away>
inline __m256i rounded(__m256 v) {
  if constexpr (!half_away) return _mm256_cvtps_epi32(v);
  const __m256 sign = _mm256_and_ps(v, _mm256_set1_ps(-0.0f));
  return _mm256_cvttps_epi32(_mm256_add_ps(v, _mm256_or_ps(sign, _mm256_set1_ps(0.49999997f))));
}

/// Codes of 32 values, in order. |v * inverse| needs no clip: it rounds to 127 at most.
template <bool half_away>
inline __m256i quantize_block(const __m256 (&v)[4], float inverse) {
  const __m256 by = _mm256_set1_ps(inverse);
  __m256i q[4];
  for (int i = 0; i < 4; ++i) q[i] = rounded<half_away>(_mm256_mul_ps(v[i], by));
  // Packing works within 128-bit lanes: dwords come out as 0 4 1 5 2 6 3 7 of the order of K.
  const __m256i bytes =
      _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
  return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/// Sums of the codes, in eight parts.
inline __m256i sums(__m256i codes) {
  return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), codes), _mm256_set1_epi16(1));
}

inline void load_block(const float* x, std::size_t count, __m256 (&v)[4]) {
  if (count >= kBlock) {
    for (int i = 0; i < 4; ++i) v[i] = _mm256_loadu_ps(x + 8 * i);
    return;
  }
  float padded[kBlock] = {};
  for (std::size_t i = 0; i < count; ++i) padded[i] = x[i];
  for (int i = 0; i < 4; ++i) v[i] = _mm256_loadu_ps(padded + 8 * i);
}

/// How codes are kept: as bytes, in order. put() stores a block and returns its sums.
struct ByteCodes {
  static constexpr std::size_t kCodeBytes = 1;
  static __m256i put(std::uint8_t* to, __m256i codes) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), codes);
    return sums(codes);
  }
};

/// One scale for the row, its codes as Start::put keeps them, and Start::of_row of their sum.
template <class Start>
void prepare_per_row(const void* x, std::size_t, std::size_t k, std::size_t, std::size_t m0,
                     std::size_t m1, void* workspace) {
  const std::size_t whole = padded<Start>(k);
  const RowLayout layout = row_layout(whole, false, Start::kCodeBytes);
  for (std::size_t m = m0; m < m1; ++m) {
    const float* row = static_cast<const float*>(x) + m * k;
    auto* const out = static_cast<std::uint8_t*>(workspace) + m * layout.stride;
    __m256 v[4], largest[4];
    for (__m256& l : largest) l = _mm256_setzero_ps();
    for (std::size_t i = 0; i < k; i += kBlock) {
      load_block(row + i, k - i, v);
      for (int j = 0; j < 4; ++j) largest[j] = _mm256_max_ps(largest[j], magnitude(v[j]));
    }
    const Scaling scaling = row_scaling(reduce_max(_mm256_max_ps(
        _mm256_max_ps(largest[0], largest[1]), _mm256_max_ps(largest[2], largest[3]))));
    __m256i sum = _mm256_setzero_si256();
    for (std::size_t i = 0; i < whole; i += kBlock) {
      load_block(row + least(i, k), k - least(i, k), v);
      sum = _mm256_add_epi32(
          sum, Start::put(out + i * Start::kCodeBytes, quantize_block<false>(v, scaling.inverse)));
    }
    *reinterpret_cast<float*>(out + layout.scales) = scaling.scale;
    *reinterpret_cast<std::int32_t*>(out + layout.sums) = Start::of_row(reduce_add(sum));
  }
}

/// A scale for every block, its codes as Start::put keeps them, and Start::of_block of their sum:
/// scales in a row and then sums, or in pairs.
template <class Start>
void prepare_per_block(const void* x, std::size_t, std::size_t k, std::size_t, std::size_t m0,
                       std::size_t m1, void* workspace) {
  const std::size_t whole = padded<Start>(k);
  const RowLayout layout = row_layout(whole, true, Start::kCodeBytes);
  for (std::size_t m = m0; m < m1; ++m) {
    const float* row = static_cast<const float*>(x) + m * k;
    auto* const out = static_cast<std::uint8_t*>(workspace) + m * layout.stride;
    auto* const scales = reinterpret_cast<float*>(out + layout.scales);
    auto* const starts = reinterpret_cast<std::int32_t*>(
        out + (Start::kInPairs ? layout.scales + sizeof(float) : layout.sums));
    constexpr std::size_t step = Start::kInPairs ? 2 : 1;
    for (std::size_t b = 0; b < whole / kBlock; ++b) {
      __m256 v[4];
      const std::size_t i = least(b * kBlock, k);
      load_block(row + i, k - i, v);
      const Scaling scaling =
          block_scaling(reduce_max(_mm256_max_ps(_mm256_max_ps(magnitude(v[0]), magnitude(v[1])),
                                                 _mm256_max_ps(magnitude(v[2]), magnitude(v[3])))));
      scales[b * step] = _mm_cvtss_f32(
          _mm_cvtph_ps(_mm_cvtps_ph(_mm_set_ss(scaling.scale), _MM_FROUND_TO_NEAREST_INT)));
      starts[b * step] = Start::of_block(reduce_add(Start::put(
          out + b * kBlock * Start::kCodeBytes, quantize_block<true>(v, scaling.inverse))));
    }
  }
}

/// Of rows whose codes are kept as Start says.
template <class Start, bool per_block>
std::size_t workspace_bytes(std::size_t m, std::size_t, std::size_t k, std::size_t) {
  return m * row_layout(padded<Start>(k), per_block, Start::kCodeBytes).stride;
}

}  // namespace
}  // namespace qb::matmul
