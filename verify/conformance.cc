// SPDX-License-Identifier: Apache-2.0
#include "conformance.h"

#include <exception>
#include <functional>
#include <map>
#include <string_view>

#include "absmax/absmax.h"
#include "checks/absmax.h"
#include "checks/block_formats.h"
#include "checks/blocks.h"
#include "checks/convert.h"
#include "checks/matmul.h"
#include "checks/matmul_f16.h"
#include "checks/pack.h"
#include "checks/zero_points.h"
#include "convert/convert.h"
#include "fault.h"
#include "quantize/quantize.h"

namespace qb::verify {
namespace {

using namespace qb::test;
constexpr Effort kBrief = Effort::brief;

template <class T>
void pass_absmax(AbsmaxKernel<T>* kernel) {
  check_absmax_every_length(kernel, kBrief);
  check_absmax_special_anywhere(kernel);
  check_absmax_zeros_subnormals_and_extremes(kernel);
  check_absmax_groups(kernel, kBrief);
  check_absmax_largest_anywhere(kernel, kBrief);
}

template <class Half>
void pass_widening(Converter<Half, float>* kernel) {
  check_convert_every_length(kernel, kBrief);
  check_convert_every_start(kernel, kBrief);
  expect_converts(kernel, all_patterns<Half>());
}

/// A seventh of the format's boundaries and their neighbours, but all subnormals and all overflows.
template <class Half>
void pass_narrowing(Converter<float, Half>* kernel) {
  check_convert_every_length(kernel, kBrief);
  check_convert_every_start(kernel, kBrief);
  check_convert_one_nan_anywhere(kernel);
  expect_converts(kernel, nans());
  static const std::vector<float> boundaries = [] {
    const std::vector<float> all = rounding_boundaries<Half>();
    std::vector<float> some;
    constexpr std::size_t kRun = 12, kStep = 7 * kRun;  // all of a boundary's neighbours
    for (std::size_t i = 0; i + kRun <= all.size(); i += kStep)
      some.insert(some.end(), all.begin() + std::ptrdiff_t(i),
                  all.begin() + std::ptrdiff_t(i + kRun));
    some.insert(some.end(), all.end() - 200, all.end());       // overflow
    some.insert(some.end(), all.begin(), all.begin() + 2000);  // subnormals
    return some;
  }();
  expect_converts(kernel, boundaries);
}

template <class X, class Code, class S>
void pass_quantizer(Quantizer<X, Code, S>* kernel) {
  check_every_length(kernel, kBrief);
  check_groups(kernel, kBrief);
  check_every_start(kernel, kBrief);
  if constexpr (std::is_same_v<X, f16>) {
    check_non_finite(kernel, inputs<X>(600, 5), {f16(0x7e00), f16(0x7c01), f16(0xfc00)});
  } else {
    check_hard_groups(kernel, {32, 65});
    check_non_finite(kernel, inputs<X>(600, 5), {kNan, -kInf});
  }
}

template <class Code, class S, class Y>
void pass_dequantizer(Dequantizer<Code, S, Y>* kernel) {
  check_dequantize(kernel, kBrief);
  if constexpr (std::is_same_v<Y, f16>) {
    check_every_quotient(kernel, 97);
  } else if constexpr (std::is_same_v<S, f16>) {
    check_every_scale(kernel, 17);
    check_non_finite_scales(kernel);
  }
}

/// The formats that the oracle knows by encode() and decoded() alone.
template <class Block>
concept AnyFormat = !std::is_same_v<Block, BlockQ8_0> && !std::is_same_v<Block, BlockQ4_0>;

template <AnyFormat Block>
void pass_quantizer(BlockQuantizer<Block>* kernel) {
  constexpr std::size_t kFewer = kWeightsOf<Block> / kBlock;  // searches are slow
  check_format_counts<Block>(kernel, 40 / kFewer);
  check_format_encode<Block>(kernel, hard_values<Block>());
  check_format_encode<Block>(kernel, values_of_every_exponent<Block>(301 / kFewer));
  check_format_starts<Block>(kernel);
  check_format_non_finite<Block>(kernel);
}

template <AnyFormat Block>
void pass_dequantizer(BlockDequantizer<Block>* kernel) {
  check_format_decode_counts<Block>(kernel, 40);
  check_format_decode_scales<Block>(kernel);
}

template <class Block>
void pass_quantizer(BlockQuantizer<Block>* kernel) {
  check_block_counts(kernel, kBrief);
  check_hard_blocks(kernel);
  check_block_rounding(kernel, 57700);
  check_two_extremes(kernel);
  check_blocks_every_start(kernel);
  check_blocks_non_finite(kernel);
}

template <class Block>
void pass_dequantizer(BlockDequantizer<Block>* kernel) {
  check_dequantize_block_counts(kernel);
  check_every_block_scale(kernel, 17);
  check_non_finite_block_scale(kernel);
}

template <class S>
void pass_zero_points(ZeroPointQuantizer<S>* kernel) {
  check_u4_counts(kernel, 35);
  check_u4_hard(kernel);
  check_u4_non_finite(kernel);
}
template <class S>
void pass_zero_points(ZeroPointDequantizer<S>* kernel) {
  check_u4_dequantize(kernel, 20);
  check_u4_every_code(kernel, 17);
}

void pass_packing(Packer* kernel) {
  check_pack_every_length(kernel, 512);
  check_pack_every_start(kernel);
}

void pass_unpacking(Unpacker* kernel) {
  check_unpack_every_length(kernel, 512);
  check_unpack_every_start(kernel);
}

/// groups: 1 for layouts that take any k.
template <class A>
void pass_product(const matmul::Kernel& kernel, matmul::Format format, std::size_t group) {
  check_shapes<A>(kernel, format, group, kBrief);
  check_places<A>(kernel, format, group, kBrief);
  check_empty<A>(kernel, format, group);
  check_non_finite<A>(kernel, format, group);
  check_repacking<A>(kernel, format, group, kBrief);
  check_rounding<A>(kernel, format, group, 3, {17, 4096});
  if (info(format).is_float()) return;
  check_extreme_codes<A>(kernel, format, group);
  check_zeros<A>(kernel, format, group);
}

template <class A>
void pass_product(const matmul::Kernel& kernel, matmul::Format format) {
  if (info(format).in_groups())
    for (const std::size_t group : {32, 64, 128}) pass_product<A>(kernel, format, group);
  else
    pass_product<A>(kernel, format, info(format).k_step(1));
}

void pass_f16(const matmul::Kernel& kernel) {
  for (const Shape s : shapes(1))
    for (const std::size_t m : {0, 1, 2, 5, 7, 13})
      if (m * s.n * s.k < kBriefProduct)
        for (const bool any_finite : {false, true}) check_f16_product(kernel, m, s, any_finite);
  check_repacking<A32>(kernel, matmul::Format::f16, 1, kBrief);
}

using Pass = std::function<void(const Variant&)>;

/// The pass of each operation by its name.
class Passes {
 public:
  Passes() {
    const auto absmax = [](auto* k) { pass_absmax(k); };
    const auto widening = [](auto* k) { pass_widening(k); };
    const auto narrowing = [](auto* k) { pass_narrowing(k); };
    const auto quantizer = [](auto* k) { pass_quantizer(k); };
    const auto dequantizer = [](auto* k) { pass_dequantizer(k); };
    add(absmax::f32, absmax);
    add(absmax::f16, absmax);
    add(convert::f16_f32, widening);
    add(convert::bf16_f32, widening);
    add(convert::f32_f16, narrowing);
    add(convert::f32_bf16, narrowing);
    add(convert::e4m3_f32, widening);
    add(convert::e5m2_f32, widening);
    add(convert::f32_e4m3, narrowing);
    add(convert::f32_e5m2, narrowing);
    add(quantize::quantize_f32_s8, quantizer);
    add(quantize::quantize_f32_s8g, quantizer);
    add(quantize::quantize_f16_s8, quantizer);
    add(quantize::dequantize_s8_f32, dequantizer);
    add(quantize::dequantize_s8g_f32, dequantizer);
    add(quantize::dequantize_s8_f16, dequantizer);
    add(quantize::quantize_f32_s4, quantizer);
    add(quantize::quantize_f32_s4g, quantizer);
    add(quantize::quantize_f16_s4, quantizer);
    add(quantize::dequantize_s4_f32, dequantizer);
    add(quantize::dequantize_s4g_f32, dequantizer);
    add(quantize::dequantize_s4_f16, dequantizer);
    const auto zero_points = [](auto* k) { pass_zero_points(k); };
#define QB_PASSES(format, Scale, ...)                \
  add(quantize::quantize_f32_##format, zero_points); \
  add(quantize::dequantize_##format##_f32, zero_points);
    QB_ZERO_POINT_FORMATS(QB_PASSES, )
#undef QB_PASSES
#define QB_PASSES(format, Block, ...)              \
  add(quantize::quantize_f32_##format, quantizer); \
  add(quantize::dequantize_##format##_f32, dequantizer);
    QB_BLOCK_FORMATS(QB_PASSES, )
#undef QB_PASSES
    add(quantize::pack_s4, pass_packing);
    add(quantize::unpack_s4, pass_unpacking);
    for (const FormatInfo& f : kFormats) {
      add_product<A32>(f.format);
      if (!f.is_float()) add_product<A8>(f.format);
      if (f.format != Format::f16) add_product<Abf16>(f.format);
    }
    add(matmul::f16_f16, [](auto* k) { pass_f16(*k); });
  }

  const Pass* find(std::string_view op) const {
    const auto found = passes_.find(op);
    return found == passes_.end() ? nullptr : &found->second;
  }

 private:
  template <class Op, class Body>
  void add(const Op& op, Body body) {
    passes_[op.name] = [op, body](const Variant& v) { body(op.kernel(v)); };
  }
  template <class A>
  void add_product(matmul::Format format) {
    add(matmul::operation(A::kArithmetic, format),
        [format](auto* kernel) { pass_product<A>(*kernel, format); });
  }

  std::map<std::string_view, Pass> passes_;
};

}  // namespace

std::string conformance(const Variant& v) {
  static const Passes passes;
  const Pass* const pass = passes.find(v.op);
  if (!pass) return "no conformance pass for " + std::string(v.op);
  std::string found;
  const std::string fault = fault_of([&] {
    try {
      (*pass)(v);
    } catch (const std::exception& e) {
      found = e.what();
    }
  });
  return fault.empty() ? found : fault;
}

}  // namespace qb::verify
