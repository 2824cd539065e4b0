// SPDX-License-Identifier: Apache-2.0
// The panels of x86's a8 kernels: 16 outputs, four of K to a dword, so that four activations,
// broadcast, meet eight or sixteen outputs and no sum is ever taken across lanes.
//
// A class L says how a panel is laid out:
//
//   kOffset                what is added to neighbouring 8-bit codes, the even one's byte low
//   kDword                 bytes from dword to dword of K, for the same outputs
//   kSecondHalf            8 bits, or blocks of 16: the same from the first of 32 codes' dwords to
//                          that of the other 16
//   kHalf                  bytes from outputs 0..7 of a block to outputs 8..15
//   kUnit                  codes of a block: 32, or 16 for groups of 16
//   block(b, group_blocks) where block b's codes are
//   scales(g, group_blocks) where group g's scales are, or with one scale per output all scales
//   put_group<F>(w, n, g, panel) instead of scales: stores group g's scales and minima of a panel
//   bytes(k, group)        of a panel
//   kPairedBlocks          whether two blocks lie together, at the first one's place: codes of 4
//                          bits, or of 5 and 6 that are gathered as bytes (pack_split)
//   bits                   of a code, where they are paired
//
// 4-bit codes are stored as 0 to 15. In pairs the first block is the low nibbles and the second the
// high ones; a row's last block without a second one has zeros for it. Otherwise K+0..15 of a block
// are the low nibbles, K+16..31 the high ones; of a block of 16 K+0..7 and K+8..15.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include <immintrin.h>

#include "core/unroll.h"
#include "matmul/a8/activations.h"
#include "matmul/source.h"

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
  return L::kPairedBlocks ? (k + 2 * kBlock - 1) / (2 * kBlock) * (2 * kBlock) : k;
}

// --- Packing -----------------------------------------------------------------------------------

/// Eight outputs' 32 bytes: dword j of every output becomes vector j, those from the fifth on
/// `second_half` bytes behind the first.
template <class L>
inline void put_dwords(__m256i (&a)[8], std::uint8_t* to, std::size_t second_half) {
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
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + second_half + j * L::kDword),
                        _mm256_permute2x128_si256(a[j], a[j + 4], 0x31));
  }
}

/// For put_dwords(): dwords of eight outputs, one behind the other.
struct Together {
  static constexpr std::size_t kDword = 32;
};

/// Scales, and minima, of a block of 256 are products of two: the panel's common factors as f16,
/// and bytes of each group.
template <class F>
inline void put_levels(const Weights& w, std::size_t n, std::size_t g, std::uint8_t* factors,
                       std::uint8_t* scales, [[maybe_unused]] std::uint8_t* minima) {
  for (std::size_t c = 0; c < kPanel; ++c) {
    decltype(F::levels(w, n, g)) both = {};
    if (n + c < w.n) both = F::levels(w, n + c, g);
    __builtin_memcpy(factors + 2 * c, &both.d, sizeof both.d);
    scales[c] = static_cast<std::uint8_t>(both.scale);
    if constexpr (kHasMinimum<typename F::Scale>) {
      __builtin_memcpy(factors + 2 * (kPanel + c), &both.dmin, sizeof both.dmin);
      minima[c] = both.minimum;
    }
  }
}

/// The f16 scales of group g of a panel's outputs, and their minima behind them; 0 of what is not
/// there.
template <class F>
inline void put_halves(const Weights& w, std::size_t n, std::size_t g, std::uint8_t* to) {
  for (std::size_t c = 0; c < kPanel; ++c) {
    HalfScaleAndMinimum both = {};
    if (n + c < w.n && g < w.k / kBlock) both = F::halves(w, n + c, g);
    __builtin_memcpy(to + 2 * c, &both.scale, sizeof both.scale);
    __builtin_memcpy(to + 2 * (kPanel + c), &both.minimum, sizeof both.minimum);
  }
}

