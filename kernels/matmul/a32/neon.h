// SPDX-License-Identifier: Apache-2.0
// Matmul with f32 and with bf16 activations (what is bf16 is held as the f32 it stands for), NEON.
// 32 registers hold an 8x8 tile's 16 accumulators; FMLA by element takes the activations from a
// register's lanes, four rows to a load, so that a k costs four loads for 16 FMLAs. Few rows are
// bound by decoding, which uses what all vector pipes can do.
#pragma once

#include <arm_neon.h>

#include "core/budgets.h"
#include "matmul/a32/panels.h"

#if !defined(__aarch64__) || !defined(__ARM_NEON)
#error "compile for AArch64"
#endif

namespace qb::matmul {
namespace {

struct Neon : Vectors<Neon> {
  using V = float32x4_t;
  static constexpr size_t kLanes = 4;
  static constexpr size_t kRows = 8;
  static constexpr size_t kDepth = 256;
  static constexpr size_t kStaysInL2 = NeonBudget::kActivationsInL2;
  /// In 32 registers several rows have room for turns, too.
  template <class C>
  static constexpr Few few(int rows) {
    const Few few = few_in_16<C>(rows);
    return rows == 1 ? few : Few{few.panels, 2};
  }

  static V zero() { return vdupq_n_f32(0.0f); }
  static V load(const float* p) { return vld1q_f32(p); }
  static V load_bytes(const void* p) { return vreinterpretq_f32_u8(vld1q_u8(bytes(p))); }
  static V load_half(const void* p) { return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(bytes(p)))); }
  static V load_bf16(const void* p) {
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(bytes(p))), 16));
  }
  static V load_s8(const void* p) {
    std::uint32_t four;
    __builtin_memcpy(&four, p, sizeof four);
    const int16x8_t wide = vmovl_s8(vreinterpret_s8_u32(vdup_n_u32(four)));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
  }
  static void store(float* p, V v) { vst1q_f32(p, v); }
  static V set1(const float* p) { return vld1q_dup_f32(p); }
  static V fma(V a, V b, V c) { return vfmaq_f32(c, a, b); }
  static V mul(V a, V b) { return vmulq_f32(a, b); }
  static V add(V a, V b) { return vaddq_f32(a, b); }
  static V nfma(V a, V b, V c) { return vfmsq_f32(c, a, b); }
  static V all(float x) { return vdupq_n_f32(x); }
  template <int R>
  static inline __attribute__((always_inline)) void step(V (&acc)[R][2], V b0, V b1,
                                                         const float* x) {
    Unroll<R / 4>::run([&](auto four) {
      constexpr int r = four.value * 4;
      const V xr = vld1q_f32(x + r);
      acc[r][0] = vfmaq_laneq_f32(acc[r][0], b0, xr, 0);
      acc[r][1] = vfmaq_laneq_f32(acc[r][1], b1, xr, 0);
      acc[r + 1][0] = vfmaq_laneq_f32(acc[r + 1][0], b0, xr, 1);
      acc[r + 1][1] = vfmaq_laneq_f32(acc[r + 1][1], b1, xr, 1);
      acc[r + 2][0] = vfmaq_laneq_f32(acc[r + 2][0], b0, xr, 2);
      acc[r + 2][1] = vfmaq_laneq_f32(acc[r + 2][1], b1, xr, 2);
      acc[r + 3][0] = vfmaq_laneq_f32(acc[r + 3][0], b0, xr, 3);
      acc[r + 3][1] = vfmaq_laneq_f32(acc[r + 3][1], b1, xr, 3);
    });
    Unroll<R % 4>::run([&](auto i) {
      constexpr int r = R / 4 * 4 + i.value;
      const V xr = set1(x + r);
      acc[r][0] = fma(xr, b0, acc[r][0]);
      acc[r][1] = fma(xr, b1, acc[r][1]);
    });
  }

  static void store_half(f16* p, V v) {
    const uint16x4_t h = vreinterpret_u16_f16(vcvt_f16_f32(v));
    vst1_u8(reinterpret_cast<std::uint8_t*>(p), vreinterpret_u8_u16(h));
  }

 private:
  static const std::uint8_t* bytes(const void* p) { return static_cast<const std::uint8_t*>(p); }
};

