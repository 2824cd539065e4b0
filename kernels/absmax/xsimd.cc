// SPDX-License-Identifier: Apache-2.0
// Absmax, portable: the integer maximum over the bits with the sign cleared. Short groups go as
// many at a time as a batch has 32-bit lanes.
#include "absmax/kernels.h"
#include "core/scalar_half.h"
#include "core/xsimd_half.h"
#include "core/xsimd_lanes.h"

namespace qb::absmax {
namespace {

using Lanes = batch<std::uint32_t>;

template <class Word>
inline batch<Word> magnitudes(const Word* x) {
  return batch<Word>::load_unaligned(x) & batch<Word>(Word(Word(~Word{0}) >> 1));
}

template <class Word>
inline Word run(const Word* x, std::size_t len) {
  constexpr std::size_t lanes = batch<Word>::size;
  batch<Word> a[8];
  for (auto& v : a) v = batch<Word>(Word{0});
  std::size_t j = 0;
  for (; j + 8 * lanes <= len; j += 8 * lanes)
    for (std::size_t i = 0; i < 8; ++i) a[i] = xsimd::max(a[i], magnitudes(x + j + i * lanes));
  for (; j + lanes <= len; j += lanes) a[0] = xsimd::max(a[0], magnitudes(x + j));
  for (std::size_t step = 4; step; step /= 2)
    for (std::size_t i = 0; i < step; ++i) a[i] = xsimd::max(a[i], a[i + step]);
  Word largest = reduce_max(a[0]);
  for (; j < len; ++j) {
    Word m;  // x points to floats, or to halves of another type
    __builtin_memcpy(&m, x + j, sizeof m);
    m &= Word(~Word{0}) >> 1;
    largest = m > largest ? m : largest;
  }
  return largest;
}

/// The larger of a word's two halves in its 32-bit lane.
inline Lanes widened(const batch<std::uint32_t>& v) { return v; }
inline Lanes widened(const batch<std::uint16_t>& v) {
  const Lanes pairs = bitwise<std::uint32_t>(v);
  return xsimd::max(pairs & Lanes(0xffffu), pairs >> 16);
}

inline float value(std::uint32_t word) { return float_of(word); }
inline float value(std::uint16_t word) { return f16_to_f32(f16(word)); }
inline batch<float> values(const batch<float>& v, float) { return v; }
inline batch<float> values(const batch<float>& v, f16) {
  return bitwise<float>(half_to_float(bitwise<std::int32_t>(v)));
}

template <class T, class Word>
inline void all(const Word* x, std::size_t groups, std::size_t len, float* out) {
  constexpr std::size_t lanes = batch<Word>::size, kShort = 1024 / sizeof(Word);
  const auto larger = [](const batch<float>& a, const batch<float>& b) {
    return bitwise<float>(xsimd::max(bitwise<std::uint32_t>(a), bitwise<std::uint32_t>(b)));
  };
  if (len && len <= kShort && len % lanes == 0)
    for (; groups >= Lanes::size; groups -= Lanes::size, x += Lanes::size * len) {
      batch<Word> a[Lanes::size];
      for (auto& v : a) v = batch<Word>(Word{0});
      for (std::size_t j = 0; j < len; j += lanes)
        QB_UNROLL for (std::size_t i = 0; i < Lanes::size; ++i) a[i] =
            xsimd::max(a[i], magnitudes(x + i * len + j));
      batch<float> group[Lanes::size];
      QB_UNROLL for (std::size_t i = 0; i < Lanes::size; ++i) group[i] =
          bitwise<float>(widened(a[i]));
      values(reduce_lanes(group, larger), T{}).store_unaligned(out);
      out += Lanes::size;
    }
  for (std::size_t i = 0; i < groups; ++i) out[i] = value(run(x + i * len, len));
}

}  // namespace

void QB_SYMBOL(absmax_f32)(const float* x, std::size_t groups, std::size_t len, float* out) {
  all<float>(reinterpret_cast<const std::uint32_t*>(x), groups, len, out);
}

void QB_SYMBOL(absmax_f16)(const f16* x, std::size_t groups, std::size_t len, float* out) {
  all<f16>(reinterpret_cast<const std::uint16_t*>(x), groups, len, out);
}

}  // namespace qb::absmax
