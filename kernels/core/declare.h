// SPDX-License-Identifier: Apache-2.0
// How one row of a room's variants.inc becomes a declaration (here) and a table entry (variant.h).
//
//   QB_VARIANT(arch, op, variant, isa)      for example QB_VARIANT(x86_64, absmax_f32, avx2, avx2)
//
// arch: any, x86_64 or aarch64; op: the operation, whose type is op_fn; variant: the name behind
// the last slash of a benchmark's variant; isa: the level of kernels/core/isa.h that it needs.
// A row may stand for several operations at once:
//
//   QB_VARIANTS(arch, list, variant, isa)   is QB_VARIANT for every operation of QB_OPS_<list>
//
// A file without its row does not compile (-Wmissing-declarations); a row without its file does not
// link. Macros only: this is included by every instruction set's translation unit.
#pragma once

#define QB_DECLARE_any(type, symbol) extern type symbol;
#if defined(__x86_64__)
#define QB_DECLARE_x86_64(type, symbol) extern type symbol;
#define QB_DECLARE_aarch64(type, symbol)
#elif defined(__aarch64__)
#define QB_DECLARE_x86_64(type, symbol)
#define QB_DECLARE_aarch64(type, symbol) extern type symbol;
#else
#define QB_DECLARE_x86_64(type, symbol)
#define QB_DECLARE_aarch64(type, symbol)
#endif

#define QB_VARIANTS(arch, list, variant, isa) QB_OPS_##list(arch, variant, isa)

#define QB_DECLARE_VARIANT(arch, op, variant, isa) QB_DECLARE_##arch(op##_fn, op##_##variant)

// In a source compiled more than once (scalar.cc, xsimd.cc) CMake defines QB_VARIANT_NAME, and
// QB_SYMBOL(absmax_f32) is absmax_f32_scalar, absmax_f32_autovec, ...
#define QB_PASTE2(a, b) a##_##b
#define QB_PASTE(a, b) QB_PASTE2(a, b)
#define QB_SYMBOL(op) QB_PASTE(op, QB_VARIANT_NAME)