template <>
struct Decoder<Neon, BFloat16> {
  using Code = bf16;
  static constexpr size_t kBits = 16;
  template <int i, int half>
  static float32x4_t get(const Byte* p) {
    // Both halves of k i are one load of eight, which the compiler shares.
    const uint16x8_t q = vreinterpretq_u16_u8(vld1q_u8(p + i * 16));
    const uint16x8_t zero = vdupq_n_u16(0);
    return vreinterpretq_f32_u16(half ? vzip2q_u16(zero, q) : vzip1q_u16(zero, q));
  }
};

// SCVTF has a quarter of FADD's rate: the codes' bits come into a large number, and FSUB takes that
// away.

template <>
struct Decoder<Neon, Bytes> {
  using Code = std::int8_t;
  static constexpr size_t kBits = 8;
  template <int i, int half>
  static float32x4_t get(const Byte* p) {
    // Both halves of k i are the eight bytes of one load, which the compiler shares.
    const int16x8_t q = vmovl_s8(vreinterpret_s8_u8(vld1_u8(p + i * 8)));
    const int32x4_t magic = vdupq_n_s32(0x4b400000);
    const int32x4_t sum = half ? vaddw_high_s16(magic, q) : vaddw_s16(magic, vget_low_s16(q));
    return vsubq_f32(vreinterpretq_f32_s32(sum), vdupq_n_f32(0x1.8p23f));
  }
};

template <>
struct Decoder<Neon, Nibbles> {
  using Code = std::int8_t;
  static constexpr size_t kBits = 4;
  template <int i, int half>
  static float32x4_t get(const Byte* p) {
    // Code j of a half-word is 16^j times as high, and so is the number whose last bits it becomes.
    // Flipping its sign bit adds 8.
    constexpr int j = i % 4, bit = 4 * j;
    uint32x4_t q = vreinterpretq_u32_u8(vld1q_u8(p + half * 16));
    if constexpr (i >= 4) q = vshrq_n_u32(q, 16);
    q = vandq_u32(q, vdupq_n_u32(15u << bit));
    q = veorq_u32(q, vdupq_n_u32((150u - bit) << 23 | 8u << bit));
    return vsubq_f32(vreinterpretq_f32_u32(q), vdupq_n_f32(float(1 << (23 - bit)) + 8));
  }
};

template <>
struct Decoder<Neon, UnsignedNibbles> {
  using Code = std::int8_t;
  static constexpr size_t kBits = 4;
  template <int i, int half>
  static float32x4_t get(const Byte* p) {
    // As Nibbles, without their offset.
    constexpr int j = i % 4, bit = 4 * j;
    uint32x4_t q = vreinterpretq_u32_u8(vld1q_u8(p + half * 16));
    if constexpr (i >= 4) q = vshrq_n_u32(q, 16);
    q = vandq_u32(q, vdupq_n_u32(15u << bit));
    q = vorrq_u32(q, vdupq_n_u32((150u - bit) << 23));
    return vsubq_f32(vreinterpretq_f32_u32(q), vdupq_n_f32(float(1 << (23 - bit))));
  }
};

template <const std::int8_t (&values)[16]>
struct Decoder<Neon, Table<values>> {
  using Code = std::int8_t;
  static constexpr size_t kBits = 4;
  template <int i, int half>
  static float32x4_t get(const Byte* p) {
    // A lookup serves every other k of a lane, and the compiler shares it. It gives values + 128,
    // which become the last bits of a large number, or those before.
    constexpr int byte = i / 2, bit = byte % 2 * 8;
    const uint8x16_t q = vld1q_u8(p + half * 16);
    const uint8x16_t index = i % 2 ? vshrq_n_u8(q, 4) : vandq_u8(q, vdupq_n_u8(15));
    uint32x4_t v = vreinterpretq_u32_u8(vqtbl1q_u8(vld1q_u8(Table<values>::kRaised), index));
    if constexpr (byte >= 2) v = vshrq_n_u32(v, 16);
    v = vandq_u32(v, vdupq_n_u32(255u << bit));
    v = veorq_u32(v, vdupq_n_u32((150u - bit) << 23));
    return vsubq_f32(vreinterpretq_f32_u32(v), vdupq_n_f32(float(1 << (23 - bit)) + 128));
  }
};

}  // namespace
}  // namespace qb::matmul
