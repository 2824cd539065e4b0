// SPDX-License-Identifier: Apache-2.0
// Dequantized matmul (contract, section 4): y[m,n] = sum_k x[m,k]*w[n,k].
//
//   const WeightView w = view_q4_0(blocks, n, k);
//   PackedWeights packed(w, Arithmetic::a8);       // repacks once, for the best variant for m = 1
//   packed.run(x, m, y, threads);
//
// The weights' canonical layouts stand in kernels.h, beside the record that a variant is.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <vector>

#include "core/variant.h"
#include "formats/format.h"
#include "matmul/kernels.h"

namespace qb::matmul {

std::span<const Variant> room();

/// Passes its argument on if there is a product of such codes.
#define QB_A8_OF_f32(...)
#define QB_A8_OF_f16(...)
#define QB_A8_OF_int8(...) __VA_ARGS__
#define QB_A8_OF_nibble(...) __VA_ARGS__
#define QB_A8_OF_table(...) __VA_ARGS__
#define QB_ABF16_OF_f32(...) __VA_ARGS__
#define QB_ABF16_OF_f16(...)
#define QB_ABF16_OF_int8(...) __VA_ARGS__
#define QB_ABF16_OF_nibble(...) __VA_ARGS__
#define QB_ABF16_OF_table(...) __VA_ARGS__

// The products there are: matmul::a8_q4_0 and so on. abf16 takes f32 and quantized weights, a8
// quantized ones.
#define QB_OPERATION(product) \
  inline constexpr Op<const Kernel> product { "matmul_" #product, room }
#define QB_FORMAT(name, ...) QB_OPERATION(a32_##name);
#include "formats/formats.inc"
#undef QB_FORMAT
#define QB_FORMAT(name, codes, ...) QB_A8_OF_##codes(QB_OPERATION(a8_##name);)
#include "formats/formats.inc"
#undef QB_FORMAT
#define QB_FORMAT(name, codes, ...) QB_ABF16_OF_##codes(QB_OPERATION(abf16_##name);)
#include "formats/formats.inc"
#undef QB_FORMAT
QB_OPERATION(f16_f16);
#undef QB_OPERATION

using qb::Format;

/// a32: f32 activations and sums. a8: activations quantized to int8 on the fly. f16: the notebook's
/// f16 @ f16 -> f16. abf16: activations and dequantized weights rounded to bf16, sums in f32.
enum class Arithmetic : std::uint8_t { a32, a8, f16, abf16 };

/// The largest k of the a8 products that add up a whole row's products in int32 (s8 and s4): beyond
/// it 127*128*k might not fit.
inline constexpr std::size_t kLongestInt8Row = 0x7fffffff / (127 * 128);

/// The operation for these weights under that arithmetic; null if there is none.
const Op<const Kernel>* find_operation(Arithmetic arithmetic, Format format);
/// The same, which throws BadArgument if there is none.
const Op<const Kernel>& operation(Arithmetic arithmetic, Format format);

/// Weights in their canonical layout whose sizes were checked. Refers to the caller's memory.
struct WeightView {
  Format format;
  Weights w;
  std::span<const std::byte> values, scales;  ///< the same memory, as what may not be overwritten
};

// Checked views. Each throws BadArgument if a span has not exactly the size that n, k and group ask
// for, if group is not 32, 64 or 128, or if it (or a block's 32) does not divide k.
WeightView view_f32(std::span<const float> values, std::size_t n, std::size_t k);
WeightView view_f16(std::span<const qb::f16> values, std::size_t n, std::size_t k);
/// Per channel: a scale for each output; per tensor is the same scale n times.
WeightView view_s8(std::span<const std::int8_t> codes, std::span<const float> scales, std::size_t n,
                   std::size_t k);
/// Codes two a byte, every output on (k+1)/2 bytes of its own.
WeightView view_s4(std::span<const std::uint8_t> codes, std::span<const float> scales,
                   std::size_t n, std::size_t k);
WeightView view_s8g(std::span<const std::int8_t> codes, std::span<const qb::f16> scales,
                    std::size_t n, std::size_t k, std::size_t group);
WeightView view_s4g(std::span<const std::uint8_t> codes, std::span<const qb::f16> scales,
                    std::size_t n, std::size_t k, std::size_t group);
WeightView view_q8_0(std::span<const BlockQ8_0> blocks, std::size_t n, std::size_t k);
WeightView view_q4_0(std::span<const BlockQ4_0> blocks, std::size_t n, std::size_t k);
WeightView view_mxfp4(std::span<const BlockMxfp4> blocks, std::size_t n, std::size_t k);
WeightView view_iq4_nl(std::span<const BlockIq4Nl> blocks, std::size_t n, std::size_t k);
WeightView view_q4_K(std::span<const BlockQ4_K> blocks, std::size_t n, std::size_t k);
/// Of any format, as the bytes of its canonical layout (kernels.h), aligned as its elements.
/// `scales` is empty where it has none of its own; `group` is unused but for the group formats.
WeightView view(Format format, std::span<const std::byte> values, std::span<const std::byte> scales,
                std::size_t n, std::size_t k, std::size_t group = 0);

/// Uninitialised memory at the alignment that kernels ask of packed weights and workspaces.
class AlignedBytes {
 public:
  explicit AlignedBytes(std::size_t size = 0)
      : data_(size ? static_cast<std::byte*>(operator new(size, kAlign)) : nullptr), size_(size) {}
  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }
  std::size_t size() const { return size_; }

 private:
  static constexpr std::align_val_t kAlign{64};
  struct Free {
    void operator()(std::byte* p) const { operator delete(p, kAlign); }
  };
  std::unique_ptr<std::byte, Free> data_;
  std::size_t size_;
};

/// Weights made ready for one variant, and the workspace its activations need.
///
/// Which variant is fastest depends on m (core/rows.h), and a variant reads only the layout that it
/// packs. So the choice falls when weights are packed, once, by the m that the caller expects of
/// most calls, and run() takes any m all the same. Who wants both, a prompt of many rows and then
/// one row a token, packs twice, if the two choices differ (variant().name) and memory allows it.
class PackedWeights {
 public:
  /// Packs on `threads` threads, for the variant of that name, or if it is empty for the one that
  /// is dispatched to for products of `expected_m` rows. The canonical weights must stay where they
  /// are: some variants run on them directly.
  /// Throws BadArgument if no operation takes this format under this arithmetic, or k is above
  /// kLongestInt8Row for a8 with a scale per output; std::invalid_argument if the variant does not
  /// exist or can't run here.
  PackedWeights(const WeightView& weights, Arithmetic arithmetic, std::string_view variant = {},
                int threads = 1, std::size_t expected_m = 1);

