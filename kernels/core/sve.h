// SPDX-License-Identifier: Apache-2.0
// What the SVE kernels share. Vectors have as many lanes as the CPU has, a power of two of at least
// 128 bits (the architecture allows no other). A load under a predicate reads nothing and gives
// zeros in its inactive lanes, and a store leaves theirs alone: a tail is the body once more.
//
// In an anonymous namespace on purpose: each translation unit owns its copy
// (docs/decisions/0002-odr.md).
#pragma once

#include <arm_sve.h>

#include "quantbench/types.h"

#if !defined(__ARM_FEATURE_SVE)
#error "compile with the flags of cmake/Isa.cmake for sve"
#endif

namespace qb {
namespace {

[[maybe_unused]] inline const std::uint16_t* words(const f16* p) {
  return reinterpret_cast<const std::uint16_t*>(p);
}
[[maybe_unused]] inline std::uint16_t* words(f16* p) { return reinterpret_cast<std::uint16_t*>(p); }

[[maybe_unused]] inline float widened(f16 h) {
  return float(__builtin_bit_cast(float16_t, std::uint16_t(h)));
}
[[maybe_unused]] inline f16 narrowed(float v) {
  return f16(__builtin_bit_cast(std::uint16_t, float16_t(v)));
}

/// The first four lanes.
[[maybe_unused]] inline svbool_t first4() { return svptrue_pat_b32(SV_VL4); }
/// Lanes of elements j, j+1, ... as far as they are below n.
[[maybe_unused]] inline svbool_t lanes32(std::size_t j, std::size_t n) {
  return svwhilelt_b32_u64(j, n);
}
[[maybe_unused]] inline svbool_t lanes16(std::size_t j, std::size_t n) {
  return svwhilelt_b16_u64(j, n);
}
[[maybe_unused]] inline svbool_t lanes8(std::size_t j, std::size_t n) {
  return svwhilelt_b8_u64(j, n);
}

// Magnitudes are bits with the sign cleared, whose integer order is the order of the values: NaN is
// the largest and needs no care.
struct Magnitudes32 {
  using T = float;
  using V = svuint32_t;
  static std::size_t count() { return svcntw(); }
  static svbool_t below(std::size_t j, std::size_t n) { return lanes32(j, n); }
  static V zero() { return svdup_n_u32(0); }
  static V load(svbool_t p, const float* x) {
    return svand_n_u32_x(svptrue_b32(), svreinterpret_u32_f32(svld1_f32(p, x)), 0x7fffffffu);
  }
  static V max(V a, V b) { return svmax_u32_x(svptrue_b32(), a, b); }
  /// The larger of each two neighbours, those of a in the lower half.
  static V fold(V a, V b) { return max(svuzp1_u32(a, b), svuzp2_u32(a, b)); }
  static float reduce(V v) {
    return __builtin_bit_cast(float, std::uint32_t(svmaxv_u32(svptrue_b32(), v)));
  }
  static svfloat32_t values4(V v) { return svreinterpret_f32_u32(v); }
};

struct Magnitudes16 {
  using T = f16;
  using V = svuint16_t;
  static std::size_t count() { return svcnth(); }
  static svbool_t below(std::size_t j, std::size_t n) { return lanes16(j, n); }
  static V zero() { return svdup_n_u16(0); }
  static V load(svbool_t p, const f16* x) {
    return svand_n_u16_x(svptrue_b16(), svld1_u16(p, words(x)), 0x7fff);
  }
  static V max(V a, V b) { return svmax_u16_x(svptrue_b16(), a, b); }
  static V fold(V a, V b) { return max(svuzp1_u16(a, b), svuzp2_u16(a, b)); }
  static float reduce(V v) { return widened(f16(svmaxv_u16(svptrue_b16(), v))); }
  static svfloat32_t values4(V v) {
    return svcvt_f32_f16_x(first4(), svreinterpret_f16_u32(svunpklo_u32(v)));
  }
};

template <class T>
struct MagnitudesOf {
  using U = Magnitudes32;
};
template <>
struct MagnitudesOf<f16> {
  using U = Magnitudes16;
};

template <class T, class U = typename MagnitudesOf<T>::U>
[[maybe_unused]] inline float absmax_of_1(const T* x, std::size_t len) {
  const std::size_t lanes = U::count();
  const svbool_t all = svptrue_b8();
  typename U::V a = U::zero(), b = a, c = a, d = a;
  std::size_t j = 0;
  for (; len - j >= 8 * lanes; j += 8 * lanes) {
    const T* const at = x + j;
    const T* const next = at + 4 * lanes;
    a = U::max(a, U::max(U::load(all, at), U::load(all, at + lanes)));
    b = U::max(b, U::max(U::load(all, at + 2 * lanes), U::load(all, at + 3 * lanes)));
    c = U::max(c, U::max(U::load(all, next), U::load(all, next + lanes)));
    d = U::max(d, U::max(U::load(all, next + 2 * lanes), U::load(all, next + 3 * lanes)));
  }
  for (; j < len; j += lanes) a = U::max(a, U::load(U::below(j, len), x + j));
  return U::reduce(U::max(U::max(a, b), U::max(c, d)));
}

/// The absmax of four runs of len elements; lane i for run i, the lanes behind undefined.
template <class T, class U = typename MagnitudesOf<T>::U>
[[maybe_unused]] inline svfloat32_t absmax_of_4(const T* x, std::size_t len) {
  const std::size_t lanes = U::count();
  typename U::V a = U::zero(), b = a, c = a, d = a;
  for (std::size_t j = 0; j < len; j += lanes) {
    const svbool_t p = U::below(j, len);
    a = U::max(a, U::load(p, x + j));
    b = U::max(b, U::load(p, x + len + j));
    c = U::max(c, U::load(p, x + 2 * len + j));
    d = U::max(d, U::load(p, x + 3 * len + j));
  }
  typename U::V v = U::fold(U::fold(a, b), U::fold(c, d));
  for (std::size_t n = lanes; n > 4; n /= 2) v = U::fold(v, v);
  return U::values4(v);
}

// ---- codes: FADD of a number so large that the sum keeps no fraction rounds to the nearest
// integer, ties to even, and leaves it in the low bits (FCVT has half the rate of FADD or less)

constexpr float kMagic = 0x1.8p23f;
constexpr float16_t kHalfMagic = float16_t(1536);  // for |integer| <= 512

[[maybe_unused]] inline svint32_t code(svfloat32_t v) {
  return svreinterpret_s32_f32(svadd_n_f32_x(svptrue_b32(), v, kMagic));
}
[[maybe_unused]] inline svint32_t code(svbool_t p, const float* x, svfloat32_t inv) {
  return code(svmul_f32_x(svptrue_b32(), svld1_f32(p, x), inv));
}
/// The product is the notebook's f16(x*inv).
[[maybe_unused]] inline svint16_t code(svbool_t p, const f16* x, svfloat16_t inv) {
  const svbool_t all = svptrue_b16();
  const svfloat16_t v = svreinterpret_f16_u16(svld1_u16(p, words(x)));
  return svreinterpret_s16_f16(svadd_n_f16_x(all, svmul_f16_x(all, v, inv), kHalfMagic));
}

/// The low halves of the elements of both.
[[maybe_unused]] inline svint16_t both(svint32_t a, svint32_t b) {
  return svuzp1_s16(svreinterpret_s16_s32(a), svreinterpret_s16_s32(b));
}
[[maybe_unused]] inline svint8_t both(svint16_t a, svint16_t b) {
  return svuzp1_s8(svreinterpret_s8_s16(a), svreinterpret_s8_s16(b));
}

// ---- scales, and the factors of codes

[[maybe_unused]] inline void store1(float* s, float v) { *s = v; }
[[maybe_unused]] inline void store1(f16* s, float v) { *s = narrowed(v); }
[[maybe_unused]] inline void store4(float* s, svfloat32_t v) { svst1_f32(first4(), s, v); }
[[maybe_unused]] inline void store4(f16* s, svfloat32_t v) {
  const svfloat16_t h = svcvt_f16_f32_x(first4(), v);
  svst1h_u32(first4(), words(s), svreinterpret_u32_f16(h));
}

constexpr float kMostFinite = 0x1.fffffep127f;

/// v where it is finite, otherwise 0: the group is treated as zero. Of the first four lanes.
[[maybe_unused]] inline svfloat32_t finite_or_zero(svfloat32_t v) {
  const svbool_t four = first4();
  return svsel_f32(svcmple_n_f32(four, svabs_f32_x(four, v), kMostFinite), v, svdup_n_f32(0));
}
[[maybe_unused]] inline float finite_or_zero(float v) {
  return __builtin_fabsf(v) <= kMostFinite ? v : 0.0f;
}

[[maybe_unused]] inline svfloat16_t splat(f16 h) {
  return svreinterpret_f16_u16(svdup_n_u16(std::uint16_t(h)));
}

}  // namespace
}  // namespace qb
