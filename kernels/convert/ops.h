// SPDX-License-Identifier: Apache-2.0
// Operations of this room that a row of variants.inc stands for together (core/declare.h). Included
// by every instruction set's translation unit: macros only.
#pragma once

/// The 8-bit floats, in either direction.
#define QB_OPS_fp8(arch, variant, isa)             \
  QB_VARIANT(arch, convert_e4m3_f32, variant, isa) \
  QB_VARIANT(arch, convert_f32_e4m3, variant, isa) \
  QB_VARIANT(arch, convert_e5m2_f32, variant, isa) \
  QB_VARIANT(arch, convert_f32_e5m2, variant, isa)
