// SPDX-License-Identifier: Apache-2.0
// Dequantized matmul, as the rest of the house knows it: the room's variants and operations, and
// the unchecked functions, beside the checked ones that everybody may call (quantbench/matmul.h).
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <span>

#include "core/variant.h"
#include "matmul/kernels.h"
#include "quantbench/matmul.h"

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
#include "quantbench/formats.inc"
#undef QB_FORMAT
#define QB_FORMAT(name, codes, ...) QB_A8_OF_##codes(QB_OPERATION(a8_##name);)
#include "quantbench/formats.inc"
#undef QB_FORMAT
#define QB_FORMAT(name, codes, ...) QB_ABF16_OF_##codes(QB_OPERATION(abf16_##name);)
#include "quantbench/formats.inc"
#undef QB_FORMAT
QB_OPERATION(f16_f16);
#undef QB_OPERATION

/// The operation for these weights under that arithmetic; null if there is none.
const Op<const Kernel>* find_operation(Arithmetic arithmetic, Format format);
/// The same, which throws BadArgument if there is none.
const Op<const Kernel>& operation(Arithmetic arithmetic, Format format);

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

/// The weights whose values and scales lie there; zeros: with zero points behind the scales, if the
/// format may have some. `group` as check_rows() takes it.
Weights weights_at(Format format, const void* values, const void* scales, std::size_t n,
                   std::size_t k, std::size_t group, bool zeros = true);

// Unchecked: what PackedWeights does between its checks, and what benchmarks time.

/// Packs all of w's outputs, split over threads by n_step.
void pack(const Kernel& kernel, const Weights& w, void* packed, int threads);
/// prepare, split over threads by m_step rows, then run, split by n_step columns. x and y are the
/// operation's element type; workspace holds workspace_bytes(m, w.n, w.k, w.group).
void multiply(const Kernel& kernel, const Weights& w, const void* packed, const void* x,
              std::size_t m, void* workspace, void* y, int threads);

}  // namespace qb::matmul
