// SPDX-License-Identifier: Apache-2.0
// Float conversions, SVE. Widening loads put 16-bit patterns into 32-bit lanes, where FCVT takes
// and leaves its halves; UZP1 or UZP2 brings the halves of two vectors together for one store.
// bfloat16 is integer arithmetic: its instructions are an extension that not every SVE core has.
#include "core/sve.h"
#include "convert/kernels.h"

namespace qb::convert {
namespace {

inline const std::uint16_t* bits(const f16* p) { return words(p); }
inline const std::uint16_t* bits(const bf16* p) {
  return reinterpret_cast<const std::uint16_t*>(p);
}
inline std::uint16_t* bits(f16* p) { return words(p); }
inline std::uint16_t* bits(bf16* p) { return reinterpret_cast<std::uint16_t*>(p); }

inline svuint32_t widen(svuint32_t h, f16) {
  return svreinterpret_u32_f32(svcvt_f32_f16_x(svptrue_b32(), svreinterpret_f16_u32(h)));
}
inline svuint32_t widen(svuint32_t h, bf16) {
  const svuint32_t b = svlsl_n_u32_x(svptrue_b32(), h, 16);
  const svfloat32_t v = svreinterpret_f32_u32(b);
  return svorr_n_u32_m(svcmpuo_f32(svptrue_b32(), v, v), b, 0x400000);
}

/// Of an f16 in the low half of the lane, of a bf16 in the high half.
inline svuint32_t narrow(svfloat32_t v, f16) {
  return svreinterpret_u32_f16(svcvt_f16_f32_x(svptrue_b32(), v));
}
inline svuint32_t narrow(svfloat32_t v, bf16) {
  const svbool_t all = svptrue_b32(), nan = svcmpuo_f32(all, v, v);
  const svuint32_t b = svreinterpret_u32_f32(v);
  // 0x7fff and the last bit that stays: ties to even.
  const svuint32_t odd = svand_n_u32_x(all, svlsr_n_u32_x(all, b, 16), 1);
  const svuint32_t half = svadd_n_u32_x(all, odd, 0x7fff);
  return svorr_n_u32_m(nan, svadd_u32_m(svnot_b_z(all, nan), b, half), 0x400000);
}

inline svuint16_t both(svuint32_t a, svuint32_t b, f16) {
  return svuzp1_u16(svreinterpret_u16_u32(a), svreinterpret_u16_u32(b));
}
inline svuint16_t both(svuint32_t a, svuint32_t b, bf16) {
  return svuzp2_u16(svreinterpret_u16_u32(a), svreinterpret_u16_u32(b));
}

template <class T>
inline void step(svbool_t p, const T* x, float* y) {
  svst1_f32(p, y, svreinterpret_f32_u32(widen(svld1uh_u32(p, bits(x)), T{})));
}

template <class T>
inline void widen_all(const T* x, std::size_t n, float* y) {
  const std::size_t lanes = svcntw();
  const svbool_t all = svptrue_b32();
  std::size_t i = 0;
  for (; n - i >= 4 * lanes; i += 4 * lanes) {
    const T* const in = x + i;
    float* const out = y + i;
    step(all, in, out);
    step(all, in + lanes, out + lanes);
    step(all, in + 2 * lanes, out + 2 * lanes);
    step(all, in + 3 * lanes, out + 3 * lanes);
  }
  for (; i < n; i += lanes) step(lanes32(i, n), x + i, y + i);
}

/// Two vectors; p0 and p1 are their lanes, p of what comes out.
template <class T>
inline void step(svbool_t p0, svbool_t p1, svbool_t p, const float* x, T* y) {
  const svuint32_t a = narrow(svld1_f32(p0, x), T{}), b = narrow(svld1_f32(p1, x + svcntw()), T{});
  svst1_u16(p, bits(y), both(a, b, T{}));
}

template <class T>
inline void narrow_all(const float* x, std::size_t n, T* y) {
  const std::size_t lanes = svcntw();
  const svbool_t all = svptrue_b8();
  std::size_t i = 0;
  for (; n - i >= 4 * lanes; i += 4 * lanes) {
    step(all, all, all, x + i, y + i);
    step(all, all, all, x + i + 2 * lanes, y + i + 2 * lanes);
  }
  for (; i < n; i += 2 * lanes)
    step(lanes32(i, n), lanes32(i + lanes, n), lanes16(i, n), x + i, y + i);
}

}  // namespace

void convert_f16_f32_sve(const f16* x, std::size_t n, float* y) { widen_all(x, n, y); }

void convert_f32_f16_sve(const float* x, std::size_t n, f16* y) { narrow_all(x, n, y); }

void convert_bf16_f32_sve(const bf16* x, std::size_t n, float* y) { widen_all(x, n, y); }

void convert_f32_bf16_sve(const float* x, std::size_t n, bf16* y) { narrow_all(x, n, y); }

}  // namespace qb::convert
