// SPDX-License-Identifier: Apache-2.0
// Limits of the SVE level: streams of whole vectors, FMLA, SDOT. Vectors have no size at compile
// time, so the loops move 64 bytes a step: four, two or one of them (of a longer one the first 64).
#include <arm_sve.h>

#include <cstdint>

#include "limits_kernels.h"

namespace qb::limits {
namespace {

constexpr std::size_t kStep = 64;

/// One step, whose first vectors read are stored; or `value`, where nothing is read. kParts:
/// vectors in a step.
template <int R, int W, int kParts>
inline void one_step(svbool_t p, const std::uint8_t* in, std::uint8_t* out, svuint8_t value) {
  for (int i = 0; i < kParts; ++i) {
    for (int r = 0; r < R; ++r) {
      const svuint8_t read = svld1_vnum_u8(p, in + std::size_t(r) * kStep, i);
      if (r == 0 && W > 0)
        value = read;
      else
        __asm__ volatile("" ::"w"(read));
    }
    for (int w = 0; w < W; ++w) svst1_vnum_u8(p, out + std::size_t(w) * kStep, i, value);
  }
}

template <int R, int W, int kParts>
inline void run(const void* src, void* dst, std::size_t steps, std::size_t repeats) {
  const svbool_t p = svwhilelt_b8_u64(0, kStep);
  const svuint8_t value = svld1_u8(p, static_cast<const std::uint8_t*>(src));
  for (std::size_t repeat = 0; repeat < repeats; ++repeat) {
    const auto* in = static_cast<const std::uint8_t*>(src);
    auto* out = static_cast<std::uint8_t*>(dst);
    for (std::size_t i = 0; i < steps; i += 8) {
#pragma GCC unroll 8
      for (int u = 0; u < 8; ++u)
        one_step<R, W, kParts>(p, in + u * R * kStep, out + u * W * kStep, value);
      in += 8 * R * kStep;
      out += 8 * W * kStep;
      __asm__ volatile("" ::: "memory");
    }
  }
}

template <int R, int W>
void loop(const void* src, void* dst, std::size_t steps, std::size_t repeats) {
  if (svcntb() == 16)
    run<R, W, 4>(src, dst, steps, repeats);
  else if (svcntb() == 32)
    run<R, W, 2>(src, dst, steps, repeats);
  else
    run<R, W, 1>(src, dst, steps, repeats);
}

constexpr StreamLoop kLoops[] = {
    {1, 0, {loop<1, 0>}, {}},   {0, 1, {loop<0, 1>}, {}}, {1, 1, {loop<1, 1>}, {}},
    {1, 2, {loop<1, 2>}, {}},   {1, 4, {loop<1, 4>}, {}}, {1, 8, {loop<1, 8>}, {}},
    {2, 1, {loop<2, 1>}, {}},   {4, 1, {loop<4, 1>}, {}}, {8, 1, {loop<8, 1>}, {}},
    {16, 1, {loop<16, 1>}, {}},
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

extern const LimitKernels limits_sve{.isa = "sve",
                                     .step_bytes = kStep,
                                     .loops = kLoops,
                                     .loop_count = kLoopCount,
                                     .f32_peak = f32_peak,
                                     .int8_peak = int8_peak,
                                     .int4_peak = int8_peak};
}  // namespace qb::limits