/// The f16 scales of group g of a panel's outputs and, as bytes, their zero points; 0 of what is
/// not there.
template <class F>
inline void put_zeros(const Weights& w, std::size_t n, std::size_t g, std::uint8_t* scales,
                      std::uint8_t* zeros) {
  for (std::size_t c = 0; c < kPanel; ++c) {
    ScaleAndZero both = {};
    if (n + c < w.n && g < w.k / kBlock) both = F::zeros(w, n + c, g);
    __builtin_memcpy(scales + 2 * c, &both.scale, sizeof both.scale);
    zeros[c] = both.zero;
  }
}

/// The upper bits of group g's scales of a panel's outputs, 0 of what is not there.
template <class F>
inline void put_narrow(const Weights& w, std::size_t n, std::size_t g, std::uint8_t* to) {
  for (std::size_t c = 0; c < kPanel; ++c) to[c] = n + c < w.n ? F::narrow(w, n + c, g) : 0;
}

/// Eight outputs' 32 codes of a byte each.
template <class L>
inline void pack_half(const std::uint8_t* const (&from)[kEight], std::uint8_t* to, __m256i*) {
  __m256i a[8];
  for (int i = 0; i < 8; ++i)
    a[i] = _mm256_add_epi8(load(from[i]), _mm256_set1_epi16(static_cast<short>(L::kOffset)));
  put_dwords<L>(a, to, L::kSecondHalf);
}

/// Eight outputs' pairs of 32 codes of a nibble each.
template <class F, class L>
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
    if constexpr (F::neighbours)
      a[i] = _mm256_xor_si256(
          _mm256_set_m128i(_mm_unpackhi_epi8(low, high), _mm_unpacklo_epi8(low, high)),
          _mm256_set1_epi8(static_cast<char>(0x11 * F::flip)));
    else
      a[i] = _mm256_set_m128i(high, low);
  }
  put_dwords<L>(a, to, 4 * L::kDword);
}

/// Eight outputs' pairs of 32 codes of five or six bits: nibbles as of pack_pairs(), and behind
/// them the bits above (vnni_panels.h).
template <class L>
inline void pack_split(const std::uint8_t* const (&first)[kEight],
                       const std::uint8_t* const (&second)[kEight], std::uint8_t* to) {
  constexpr int width = L::bits - 4;
  const __m256i nibble = _mm256_set1_epi8(15), offset = _mm256_set1_epi16(L::kOffset);
  __m256i pairs[8];
  alignas(32) std::uint8_t bytes[2][8][32];
  for (int i = 0; i < 8; ++i) pairs[i] = _mm256_setzero_si256();
  for (int block = 0; block < 2; ++block) {
    __m256i a[8];
    for (int i = 0; i < 8; ++i) {
      a[i] = _mm256_add_epi8(load(block ? second[i] : first[i]), offset);
      const __m256i low = _mm256_and_si256(a[i], nibble);
      pairs[i] = _mm256_or_si256(pairs[i], block ? _mm256_slli_epi16(low, 4) : low);
    }
    put_dwords<Together>(a, bytes[block][0], sizeof bytes[block] / 2);
  }
  put_dwords<L>(pairs, to, L::kSecondHalf);
  for (int line = 0; line < 2 * width; ++line) {
    __m256i above = _mm256_setzero_si256();
    for (int bit = 0; bit < 8; bit += width) {
      const int dword = (8 * line + bit) / width;
      const __m256i v = _mm256_srli_epi16(load(bytes[dword / 8][dword % 8]), 4);
      const __m256i bits = _mm256_and_si256(v, _mm256_set1_epi8((1 << width) - 1));
      above = _mm256_or_si256(above, _mm256_slli_epi16(bits, bit));
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + size_t(8 + line) * L::kDword), above);
  }
}

