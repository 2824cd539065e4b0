// SPDX-License-Identifier: Apache-2.0
// Products of bf16 activations, AVX512-BF16.
//
// vdpbf16ps adds two products to each of 16 sums, two roundings and no subnormals: within the
// contract's bound and floor. On a Zen 4 it is one zmm a cycle, as f32's FMA is, and so twice its
// products.
//
// One row of codes is bound by decoding them, and of the vector pipes (on a Zen 4 four of 256 bits:
// products have two, shuffles, roundings and shifts share the others, blends and logic have all)
// the layouts are made for. Halves of a zmm instruction for 32 weights, where four are a cycle:
//
//   4-bit, a table there     1.5 to shift, 2 to look up, 2 for the product             5.5
//   4-bit, groups of 32      and 2 to multiply, 4 to round                             11.5
//   8-bit, a table there     2 to look up, 2 to interleave, 1 for the sign, 2           7
//   8-bit, groups            4 to blend, 4 to multiply and add, 4 to round, 2          14
//
// Where a table pays, a vector of weights is 32 of K of one output and meets rows as they lie. Of
// 4-bit codes the 16 products of code and scale are rounded once for each output (or its group);
// they stand in the register twice, so that what follows the code in the index need not be masked.
// Of 8-bit codes with one scale per output the 128 products with the magnitude are rounded once,
// and vpermi2b looks 64 low and 64 high bytes up (VBMI, which the instruction set is taken to
// include: all CPUs with BF16 but Cooper Lake have it), with two unpacks to join them. Scales
// become floats, and floats tables, ahead of their use: broadcasts of what has just been stored
// wait for the store, and products for the rounding.
//
// 8-bit codes in groups have as many products as a table would. A vector holds four of K of eight
// outputs, so that a quarter of the scales needs one shuffle and rows are repeated by a mere load;
// loads at another byte spare shifts.
//
// What is decoded in rows meets up to 6 rows at once, 24 sums. More rows than that are taken by
// four at first, which leave registers to decode with, and what is decoded, 8 KiB at a time, stays
// in L1 for the rest, by six. 4-bit codes with tables at hand are decoded for each six rows anew,
// in the shadow of their products, as long as the rows stay in L2: others would lose by it.
// Codes in groups of 8 bits meet up to 12 rows at once, the first of which decode for all. f32
// weights are not decoded: a vector holds eight of K of four outputs, as those values lie that are
// repeated best, and tiles of 6 rows go through 4096 of K at once, for as many rows as stay in L2
// meanwhile. Of weights that only memory holds up to six rows meet two panels or four at a time
// (three in turns: several streams arrive faster than one), and each tile of more rows fetches its
// part of the panel that comes next, which in cache would cost a little.
//
// Tried on a Zen 4 and not better: groups of 32 in halves of vectors, 8-bit groups in rows as well,
// f32 weights prefetched farther ahead.
#include "matmul/abf16/avx512bf16_panels.h"
#include "matmul/abf16/avx512bf16_quads_run.h"

#if !defined(__AVX512BF16__) || !defined(__AVX512VBMI__) || !defined(__AVX512BW__) || \
    !defined(__AVX512VL__) || !defined(__AVX512DQ__)
#error "compile with the flags of cmake/Isa.cmake for avx512bf16"
#endif

namespace qb::matmul {
namespace {

template <class C>
constexpr Kernel kernel_of(decltype(Kernel::run) run) {
  return {.n_step = kPanel,
          .packed_bytes = C::packed_bytes,
          .pack = C::pack,
          .unpack = C::unpack,
          .workspace_bytes = workspace_bytes,
          .m_step = 1,
          .prepare = prepare,
          .run = run};
}

template <class F>
constexpr Kernel kernel_of_format() {
  if constexpr (__is_same(F, source::f16))
    return {};
  else if constexpr (__is_same(F, source::f32))
    return kernel_of<Floats>(run<Floats>);
  else if constexpr (F::Codes::bits == 8 && F::per_group)
    return kernel_of<Codes<F>>(run<Codes<KindsOf<F>>>);
  else
    return kernel_of<Quads<F>>(run_quads<Quads<KindsOf<F>>>);
}

}  // namespace

constexpr Kernels matmul_abf16_avx512bf16 =
    every_format([](auto format) { return kernel_of_format<decltype(format)>(); });

}  // namespace qb::matmul
