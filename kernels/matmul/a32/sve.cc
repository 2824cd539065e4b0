// SPDX-License-Identifier: Apache-2.0
// Matmul with f32 activations, SVE, for any length of its vectors; worth it above all where they
// are longer than NEON's (Neoverse V1).
//
// Panels of two vectors of outputs, k by k, as layout.h has them but for codes of 4 bits: two
// k's of an output stand in a byte, the lower k in the low nibble, since a load that widens bytes
// to lanes costs no more than another. k is filled up with zeros to whole steps of 8.
//
//   weights      a load that widens, a few integer operations, and FSUB (f16: FCVT)
//   activations  LD1RQW repeats four of them in every 128 bits, and FMLA by element takes its pick:
//                four k's of a single row, or a k of four rows
//   one row      decoding binds it, f32 memory; four panels at a time: eight sums, each in k order,
//                hide the latency
//   up to four   one panel, eight sums; decoded in registers, too
//   more         FMLA binds: a panel's block of 16 KiB is decoded once, and in a tile of 8 rows x 2
//                vectors a k costs four loads for 16 of them
//
// SVE's types can't stand in arrays: sums are a pack of arguments, which with_zeros makes.
#include "matmul/a32/sve.h"
#include "core/budgets.h"

namespace qb::matmul {
namespace {

// ---- products. Sum I is of row I / 2 % R, of the first or second half of panel I / (2 * R).

/// sum... += the codes of `depth` k's, from `at` on in each panel, times R rows at x; 8 rows: the
/// second four of them from x + `four` on.
template <class C, int R, int P, int... I, class... V>
inline __attribute__((always_inline)) void add(const Byte* const (&panel)[P], size_t at,
                                               size_t depth, const float* x, size_t four,
                                               Ints<I...>, V&... sum) {
  static_assert(R == 1 || P == 1);
  for (size_t k = 0; k < depth; k += 4, at += code_bytes<C>(8) / 2, x += R == 1 ? 4 : 16)
    Unroll<4>::run([&](auto i) __attribute__((always_inline)) {
      if constexpr (R == 1) {
        const svfloat32_t xs = svld1rq_f32(all(), x);
        ((sum =
              svmla_lane_f32(sum, C::template get<i.value, I % 2>(panel[I / 2] + at), xs, i.value)),
         ...);
      } else {
        const svfloat32_t w0 = C::template get<i.value, 0>(panel[0] + at);
        const svfloat32_t w1 = C::template get<i.value, 1>(panel[0] + at);
        const svfloat32_t x0 = svld1rq_f32(all(), x + 4 * i.value);
        const svfloat32_t x1 = R == 8 ? svld1rq_f32(all(), x + four + 4 * i.value) : x0;
        ((sum = svmla_lane_f32(sum, I % 2 ? w1 : w0, I < 8 ? x0 : x1, I / 2 % 4)), ...);
      }
    });
}

/// m rows, at most R, of P panels from outputs n on; a panel past the last is the last once more.
template <class C, int R, int P, class Out>
void few(const Weights& w, const Byte* packed, const float* x, size_t m, size_t n, size_t n1,
         Out* y) {
  const size_t v = svcntw(), last = (n1 - 1) / width(), run = run_of<C>(w.k, w.group);
  const Byte* panel[P];
  for (size_t q = 0; q < P; ++q)
    panel[q] = packed + least(n / width() + q, last) * panel_bytes<C>(w.k, w.group);
  with_zeros<2 * R * P>(
      [&]<int... I>(Ints<I...>, auto&... total) __attribute__((always_inline)) {
        for (size_t k = 0, at = 0; k < w.k; k += run, at += run_bytes<C>(run))
          with_zeros<2 * R * P>(
              [&](auto indices, auto&... sum) __attribute__((always_inline)) {
                add<C, R>(panel, at + scale_bytes<C>(), run, x + k * R, 0, indices, sum...);
                if constexpr (!kScaled<C>)
                  ((total = sum), ...);
                else
                  ((total =
                        svmla_f32_x(all(), total, sum, scale<C>(panel[I / (2 * R)] + at, I % 2))),
                   ...);
              },
              Ints<>{});
        const auto write = [&](size_t row, size_t j, svfloat32_t sum) {
          if (row < m) put(lanes32(j, n1), y + row * w.n + j, sum);
        };
        (write(I / 2 % R, n + (I / (2 * R) * 2 + I % 2) * v, total), ...);
      },
      Ints<>{});
}

/// sums[R][width] += R rows times `depth` k's of floats at b; `first`: starts at zero.
template <int R>
[[gnu::noinline]] void tile_sve(const float* x, size_t four, const Byte* b, size_t depth,
                                bool first, float* sums) {
  with_zeros<2 * R>(
      [&]<int... I>(Ints<I...> indices, auto&... sum) __attribute__((always_inline)) {
        if (!first) ((sum = svld1_vnum_f32(all(), sums, I)), ...);
        add<Decoder<Sve, Float32>, R, 1>({b}, 0, depth, x, four, indices, sum...);
        (svst1_vnum_f32(all(), sums, I, sum), ...);
      },
      Ints<>{});
}

/// count k's from k0, a multiple of depth(), of a panel as floats, scaled; f32 weights are used
/// where they are.
template <class C>
const Byte* decode_sve(const Weights& w, const Byte* panel, size_t k0, size_t count, float* out) {
  if constexpr (C::kBits == 32) return panel + code_bytes<C>(k0);
  const size_t run = run_of<C>(w.k, w.group), some = least(run, count);
  float* to = out;
  for (size_t k = k0; k < k0 + count; k += some) {
    const Byte* const scales = panel + k / run * run_bytes<C>(run);
    const Byte* p = scales + scale_bytes<C>() + code_bytes<C>(k % run);
    svfloat32_t s0 = svdup_n_f32(1), s1 = s0, m0 = s0, m1 = s0;
    if constexpr (kScaled<C>) s0 = scale<C>(scales, 0), s1 = scale<C>(scales, 1);
    if constexpr (C::kMinimum) m0 = scale<C>(scales, 2), m1 = scale<C>(scales, 3);
    for (size_t i = 0; i < some; i += 4, p += code_bytes<C>(8) / 2, to += 4 * width())
      Unroll<4>::run([&](auto j) __attribute__((always_inline)) {
        svfloat32_t w0 = C::template get<j.value, 0>(p), w1 = C::template get<j.value, 1>(p);
        if constexpr (C::kMinimum) {
          w0 = svnmsb_f32_x(all(), w0, s0, m0);
          w1 = svnmsb_f32_x(all(), w1, s1, m1);
        } else if constexpr (kScaled<C>) {
          w0 = svmul_f32_x(all(), w0, s0);
          w1 = svmul_f32_x(all(), w1, s1);
        }
        svst1_vnum_f32(all(), to, 2 * j.value, w0);
        svst1_vnum_f32(all(), to, 2 * j.value + 1, w1);
      });
  }
  return reinterpret_cast<const Byte*>(out);
}

/// Blocked as many_rows.h does it.
template <class C, class Out>
void many(const Weights& w, const Byte* packed, const float* x, size_t m, size_t n0, size_t n1,
          Out* y) {
  const size_t v = width(), bytes = panel_bytes<C>(w.k, w.group), rows = rows_of(m);
  const size_t outputs =
      workspace_of(m, 0, w.k, 0) <= SveBudget::kActivationsInL2 ? v : kBlockOutputs;
  alignas(64) float sums[kBlockRows * kBlockOutputs];
  alignas(64) float decoded[kDecoded / sizeof(float)];
  for (size_t m0 = 0; m0 < m; m0 += kBlockRows) {
    const size_t m1 = least(m0 + kBlockRows, rows);
    for (size_t nb = n0; nb < n1; nb += outputs) {
      const size_t nb1 = least(nb + outputs, n1);
      for (size_t k0 = 0; k0 < w.k; k0 += depth()) {
        const size_t count = least(depth(), padded(w.k) - k0);
        for (size_t n = nb; n < nb1; n += v) {
          const Byte* b = decode_sve<C>(w, packed + n / v * bytes, k0, count, decoded);
          float* to = sums + (n - nb) * kBlockRows;
          const float* from = x + k0 * rows + m0 * count;
          size_t row = m0;
          for (; row + 8 <= m1; row += 8, from += 8 * count, to += 8 * v)
            tile_sve<8>(from, 4 * count, b, count, k0 == 0, to);
          if (row < m1) (m == 1 ? tile_sve<1> : tile_sve<4>)(from, 0, b, count, k0 == 0, to);
        }
      }
      for (size_t row = m0; row < least(m1, m); ++row)
        for (size_t n = nb; n < nb1; n += svcntw()) {
          const float* sum = sums + (n - nb) / v * v * kBlockRows + (row - m0) * v + (n - nb) % v;
          const svfloat32_t value = w.k ? svld1_f32(all(), sum) : svdup_n_f32(0);
          put(lanes32(n, n1), y + row * w.n + n, value);
        }
    }
  }
}

template <class C, class Out>
void run_sve(const Weights& w, const void* packed, const void*, const void* workspace, size_t m,
             size_t n0, size_t n1, void* out) {
  const auto* p = static_cast<const Byte*>(packed);
  const auto* x = static_cast<const float*>(workspace);
  auto* y = static_cast<Out*>(out);
  // A minimum is taken off each weight, so that these are decoded before they are multiplied.
  if (m > 4 || C::kMinimum) return many<C>(w, p, x, m, n0, n1, y);
  if (m > 1)
    for (size_t n = n0; n < n1; n += width()) few<C, 4, 1>(w, p, x, m, n, n1, y);
  if (m == 1)
    for (size_t n = n0; n < n1; n += 4 * width()) few<C, 1, 4>(w, p, x, m, n, n1, y);
}

/// T: of activations and results.
template <class F, class T = float>
constexpr Kernel kernel_of_sve() {
  using C = Codec<Sve, F>;
  return {.n_step = kBlockOutputs,
          .packed_bytes = packed_bytes<C>,
          .pack = pack<C>,
          .unpack = unpack<C>,
          .workspace_bytes = workspace_of,
          .m_step = 4,
          .prepare = prepare_rows<T>,
          .run = run_sve<typename C::Loops, T>};
}

}  // namespace

constexpr Kernels matmul_a32_sve =
    every_format([](auto format) { return kernel_of_sve<decltype(format)>(); });
constexpr Kernels matmul_f16_sve = {.f16 = kernel_of_sve<source::f16, f16>()};

}  // namespace qb::matmul
