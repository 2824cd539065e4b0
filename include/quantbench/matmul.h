// SPDX-License-Identifier: Apache-2.0
// Dequantized matmul (docs/contract.md, section 4): y[m,n] = sum_k x[m,k]*w[n,k].
//
//   const WeightView w = view_q4_0(blocks, n, k);
//   PackedWeights packed(w, Arithmetic::a8);       // repacks once, for the best variant for m = 1
//   packed.run(x, m, y, threads);
//
// Matrices are dense and row-major, aligned as their elements. How weights of each format lie in
// memory stands in weights.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "quantbench/blocks.h"
#include "quantbench/error.h"
#include "quantbench/export.h"
#include "quantbench/formats.h"
#include "quantbench/types.h"
#include "quantbench/weights.h"

namespace qb::matmul {

using qb::Format;

/// a32: f32 activations and sums. a8: activations quantized to int8 on the fly. f16: the notebook's
/// f16 @ f16 -> f16. abf16: activations and dequantized weights rounded to bf16, sums in f32.
enum class Arithmetic : std::uint8_t { a32, a8, f16, abf16 };

/// The largest k of the a8 products that add up a whole row's products in int32 (s8 and s4): beyond
/// it 127*128*k might not fit.
inline constexpr std::size_t kLongestInt8Row = 0x7fffffff / (127 * 128);

/// Weights in their canonical layout whose sizes were checked. Refers to the caller's memory.
struct WeightView {
  Format format;
  Weights w;
  std::span<const std::byte> values, scales;  ///< the same memory, as what may not be overwritten
  std::span<const std::byte> zeros{};         ///< likewise, if it is not in `scales`
};

// Checked views. Each throws BadArgument if a span has not exactly the size that n, k and group ask
// for, if group is not 32, 64 or 128, or if it (or a block's 32) does not divide k.
QUANTBENCH_API WeightView view_f32(std::span<const float> values, std::size_t n, std::size_t k);
QUANTBENCH_API WeightView view_f16(std::span<const qb::f16> values, std::size_t n, std::size_t k);
/// Per channel: a scale for each output; per tensor is the same scale n times.
QUANTBENCH_API WeightView view_s8(std::span<const std::int8_t> codes, std::span<const float> scales,
                                  std::size_t n, std::size_t k);
/// Codes two a byte, every output on (k+1)/2 bytes of its own.
QUANTBENCH_API WeightView view_s4(std::span<const std::uint8_t> codes,
                                  std::span<const float> scales, std::size_t n, std::size_t k);
QUANTBENCH_API WeightView view_s8g(std::span<const std::int8_t> codes,
                                   std::span<const qb::f16> scales, std::size_t n, std::size_t k,
                                   std::size_t group);
QUANTBENCH_API WeightView view_s4g(std::span<const std::uint8_t> codes,
                                   std::span<const qb::f16> scales, std::size_t n, std::size_t k,
                                   std::size_t group);
/// zeros: a zero point for each group, or empty: 8.
QUANTBENCH_API WeightView view_u4h(std::span<const std::uint8_t> codes,
                                   std::span<const qb::f16> scales,
                                   std::span<const std::uint8_t> zeros, std::size_t n,
                                   std::size_t k, std::size_t group);
QUANTBENCH_API WeightView view_q8_0(std::span<const BlockQ8_0> blocks, std::size_t n,
                                    std::size_t k);
QUANTBENCH_API WeightView view_q4_0(std::span<const BlockQ4_0> blocks, std::size_t n,
                                    std::size_t k);
QUANTBENCH_API WeightView view_mxfp4(std::span<const BlockMxfp4> blocks, std::size_t n,
                                     std::size_t k);
QUANTBENCH_API WeightView view_iq4_nl(std::span<const BlockIq4Nl> blocks, std::size_t n,
                                      std::size_t k);
QUANTBENCH_API WeightView view_q4_1(std::span<const BlockQ4_1> blocks, std::size_t n,
                                    std::size_t k);
QUANTBENCH_API WeightView view_q5_0(std::span<const BlockQ5_0> blocks, std::size_t n,
                                    std::size_t k);
QUANTBENCH_API WeightView view_q4_K(std::span<const BlockQ4_K> blocks, std::size_t n,
                                    std::size_t k);
QUANTBENCH_API WeightView view_q5_K(std::span<const BlockQ5_K> blocks, std::size_t n,
                                    std::size_t k);
QUANTBENCH_API WeightView view_q6_K(std::span<const BlockQ6_K> blocks, std::size_t n,
                                    std::size_t k);
QUANTBENCH_API WeightView view_iq4_xs(std::span<const BlockIq4Xs> blocks, std::size_t n,
                                      std::size_t k);
QUANTBENCH_API WeightView view_nvfp4(std::span<const BlockNvfp4> blocks, std::size_t n,
                                     std::size_t k);
QUANTBENCH_API WeightView view_tq2_0(std::span<const BlockTq2_0> blocks, std::size_t n,
                                     std::size_t k);
/// Of any format, as the bytes of its canonical layout (weights.h), aligned as its elements.
/// `scales` is empty where it has none of its own; zero points stand behind the scales, or there
/// are none. `group` is unused but for the group formats.
QUANTBENCH_API WeightView view(Format format, std::span<const std::byte> values,
                               std::span<const std::byte> scales, std::size_t n, std::size_t k,
                               std::size_t group = 0);

/// Weights made ready for one variant, and the workspace its activations need.
///
/// Which variant is fastest depends on m (one row, 2 and 3, or more), and a variant reads only the
/// layout that it packs. So the choice falls when weights are packed, once, by the m that the
/// caller expects of most calls, and run() takes any m all the same. Who wants both, a prompt of
/// many rows and then one row a token, packs twice, if the two choices differ (variant()) and
/// memory allows it.
class QUANTBENCH_API PackedWeights {
 public:
  /// Packs on `threads` threads, from 1 to 4096, for the variant of that name, or if it is empty
  /// for the one that is dispatched to for products of `expected_m` rows. The canonical weights
  /// must stay where they are: some variants run on them directly. Throws BadArgument if no
  /// operation takes this format under this arithmetic, or k is above kLongestInt8Row for a8 with a
  /// scale per output; std::invalid_argument if the variant does not exist or can't run here.
  PackedWeights(const WeightView& weights, Arithmetic arithmetic, std::string_view variant = {},
                int threads = 1, std::size_t expected_m = 1);

  PackedWeights(PackedWeights&&) noexcept;
  PackedWeights& operator=(PackedWeights&&) noexcept;
  ~PackedWeights();

  /// y[m,n] = x[m,k] times the weights, on `threads` threads. x must have m*k elements, y at least
  /// m*n; y overlaps neither x nor the weights. Throws BadArgument otherwise, if the arithmetic is
  /// f16, or under a8 if x is not finite or, with group and block formats, the f16 scale of a block
  /// of 32 overflows (from 8,321,040 up); nothing is written then. Not for use by two threads at
  /// once: they would share the workspace.
  void run(std::span<const float> x, std::size_t m, std::span<float> y, int threads = 1);
  /// The same for the arithmetic f16 only.
  void run(std::span<const qb::f16> x, std::size_t m, std::span<qb::f16> y, int threads = 1);

  /// The name of the variant that run() runs: "avx512vnni".
  std::string_view variant() const;
  const WeightView& weights() const;
  /// Bytes of the packed weights; 0 if the variant runs on the canonical ones.
  std::size_t packed_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace qb::matmul
