// SPDX-License-Identifier: Apache-2.0
// The kernels of this room, raw: no checks. Included by every instruction set's file.
//
// y[m,n] = sum_k x[m,k]*w[n,k] (contract, section 4). A variant is a record of functions, because
// it owns its packed weight layout and its workspace:
//
//   pack (once)  canonical weights -> the variant's layout
//   prepare      activations -> workspace   (a8: quantize; a32: reorder)       inside the timing
//   run          columns [n0,n1) of y, from workspace and packed weights       inside the timing
//
// run() may be called for disjoint column ranges by several threads at once; prepare() for disjoint
// row ranges.
#pragma once

#include "core/declare.h"
#include "quantbench/blocks.h"
#include "quantbench/types.h"
#include "quantbench/weights.h"

namespace qb::matmul {

/// One variant of one matmul operation. None of the functions checks its arguments.
/// Packed weights and workspace are 64-byte aligned; x, y and canonical weights are aligned as
/// their elements. y overlaps nothing.
struct Kernel {
  /// Outputs per tile: ranges given to pack and run start at a multiple of it and end at one or at
  /// n.
  std::size_t n_step;
  /// Bytes of the packed weights; 0: the variant runs on the canonical weights as they are, pack
  /// and unpack are null, and run gets no packed pointer.
  std::size_t (*packed_bytes)(std::size_t n, std::size_t k, std::size_t group);
  /// Packs outputs [n0,n1) into their place in `packed`.
  void (*pack)(const Weights& w, std::size_t n0, std::size_t n1, void* packed);
  /// The inverse, to prove that repacking loses nothing: the codes of outputs [n0,n1), as
  /// int8[N,K] to codes (q4_0: nibble-8; u4h, q4_1 and q4_K: the nibble; q5_0: code-16; q5_K: the
  /// code; q6_K: code-32; tq2_0: code-1; of a table: its value), or the exact values as f32 for f32
  /// and f16 weights (abf16: of f32 weights what rounding to bf16 left).
  void (*unpack)(const void* packed, std::size_t n, std::size_t k, std::size_t group,
                 std::size_t n0, std::size_t n1, void* codes);
  /// Bytes of workspace for m rows of activations; may be 0.
  std::size_t (*workspace_bytes)(std::size_t m, std::size_t n, std::size_t k, std::size_t group);
  /// Rows per block of prepare: its ranges start at a multiple of it and end at one or at m.
  std::size_t m_step;
  /// Rows [m0,m1) of x[m,k] (float, or f16 for the f16 product) into the workspace. Null if unused.
  void (*prepare)(const void* x, std::size_t m, std::size_t k, std::size_t group, std::size_t m0,
                  std::size_t m1, void* workspace);
  /// Writes y[0..m, n0..n1). w: canonical; packed: null where packed_bytes is 0. y is float[m,n],
  /// or f16[m,n] for the f16 product. Reads x only if prepare is null.
  void (*run)(const Weights& w, const void* packed, const void* x, const void* workspace,
              std::size_t m, std::size_t n0, std::size_t n1, void* y);
};

/// A variant's kernels of one arithmetic, one for each format of formats.inc; none (run is
/// null) where there is no such product.
struct Kernels {
#define QB_FORMAT(name, ...) Kernel name{};
#include "quantbench/formats.inc"
#undef QB_FORMAT
};

// The arithmetics. A product is the operation matmul_<arithmetic>_<format>.
//   a32    f32 activations, sums in f32
//   a8     activations quantized on the fly in prepare (formats with a scale per output: per row,
//          f32 scale, section 3's f32 arithmetic; other formats: per 32 as q8_0), integer dot
//          products exact in int32
//   abf16  activations and dequantized weights each rounded once to bf16, sums in f32
//   f16    the notebook's product: x f16[m,k], w f16[n,k], y f16[m,n] = f16(sum in f32, in k order)
using matmul_a32_fn = const Kernels;
using matmul_a8_fn = const Kernels;
using matmul_abf16_fn = const Kernels;
using matmul_f16_fn = const Kernels;

#define QB_VARIANT QB_DECLARE_VARIANT
#include "matmul/variants.inc"
#undef QB_VARIANT

}  // namespace qb::matmul
