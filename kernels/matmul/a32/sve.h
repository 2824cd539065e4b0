// SPDX-License-Identifier: Apache-2.0
// What codes become as SVE vectors of floats, and how weights and activations are laid out for
// them.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "core/budgets.h"
#include "core/sve.h"
#include "matmul/a32/panels.h"

namespace qb::matmul {
namespace {

constexpr size_t kDecoded = SveBudget::kDecoded;
static_assert(kBlockOutputs == 128);  // a panel of vectors of 2048 bits: others divide it

inline svbool_t all() { return svptrue_b32(); }
/// Outputs of a panel.
inline size_t width() { return 2 * svcntw(); }
/// k's that are decoded at once: a power of two from 32 on.
inline size_t depth() { return kDecoded / sizeof(float) / width(); }

template <int... I>
struct Ints {};

/// f(Ints<0, ..., N-1>, zero, ..., zero): N vectors that f can change.
template <int N, class F, int... I, class... V>
inline __attribute__((always_inline)) void with_zeros(const F& f, Ints<I...> indices, V&... v) {
  if constexpr (sizeof...(I) == N) {
    f(indices, v...);
  } else {
    svfloat32_t next = svdup_n_f32(0);
    with_zeros<N>(f, Ints<I..., int(sizeof...(I))>{}, v..., next);
  }
}

/// Names SVE where a vector class is asked for: its vectors can't be members.
struct Sve;

// ---- weights: get<i, half> is k i of four, in the panel's first or second vector of outputs

template <>
struct Decoder<Sve, Float32> {
  using Code = float;
  static constexpr size_t kBits = 32;
  template <int i, int half>
  static svfloat32_t get(const Byte* p) {
    return svld1_vnum_f32(all(), reinterpret_cast<const float*>(p), 2 * i + half);
  }
};

inline svfloat32_t halves(const Byte* p, int vector) {
  const auto* at = reinterpret_cast<const std::uint16_t*>(p);
  return svcvt_f32_f16_x(all(), svreinterpret_f16_u32(svld1uh_vnum_u32(all(), at, vector)));
}

template <>
struct Decoder<Sve, Float16> {
  using Code = f16;
  static constexpr size_t kBits = 16;
  template <int i, int half>
  static svfloat32_t get(const Byte* p) {
    return halves(p, 2 * i + half);
  }
};

inline svfloat32_t less(svuint32_t bits, float base) {
  return svsub_n_f32_x(all(), svreinterpret_f32_u32(bits), base);
}

// SCVTF has a quarter of FADD's rate: the codes' bits come into a large number, and FSUB takes that
// away.

template <>
struct Decoder<Sve, Bytes> {
  using Code = std::int8_t;
  static constexpr size_t kBits = 8;
  template <int i, int half>
  static svfloat32_t get(const Byte* p) {
    const auto* at = reinterpret_cast<const std::int8_t*>(p);
    const svint32_t code = svld1sb_vnum_s32(all(), at, 2 * i + half);
    return less(svreinterpret_u32_s32(svadd_n_s32_x(all(), code, 0x4b400000)), 0x1.8p23f);
  }
};

template <>
struct Decoder<Sve, Nibbles> {
  using Code = std::int8_t;  // of two k's
  static constexpr size_t kBits = 4;
  template <int i, int half>
  static svfloat32_t get(const Byte* p) {
    const svuint32_t pair = svld1ub_vnum_u32(all(), p, i / 2 * 2 + half);
    const svuint32_t code = i % 2 ? svlsr_n_u32_x(all(), pair, 4) : svand_n_u32_x(all(), pair, 15);
    return less(sveor_n_u32_x(all(), code, 0x4b000000), 0x1p23f + 8);
  }
};

template <>
struct Decoder<Sve, UnsignedNibbles> {
  using Code = std::int8_t;  // of two k's
  static constexpr size_t kBits = 4;
  template <int i, int half>
  static svfloat32_t get(const Byte* p) {
    const svuint32_t pair = svld1ub_vnum_u32(all(), p, i / 2 * 2 + half);
    const svuint32_t code = i % 2 ? svlsr_n_u32_x(all(), pair, 4) : svand_n_u32_x(all(), pair, 15);
    return less(svorr_n_u32_x(all(), code, 0x4b000000), 0x1p23f);
  }
};

template <const std::int8_t (&values)[16]>
struct Decoder<Sve, Table<values>> {
  using Code = std::int8_t;  // of two k's
  static constexpr size_t kBits = 4;
  template <int i, int half>
  static svfloat32_t get(const Byte* p) {
    // The other three bytes of a lane lie behind the table, whatever the vector's length, where
    // lanes are 0.
    const svuint8_t table = svld1_u8(svptrue_pat_b8(SV_VL16), Table<values>::kRaised);
    const svuint32_t pair = svld1ub_vnum_u32(all(), p, i / 2 * 2 + half);
    const svuint32_t code = i % 2 ? svlsr_n_u32_x(all(), pair, 4) : svand_n_u32_x(all(), pair, 15);
    const svuint32_t index = svorr_n_u32_x(all(), code, 0xffffff00);
    const svuint32_t v = svreinterpret_u32_u8(svtbl_u8(table, svreinterpret_u8_u32(index)));
    return less(sveor_n_u32_x(all(), v, 0x4b000000), 0x1p23f + 128);
  }
};

// ---- layout

template <class C>
size_t code_bytes(size_t k) {
  return padded(k) * width() * C::kBits / 8;
}
/// Of the scales before a group's codes, or a panel's.
template <class C>
size_t scale_bytes() {
  return kScaled<C> ? width() * sizeof(typename C::Scale) : 0;
}
/// Of so many k's with their scales, and of a panel.
template <class C>
size_t run_bytes(size_t k) {
  return scale_bytes<C>() + code_bytes<C>(k);
}
template <class C>
size_t panel_bytes(size_t k, size_t group) {
  return C::kPerGroup ? k / group * run_bytes<C>(group) : run_bytes<C>(k);
}
template <class C>
size_t packed_bytes(size_t n, size_t k, size_t group) {
  return (n + width() - 1) / width() * panel_bytes<C>(k, group);
}
/// k's that share scales.
template <class C>
size_t run_of(size_t k, size_t group) {
  return C::kPerGroup ? group : padded(k);
}

template <class C>
svfloat32_t scale(const Byte* p, int half) {
  const auto* const at = reinterpret_cast<const std::uint16_t*>(p);
  if constexpr (__is_same(typename C::Scale, bf16))
    return svreinterpret_f32_u32(svlsl_n_u32_x(all(), svld1uh_vnum_u32(all(), at, half), 16));
  if constexpr (sizeof(typename C::Scale) == sizeof(f16)) return halves(p, half);
  return svld1_vnum_f32(all(), reinterpret_cast<const float*>(p), half);
}

template <class C>
void pack(const Weights& w, size_t n0, size_t n1, void* packed) {
  using Code = typename C::Code;
  constexpr size_t run = 32, codes = run * C::kBits / 8 / sizeof(Code), each = run / codes;
  const size_t v = width(), k_run = run_of<C>(w.k, w.group);
  Byte* to = static_cast<Byte*>(packed) + n0 / v * panel_bytes<C>(w.k, w.group);
  for (size_t n = n0; n < n1; n += v)
    for (size_t k0 = 0; k0 < w.k; k0 += k_run) {
      if constexpr (kScaled<C>) {
        put_scales<typename C::Source>(w, n, k0 / k_run, v, to);
        to += scale_bytes<C>();
      }
      for (size_t k = k0; k < k0 + k_run; k += run) {
        const size_t stored = least(run, k0 + k_run - k) / each;
        for (size_t c = 0; c < v; ++c) {
          Code code[codes] = {};
          if (n + c < w.n && k < w.k) {
            if constexpr (C::kBits == 4) {
              std::uint32_t words[4];
              const size_t first = k % kBlock;  // not 0 where groups have 16
              copy_nibbles<typename C::Source>(w, n + c, k - first, w.k - k + first, words);
              const auto* const bytes = reinterpret_cast<const Byte*>(words) + first / each;
              __builtin_memcpy(code, bytes, sizeof words - first / each);
            } else {
              read<C>(w, n + c, k, least(stored * each, w.k - k), code);
            }
          }
          for (size_t i = 0; i < stored; ++i)
            __builtin_memcpy(to + (i * v + c) * sizeof(Code), &code[i], sizeof(Code));
        }
        to += stored * v * sizeof(Code);
      }
    }
}

template <class C>
void unpack(const void* packed, size_t, size_t k, size_t group, size_t n0, size_t n1, void* out) {
  using Code = typename C::Code;
  const size_t v = width(), run = run_of<C>(k, group);
  for (size_t n = n0; n < n1; ++n) {
    const Byte* panel = static_cast<const Byte*>(packed) + n / v * panel_bytes<C>(k, group);
    for (size_t i = 0; i < k; ++i) {
      const size_t row = i % run * C::kBits / 8 / sizeof(Code);
      Code code;
      __builtin_memcpy(
          &code,
          panel + i / run * run_bytes<C>(run) + scale_bytes<C>() + (row * v + n % v) * sizeof code,
          sizeof code);
      if constexpr (C::kBits >= 16)
        static_cast<float*>(out)[n * k + i] = value_of(code);
      else if constexpr (C::kBits == 8)
        static_cast<std::int8_t*>(out)[n * k + i] = code;
      else
        static_cast<std::int8_t*>(out)[n * k + i] =
            static_cast<std::int8_t>(C::Source::Codes::value((code >> (i % 2 * 4)) & 15));
    }
  }
}

// ---- workspace: for every depth() k's, the rows in fours, k by k side by side, filled up with
// zeros; a single row is plain. k is filled up, too.

constexpr size_t rows_of(size_t m) { return m > 1 ? (m + 3) / 4 * 4 : m; }

inline size_t workspace_of(size_t m, size_t, size_t k, size_t) {
  return rows_of(m) * padded(k) * sizeof(float);
}

inline svfloat32_t values(svbool_t p, const float* x) { return svld1_f32(p, x); }
inline svfloat32_t values(svbool_t p, const f16* x) {
  return svcvt_f32_f16_x(all(), svreinterpret_f16_u32(svld1uh_u32(p, words(x))));
}
inline void put(svbool_t p, float* y, svfloat32_t v) { svst1_f32(p, y, v); }
inline void put(svbool_t p, f16* y, svfloat32_t v) {
  svst1h_u32(p, words(y), svreinterpret_u32_f16(svcvt_f16_f32_x(p, v)));
}

template <class T>
void prepare_rows(const void* activations, size_t m, size_t k, size_t, size_t m0, size_t m1,
                  void* workspace) {
  const T* const x = static_cast<const T*>(activations);
  for (size_t k0 = 0; k0 < k; k0 += depth()) {
    const size_t end = least(k0 + depth(), padded(k));
    float* const block = static_cast<float*>(workspace) + k0 * rows_of(m);
    for (size_t row = m0; row < m1; row += 4) {
      float* out = block + row * (end - k0);
      for (size_t i = k0; i < end; i += svcntw()) {
        const svbool_t to = lanes32(i, end);
        const auto of = [=](size_t r) {
          return values(row + r < m ? lanes32(i, k) : svpfalse_b(), x + (row + r) * k + i);
        };
        if (m == 1) {
          put(to, out, of(0));
          out += svcntw();
        } else {
          svst4_f32(to, out, svcreate4_f32(of(0), of(1), of(2), of(3)));
          out += 4 * svcntw();
        }
      }
    }
  }
}

}  // namespace
}  // namespace qb::matmul
