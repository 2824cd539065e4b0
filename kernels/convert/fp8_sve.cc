// SPDX-License-Identifier: Apache-2.0
// 8-bit floats, SVE (core/fp8.h says how rounding works). Widening loads put bytes into 32-bit
// lanes, where FCVT takes its halves; narrowing stores write the low bytes.
#include "convert/kernels.h"
#include "core/fp8.h"
#include "core/sve.h"

namespace qb::convert {
namespace {

template <class T>
inline const std::uint8_t* bytes(const T* p) {
  return reinterpret_cast<const std::uint8_t*>(p);
}
template <class T>
inline std::uint8_t* bytes(T* p) {
  return reinterpret_cast<std::uint8_t*>(p);
}

inline svfloat32_t of_halves(svuint32_t h) {
  return svcvt_f32_f16_x(svptrue_b32(), svreinterpret_f16_u32(h));
}

inline svfloat32_t widen(svuint32_t b, e5m2) {
  return of_halves(svlsl_n_u32_x(svptrue_b32(), b, 8));
}
/// Of E4M3 the half is 1/256 of the value.
inline svfloat32_t widen(svuint32_t b, e4m3) {
  const svbool_t all = svptrue_b32();
  const svuint32_t magnitude = svand_n_u32_x(all, b, 0x7f);
  const svuint32_t sign = svlsl_n_u32_x(all, svand_n_u32_x(all, b, 0x80), 8);
  const svuint32_t number = svlsl_n_u32_x(all, magnitude, 7);
  const svbool_t nan = svcmpeq_n_u32(all, magnitude, 0x7f);
  const svuint32_t quiet = svsel_u32(nan, svdup_n_u32(0x7e00), number);
  return svmul_n_f32_x(all, of_halves(svorr_u32_x(all, quiet, sign)), 256);
}

inline svuint32_t nan_code(svuint32_t, e4m3) { return svdup_n_u32(0x7f); }
/// E5M2 keeps the top bit of a payload.
inline svuint32_t nan_code(svuint32_t bits, e5m2) {
  const svbool_t all = svptrue_b32();
  return svorr_n_u32_x(all, svlsr_n_u32_x(all, bits, 21), 2);
}

/// Codes in the low bytes of the lanes, something above them.
template <class T>
inline svuint32_t narrow(svuint32_t bits, T) {
  using Format = Fp8<T>;
  const svbool_t all = svptrue_b32();
  const svuint32_t magnitude = svand_n_u32_x(all, bits, 0x7fffffffu);
  const svuint32_t a = svmin_n_u32_x(all, magnitude, Format::kCap);
  const svuint32_t larger = svmax_n_u32_x(all, a, Format::kLeast);
  // The offset comes in units of the sum's last place.
  const svuint32_t t =
      svorr_n_u32_x(all, svand_n_u32_x(all, larger, kExponentBits), Format::kOffset);
  const svfloat32_t sum = svmla_n_f32_x(all, svreinterpret_f32_u32(a), svreinterpret_f32_u32(t),
                                        float(1u << Format::kUp));
  const svuint32_t number =
      svadd_u32_x(all, svreinterpret_u32_f32(sum), svlsr_n_u32_x(all, t, Format::kShift));
  const svbool_t nan = svcmpgt_n_u32(all, magnitude, kExponentBits);
  const svuint32_t either = svsel_u32(nan, nan_code(bits, T{}), number);
  const svuint32_t sign = svand_n_u32_x(all, svlsr_n_u32_x(all, bits, 24), 0x80);
  return svorr_u32_x(all, svand_n_u32_x(all, either, 0x7f), sign);
}

template <class T>
inline void step(svbool_t p, const T* x, float* y) {
  svst1_f32(p, y, widen(svld1ub_u32(p, bytes(x)), T{}));
}
template <class T>
inline void step(svbool_t p, const float* x, T* y) {
  svst1b_u32(p, bytes(y), narrow(svreinterpret_u32_f32(svld1_f32(p, x)), T{}));
}

template <class In, class Out>
inline void run(const In* x, std::size_t n, Out* y) {
  const std::size_t lanes = svcntw();
  const svbool_t all = svptrue_b32();
  std::size_t i = 0;
  for (; n - i >= 4 * lanes; i += 4 * lanes) {
    step(all, x + i, y + i);
    step(all, x + i + lanes, y + i + lanes);
    step(all, x + i + 2 * lanes, y + i + 2 * lanes);
    step(all, x + i + 3 * lanes, y + i + 3 * lanes);
  }
  for (; i < n; i += lanes) step(lanes32(i, n), x + i, y + i);
}

}  // namespace

void convert_e4m3_f32_sve(const e4m3* x, std::size_t n, float* y) { run(x, n, y); }

void convert_f32_e4m3_sve(const float* x, std::size_t n, e4m3* y) { run(x, n, y); }

void convert_e5m2_f32_sve(const e5m2* x, std::size_t n, float* y) { run(x, n, y); }

void convert_f32_e5m2_sve(const float* x, std::size_t n, e5m2* y) { run(x, n, y); }

}  // namespace qb::convert