  /// y[m,n] = x[m,k] times the weights, on `threads` threads. x must have m*k elements, y at least
  /// m*n; y overlaps neither x nor the weights. Throws BadArgument otherwise, if the arithmetic is
  /// f16, or under a8 if x is not finite or, with group and block formats, the f16 scale of a block
  /// of 32 overflows (from 8,321,040 up); nothing is written then. Not for use by two threads at
  /// once: they would share the workspace.
  void run(std::span<const float> x, std::size_t m, std::span<float> y, int threads = 1);
  /// The same for the arithmetic f16 only.
  void run(std::span<const qb::f16> x, std::size_t m, std::span<qb::f16> y, int threads = 1);

  const Variant& variant() const { return *variant_; }
  const WeightView& weights() const { return weights_; }
  std::size_t packed_bytes() const { return packed_.size(); }

 private:
  template <class T>
  void checked_run(std::span<const T> x, std::size_t m, std::span<T> y, int threads);

  WeightView weights_;
  Arithmetic arithmetic_;
  const Variant* variant_;
  const Kernel* kernel_;
  AlignedBytes packed_, workspace_;
};

// Unchecked: what PackedWeights does between its checks, and what benchmarks time.

/// Packs all of w's outputs, split over threads by n_step.
void pack(const Kernel& kernel, const Weights& w, void* packed, int threads);
/// prepare, split over threads by m_step rows, then run, split by n_step columns. x and y are the
/// operation's element type; workspace holds workspace_bytes(m, w.n, w.k, w.group).
void multiply(const Kernel& kernel, const Weights& w, const void* packed, const void* x,
              std::size_t m, void* workspace, void* y, int threads);

}  // namespace qb::matmul
