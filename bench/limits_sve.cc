// Limits of the SVE level: streams of whole vectors, FMLA, SDOT. Vectors have no size at compile
// time, so the loops move 64 bytes a step: four, two or one of them (of a longer one the first 64).
#include <arm_sve.h>

#include <cstdint>

#include "limits_kernels.h"

namespace qb::limits {
namespace {

constexpr std::size_t kStep = 64;

/// kParts: vectors in a step.
template <int R, int W, int kParts>
inline void part(svbool_t p, const std::uint8_t* in, std::uint8_t* out, svuint8_t& sum) {
  for (int i = 0; i < kParts; ++i) {
    svuint8_t last = sum;
    if constexpr (R > 0) {
      last = svld1_vnum_u8(p, in, i);
      for (int r = 1; r < R; ++r)
        last = svorr_u8_x(svptrue_b8(), last, svld1_vnum_u8(p, in + std::size_t(r) * kStep, i));
    }
    if constexpr (W == 0) sum = svorr_u8_x(svptrue_b8(), sum, last);
    for (int w = 0; w < W; ++w) svst1_vnum_u8(p, out + std::size_t(w) * kStep, i, last);
  }
}

template <int R, int W, int kParts>
inline void run(const void* src, void* dst, std::size_t steps) {
  const svbool_t p = svwhilelt_b8_u64(0, kStep);
  const auto* in = static_cast<const std::uint8_t*>(src);
  auto* out = static_cast<std::uint8_t*>(dst);
  svuint8_t a = svdup_n_u8(0), b = a, c = a, d = a;
  for (std::size_t i = 0; i < steps; i += 4) {  // a multiple of 64
    part<R, W, kParts>(p, in, out, a);
    part<R, W, kParts>(p, in + R * kStep, out + W * kStep, b);
    part<R, W, kParts>(p, in + 2 * R * kStep, out + 2 * W * kStep, c);
    part<R, W, kParts>(p, in + 3 * R * kStep, out + 3 * W * kStep, d);
    in += 4 * R * kStep;
    out += 4 * W * kStep;
    __asm__ volatile("" ::: "memory");
  }
  __asm__ volatile("" ::"w"(a), "w"(b), "w"(c), "w"(d));
}

template <int R, int W>
void loop(const void* src, void* dst, std::size_t steps) {
  if (svcntb() == 16)
    run<R, W, 4>(src, dst, steps);
  else if (svcntb() == 32)
    run<R, W, 2>(src, dst, steps);
  else
    run<R, W, 1>(src, dst, steps);
}

constexpr StreamLoop kLoops[] = {
    {1, 0, loop<1, 0>, {}}, {0, 1, loop<0, 1>, {}}, {1, 1, loop<1, 1>, {}},
    {1, 2, loop<1, 2>, {}}, {1, 4, loop<1, 4>, {}}, {1, 8, loop<1, 8>, {}},
    {2, 1, loop<2, 1>, {}}, {4, 1, loop<4, 1>, {}}, {8, 1, loop<8, 1>, {}},
};
constexpr std::size_t kLoopCount = sizeof kLoops / sizeof kLoops[0];

// Vectors of unknown size have no arrays: sixteen chains by name.
#define QB_SIXTEEN(m) \
  m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7) m(8) m(9) m(10) m(11) m(12) m(13) m(14) m(15)

double f32_peak(std::size_t rounds) {
  const svbool_t all = svptrue_b32();
  svfloat32_t x = svdup_n_f32(0.999f);
#define QB_BEGIN(i) svfloat32_t a##i = svdup_n_f32(1.0f);
#define QB_ADD(i)                 \
  __asm__ volatile("" : "+w"(x)); \
  a##i = svmla_f32_x(all, a##i, x, x);
#define QB_KEEP(i) __asm__ volatile("" ::"w"(a##i));
  QB_SIXTEEN(QB_BEGIN)
  for (std::size_t i = 0; i < rounds; ++i) {
    QB_SIXTEEN(QB_ADD)
  }
  QB_SIXTEEN(QB_KEEP)
#undef QB_BEGIN
#undef QB_ADD
  return 16 * double(svcntw()) * 2;
}

double int8_peak(std::size_t rounds) {
  svint8_t x = svdup_n_s8(3);
#define QB_BEGIN(i) svint32_t a##i = svdup_n_s32(0);
#define QB_ADD(i)                 \
  __asm__ volatile("" : "+w"(x)); \
  a##i = svdot_s32(a##i, x, x);
  QB_SIXTEEN(QB_BEGIN)
  for (std::size_t i = 0; i < rounds; ++i) {
    QB_SIXTEEN(QB_ADD)
  }
  QB_SIXTEEN(QB_KEEP)
  return 16 * double(svcntb()) * 2;
}

}  // namespace

// Nibbles cost what bytes cost: there is no faster product of them.
extern const LimitKernels limits_sve{"sve",    kStep,     kLoops,   kLoopCount,
                                     f32_peak, int8_peak, int8_peak};
}  // namespace qb::limits
