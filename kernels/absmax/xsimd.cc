// Absmax, portable: the integer maximum over the bits with the sign cleared. Short groups go as
// many at a time as a batch has 32-bit lanes, through a tree of zips that joins two batches in one.
#include "core/xsimd.h"

#include "absmax/kernels.h"
#include "core/scalar_half.h"

namespace qb::absmax {
namespace {

using Lanes = batch<std::uint32_t>;

/// The largest magnitudes, lane by lane, of the whole batches among len words; `done` is how many
/// words those are.
template <class Word>
inline batch<Word> largest_lanes(const Word* x, std::size_t len, std::size_t& done) {
  using B = batch<Word>;
  constexpr std::size_t lanes = B::size;
  const B mask(Word(Word(~Word{0}) >> 1));
  B a[8];
  for (auto& v : a) v = B(Word{0});
  std::size_t j = 0;
  for (; j + 8 * lanes <= len; j += 8 * lanes)
    for (std::size_t i = 0; i < 8; ++i)
      a[i] = xsimd::max(a[i], B::load_unaligned(x + j + i * lanes) & mask);
  for (; j + lanes <= len; j += lanes) a[0] = xsimd::max(a[0], B::load_unaligned(x + j) & mask);
  for (std::size_t step = 4; step; step /= 2)
    for (std::size_t i = 0; i < step; ++i) a[i] = xsimd::max(a[i], a[i + step]);
  done = j;
  return a[0];
}

template <class Word>
inline Word run(const Word* x, std::size_t len) {
  std::size_t j;
  Word largest = reduce_max(largest_lanes(x, len, j));
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

inline Lanes joined(const Lanes& a, const Lanes& b) {
  return xsimd::max(xsimd::zip_lo(a, b), xsimd::zip_hi(a, b));
}

inline float value(std::uint32_t word, float) { return float_of(word); }
inline float value(std::uint32_t word, f16) {
  return f16_to_f32(f16(static_cast<std::uint16_t>(word)));
}

template <class T, class Word>
inline void all(const Word* x, std::size_t groups, std::size_t len, float* out) {
  constexpr std::size_t at_once = Lanes::size, kShort = 1024 / sizeof(Word);
  // Batches of four lanes: larger ones are zipped wrongly by xsimd 8.1.
  if (at_once == 4 && len <= kShort && len % batch<Word>::size == 0)
    for (; groups >= at_once; groups -= at_once, x += at_once * len, out += at_once) {
      Lanes g[at_once];
      std::size_t done;
      for (std::size_t i = 0; i < at_once; ++i)
        g[i] = widened(largest_lanes(x + i * len, len, done));
      for (std::size_t step = at_once / 2; step; step /= 2)
        for (std::size_t i = 0; i < step; ++i) g[i] = joined(g[i], g[i + step]);
      std::uint32_t word[at_once];
      g[0].store_unaligned(word);
      for (std::size_t i = 0; i < at_once; ++i) out[i] = value(word[i], T{});
    }
  for (std::size_t i = 0; i < groups; ++i) out[i] = value(run(x + i * len, len), T{});
}

}  // namespace

void QB_SYMBOL(absmax_f32)(const float* x, std::size_t groups, std::size_t len, float* out) {
  all<float>(reinterpret_cast<const std::uint32_t*>(x), groups, len, out);
}

void QB_SYMBOL(absmax_f16)(const f16* x, std::size_t groups, std::size_t len, float* out) {
  all<f16>(reinterpret_cast<const std::uint16_t*>(x), groups, len, out);
}

}  // namespace qb::absmax
