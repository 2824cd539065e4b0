// Absmax, portable: the integer maximum over the bits with the sign cleared, eight accumulators.
#include "core/xsimd.h"

#include "absmax/kernels.h"
#include "core/scalar_half.h"

namespace qb::absmax {
namespace {

template <class Word>
inline Word run(const void* data, std::size_t len) {
  using B = batch<Word>;
  constexpr std::size_t lanes = B::size;
  constexpr Word keep = Word(~Word{0}) >> 1;
  const auto* x = static_cast<const Word*>(data);
  const B mask(keep);
  B a[8];
  for (auto& v : a) v = B(Word{0});
  std::size_t j = 0;
  for (; j + 8 * lanes <= len; j += 8 * lanes)
    for (std::size_t i = 0; i < 8; ++i)
      a[i] = xsimd::max(a[i], B::load_unaligned(x + j + i * lanes) & mask);
  for (; j + lanes <= len; j += lanes) a[0] = xsimd::max(a[0], B::load_unaligned(x + j) & mask);
  for (std::size_t step = 4; step; step /= 2)
    for (std::size_t i = 0; i < step; ++i) a[i] = xsimd::max(a[i], a[i + step]);
  Word largest = reduce_max(a[0]);
  for (; j < len; ++j) {
    Word m;
    __builtin_memcpy(&m, x + j, sizeof m);
    m &= keep;
    largest = m > largest ? m : largest;
  }
  return largest;
}

}  // namespace

void QB_SYMBOL(absmax_f32)(const float* x, std::size_t groups, std::size_t len, float* out) {
  for (std::size_t i = 0; i < groups; ++i, x += len)
    out[i] = __builtin_bit_cast(float, run<std::uint32_t>(x, len));
}

void QB_SYMBOL(absmax_f16)(const f16* x, std::size_t groups, std::size_t len, float* out) {
  for (std::size_t i = 0; i < groups; ++i, x += len)
    out[i] = f16_to_f32(f16(run<std::uint16_t>(x, len)));
}

}  // namespace qb::absmax