/// Eight outputs' 32 codes of a nibble each, likewise; neighbours: reordered to low and high halves
/// of K and stored +8. Blocks of 16 have the halves of 16.
template <class F, class L>
inline void pack_half(const std::uint8_t* const (&from)[kEight], std::uint8_t* to, __m128i*) {
  __m256i a[4], b[4];
  for (int i = 0; i < 4; ++i) {
    a[i] = _mm256_loadu2_m128i(reinterpret_cast<const __m128i*>(from[i + 4]),
                               reinterpret_cast<const __m128i*>(from[i]));
    if constexpr (F::neighbours) {
      const __m256i nibble = _mm256_set1_epi8(15);
      const __m256i even = _mm256_and_si256(a[i], nibble);
      const __m256i odd = _mm256_and_si256(_mm256_srli_epi16(a[i], 4), nibble);
      const __m256i low = _mm256_unpacklo_epi8(even, odd), high = _mm256_unpackhi_epi8(even, odd);
      a[i] = _mm256_xor_si256(_mm256_or_si256(low, _mm256_slli_epi16(high, 4)),
                              _mm256_set1_epi8(static_cast<char>(0x11 * F::flip)));
    } else if constexpr (L::kUnit != kBlock) {
      const __m256i nibble = _mm256_set1_epi8(15);
      const __m256i first = _mm256_and_si256(a[i], nibble);
      const __m256i second = _mm256_and_si256(_mm256_srli_epi16(a[i], 4), nibble);
      a[i] = _mm256_or_si256(_mm256_unpacklo_epi64(first, second),
                             _mm256_slli_epi16(_mm256_unpackhi_epi64(first, second), 4));
    }
  }
  for (int i = 0; i < 4; i += 2) {
    b[i] = _mm256_unpacklo_epi32(a[i], a[i + 1]);
    b[i + 1] = _mm256_unpackhi_epi32(a[i], a[i + 1]);
  }
  for (std::size_t j = 0; j < 2; ++j) {
    std::uint8_t* const at = to + j * (L::kUnit != kBlock ? L::kSecondHalf : 2 * L::kDword);
    auto* const out = reinterpret_cast<__m256i*>(at);
    auto* const next = reinterpret_cast<__m256i*>(at + L::kDword);
    _mm256_storeu_si256(out, _mm256_unpacklo_epi64(b[j], b[j + 2]));
    _mm256_storeu_si256(next, _mm256_unpackhi_epi64(b[j], b[j + 2]));
  }
}

template <class L>
std::size_t packed_bytes(std::size_t n, std::size_t k, std::size_t group) {
  return (n + kPanel - 1) / kPanel * L::bytes(k, group);
}

/// Where the codes of block b of eight outputs from n on are, of which `there` exist: copies at
/// `room` of what is gathered or cut short, and what stands there already for what is not there.
template <class F>
inline void find_codes(const Weights& w, std::size_t n, std::size_t there, std::size_t b,
                       std::uint8_t (&room)[kEight][kBlock], const std::uint8_t* (&codes)[kEight]) {
  constexpr std::size_t code_bytes = kBlock * F::Codes::bits / 8;
  for (std::size_t c = 0; c < kEight; ++c) codes[c] = room[c];
  if constexpr (kGathered<F>) {
    for (std::size_t c = 0; c < there && b < w.k / kBlock; ++c)
      F::gather(w, n + c, b, reinterpret_cast<BlockCodes<F>&>(room[c]));
  } else {
    const std::size_t row = F::row(w.k), at = b * F::block + F::codes;
    const std::size_t count = least(row - least(at, row), code_bytes);
    const auto* const from = static_cast<const std::uint8_t*>(w.values) + n * row + at;
    for (std::size_t c = 0; c < there && count; ++c)
      if (count == code_bytes)
        codes[c] = from + c * row;
      else
        __builtin_memcpy(room[c], from + c * row, count);
  }
}

