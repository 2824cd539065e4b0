// SPDX-License-Identifier: Apache-2.0
// The operations of this room, as lists that a row of variants.inc stands for (core/declare.h).
// Included by every instruction set's translation unit: macros only.
#pragma once

// clang-format off
/// The block formats whose 4-bit codes index a table of 16 values (table_blocks.h), and the structs
/// of their blocks (quantbench/blocks.h).
#define QB_TABLE_FORMATS(apply, ...)    \
  apply(mxfp4, BlockMxfp4, __VA_ARGS__) \
  apply(iq4_nl, BlockIq4Nl, __VA_ARGS__)

/// Those whose weights are a scale times an integer, the code's own or a table's, and perhaps an
/// offset, in groups (superblocks.h).
#define QB_SUPER_FORMATS(apply, ...)     \
  apply(q4_1, BlockQ4_1, __VA_ARGS__)    \
  apply(q5_0, BlockQ5_0, __VA_ARGS__)    \
  apply(tq2_0, BlockTq2_0, __VA_ARGS__)  \
  apply(nvfp4, BlockNvfp4, __VA_ARGS__)  \
  apply(iq4_xs, BlockIq4Xs, __VA_ARGS__) \
  apply(q4_K, BlockQ4_K, __VA_ARGS__)    \
  apply(q5_K, BlockQ5_K, __VA_ARGS__)    \
  apply(q6_K, BlockQ6_K, __VA_ARGS__)

/// Those of groups with a zero point, and the type of a scale (zero_points.h).
#define QB_ZERO_POINT_FORMATS(apply, ...) \
  apply(u4f, float, __VA_ARGS__)          \
  apply(u4h, f16, __VA_ARGS__)

/// All block formats. A format's operations are quantize_f32_<format> and dequantize_<format>_f32.
#define QB_BLOCK_FORMATS(apply, ...)    \
  apply(q8_0, BlockQ8_0, __VA_ARGS__)   \
  apply(q4_0, BlockQ4_0, __VA_ARGS__)   \
  QB_TABLE_FORMATS(apply, __VA_ARGS__)  \
  QB_SUPER_FORMATS(apply, __VA_ARGS__)
// clang-format on

#define QB_VARIANT_BLOCK(format, block, arch, variant, isa) \
  QB_VARIANT(arch, quantize_f32_##format, variant, isa)     \
  QB_VARIANT(arch, dequantize_##format##_f32, variant, isa)

/// Every operation of the room.
#define QB_OPS_quantize_all(arch, variant, isa)                                            \
  QB_VARIANT(arch, quantize_f32_s8, variant, isa)                                          \
  QB_VARIANT(arch, quantize_f32_s8g, variant, isa)                                         \
  QB_VARIANT(arch, dequantize_s8_f32, variant, isa)                                        \
  QB_VARIANT(arch, dequantize_s8g_f32, variant, isa)                                       \
  QB_VARIANT(arch, quantize_f32_s4, variant, isa)                                          \
  QB_VARIANT(arch, quantize_f32_s4g, variant, isa)                                         \
  QB_VARIANT(arch, dequantize_s4_f32, variant, isa)                                        \
  QB_VARIANT(arch, dequantize_s4g_f32, variant, isa)                                       \
  QB_VARIANT(arch, dequantize_s4_f16, variant, isa)                                        \
  QB_VARIANT(arch, pack_s4, variant, isa)                                                  \
  QB_VARIANT(arch, unpack_s4, variant, isa)                                                \
  QB_OPS_quantize_half(arch, variant, isa) QB_OPS_quantize_zero_points(arch, variant, isa) \
      QB_BLOCK_FORMATS(QB_VARIANT_BLOCK, arch, variant, isa)

#define QB_OPS_quantize_zero_points(arch, variant, isa) \
  QB_ZERO_POINT_FORMATS(QB_VARIANT_BLOCK, arch, variant, isa)

/// Those that half arithmetic serves.
#define QB_OPS_quantize_half(arch, variant, isa)    \
  QB_VARIANT(arch, quantize_f16_s8, variant, isa)   \
  QB_VARIANT(arch, dequantize_s8_f16, variant, isa) \
  QB_VARIANT(arch, quantize_f16_s4, variant, isa)