template <class F, class L>
void pack(const Weights& w, std::size_t n0, std::size_t n1, void* packed) {
  // Outputs and codes that aren't there are zeros, of 4 bits stored as such.
  alignas(32) std::uint8_t missing[2][kEight][kBlock];
  __builtin_memset(missing, F::Codes::bits == 4 ? 0x11 * (8 ^ F::flip) : 0, sizeof missing);
  const std::size_t bytes = L::bytes(w.k, w.group);
  const std::size_t blocks = blocks_of(padded<L>(w.k));
  const std::size_t group_blocks = F::per_group ? w.group / L::kUnit : blocks;
  for (std::size_t n = n0; n < n1; n += kPanel) {
    auto* const panel = static_cast<std::uint8_t*>(packed) + n / kPanel * bytes;
    const std::size_t outputs = least(n1 - n, kPanel);
    for (std::size_t b = 0; b < blocks; b += L::kPairedBlocks ? 2 : 1) {
      for (std::size_t half = 0; half < 2; ++half) {
        const std::uint8_t* source[L::kPairedBlocks ? 2 : 1][kEight];
        for (std::size_t i = 0; i < (L::kPairedBlocks ? 2 : 1); ++i)
          find_codes<F>(w, n + half * kEight,
                        least(outputs - least(half * kEight, outputs), kEight), b + i, missing[i],
                        source[i]);
        std::uint8_t* const to =
            panel + L::block(b * (kBlock / L::kUnit), group_blocks) + half * L::kHalf;
        if constexpr (L::kPairedBlocks && F::Codes::bits == 8)
          pack_split<L>(source[0], source[1], to);
        else if constexpr (L::kPairedBlocks)
          pack_pairs<F, L>(source[0], source[1], to);
        else if constexpr (F::Codes::bits == 8)
          pack_half<L>(source[0], to, static_cast<__m256i*>(nullptr));
        else
          pack_half<F, L>(source[0], to, static_cast<__m128i*>(nullptr));
      }
    }
    const std::size_t groups = F::per_group ? blocks * (kBlock / L::kUnit) / group_blocks : 1;
    for (std::size_t g = 0; g < groups; ++g) {
      if constexpr (kHasMinimum<typename F::Scale> || L::kUnit != kBlock || kLevels<F>) {
        L::template put_group<F>(w, n, g, panel);
      } else {
        typename F::Scale scales[kPanel] = {};
        if (!F::per_group || g < w.k / w.group)
          for (std::size_t c = 0; c < outputs; ++c) scales[c] = F::scale(w, n + c, g);
        __builtin_memcpy(panel + L::scales(g, group_blocks), scales, sizeof scales);
      }
    }
  }
}

/// The k'th code of a pair of blocks that pack_split() stored, of the output whose bytes are at
/// `pair`.
template <class L>
inline std::int8_t split_code(const std::uint8_t* pair, std::size_t k) {
  constexpr std::size_t width = L::bits - 4;
  const std::size_t bit = k / 4 * width;
  const int nibble = pair[k % kBlock / 4 * L::kDword] >> k / kBlock * 4 & 15;
  const int above = pair[(8 + bit / 8) * L::kDword] >> bit % 8 & ((1 << width) - 1);
  return static_cast<std::int8_t>((above << 4 | nibble) - (L::kOffset & 0xff));
}

template <class F, class L>
void unpack(const void* packed, std::size_t, std::size_t k, std::size_t group, std::size_t n0,
            std::size_t n1, void* codes) {
  const std::size_t bytes = L::bytes(k, group);
  const std::size_t group_blocks = F::per_group ? group / L::kUnit : blocks_of(padded<L>(k));
  for (std::size_t n = n0; n < n1; ++n) {
    const auto* panel = static_cast<const std::uint8_t*>(packed) + n / kPanel * bytes;
    const std::size_t column = n % kPanel;
    for (std::size_t i = 0; i < k; ++i) {
      const std::size_t within = i % L::kUnit;
      const std::uint8_t* at = panel + L::block(i / L::kUnit, group_blocks) +
                               column / kEight * L::kHalf + column % kEight * 4 + within % 4;
      std::int8_t code;
      if constexpr (F::Codes::bits == 8 && L::kPairedBlocks) {
        code = split_code<L>(at, i % (2 * kBlock));
      } else if constexpr (F::Codes::bits == 8) {
        code = static_cast<std::int8_t>(at[within / 4 * L::kDword] - (L::kOffset >> i % 2 * 8));
      } else {
        constexpr std::size_t half = L::kUnit / 2;
        const std::size_t place = L::kPairedBlocks ? i % kBlock : within % half;
        const int byte = at[place / 4 * L::kDword];
        const bool high = L::kPairedBlocks ? i / kBlock % 2 : within >= half;
        code = static_cast<std::int8_t>(F::Codes::value(high ? byte >> 4 : byte & 15));
      }
      static_cast<std::int8_t*>(codes)[n * k + i] = code;
    }
  }
}

}  // namespace
}  // namespace qb::matmul
