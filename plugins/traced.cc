// SPDX-License-Identifier: Apache-2.0
#include "plugins/traced.h"

#include <cstddef>
#include <map>
#include <type_traits>

#include "absmax/absmax.h"
#include "convert/convert.h"
#include "matmul/matmul.h"
#include "plugins/call.h"
#include "quantize/quantize.h"

namespace qb::plugins {
namespace {

constexpr Signature kElements = {"", {"n"}};
constexpr Signature kGroups = {"", {"groups", "len"}};
constexpr Signature kBlocks = {"", {"blocks"}};

/// Calls `kernel` with its call recorded under the arguments that are sizes.
template <class... Args>
void record_and_call(const Signature& signature, void (*kernel)(Args...), Args... args) {
  std::size_t sizes[2] = {}, count = 0;
  const auto take = [&](auto arg) {
    if constexpr (std::is_same_v<decltype(arg), std::size_t>) sizes[count++] = arg;
  };
  (take(args), ...);
  const Call call(signature, sizes[0], sizes[1]);
  kernel(args...);
}

/// The stand-in for array kernels of type Fn.
template <class Fn>
class TracedFunction;
template <class... Args>
class TracedFunction<void(Args...)> {
 public:
  template <const Signature& signature>
  static const void* stand_in(const void* impl) {
    kernel_ = reinterpret_cast<void (*)(Args...)>(const_cast<void*>(impl));
    return reinterpret_cast<const void*>(&call<signature>);
  }

 private:
  template <const Signature& signature>
  static void call(Args... args) {
    record_and_call<Args...>(signature, kernel_, args...);
  }
  static inline void (*kernel_)(Args...) = nullptr;
};

/// The stand-in for the record of a product.
class TracedProduct {
 public:
  static const void* stand_in(const void* impl) {
    inner = *static_cast<const matmul::Kernel*>(impl);
    outer = inner;
    outer.packed_bytes = packed_bytes;
    outer.workspace_bytes = workspace_bytes;
    if (inner.pack) outer.pack = pack;
    if (inner.unpack) outer.unpack = unpack;
    if (inner.prepare) outer.prepare = prepare;
    outer.run = run;
    return &outer;
  }

 private:
  using Weights = matmul::Weights;

  static std::size_t packed_bytes(std::size_t n, std::size_t k, std::size_t group) {
    static constexpr Signature kSizes = {"packed_bytes", {"n", "k", "group"}};
    const Call call(kSizes, n, k, group);
    return inner.packed_bytes(n, k, group);
  }
  static std::size_t workspace_bytes(std::size_t m, std::size_t n, std::size_t k,
                                     std::size_t group) {
    static constexpr Signature kSizes = {"workspace_bytes", {"m", "n", "k", "group"}};
    const Call call(kSizes, m, n, k, group);
    return inner.workspace_bytes(m, n, k, group);
  }
  static void pack(const Weights& w, std::size_t n0, std::size_t n1, void* packed) {
    static constexpr Signature kSizes = {"pack", {"n", "k", "group", "n0", "n1"}};
    const Call call(kSizes, w.n, w.k, w.group, n0, n1);
    inner.pack(w, n0, n1, packed);
  }
  static void unpack(const void* packed, std::size_t n, std::size_t k, std::size_t group,
                     std::size_t n0, std::size_t n1, void* codes) {
    static constexpr Signature kSizes = {"unpack", {"n", "k", "group", "n0", "n1"}};
    const Call call(kSizes, n, k, group, n0, n1);
    inner.unpack(packed, n, k, group, n0, n1, codes);
  }
  static void prepare(const void* x, std::size_t m, std::size_t k, std::size_t group,
                      std::size_t m0, std::size_t m1, void* workspace) {
    static constexpr Signature kSizes = {"prepare", {"m", "k", "group", "m0", "m1"}};
    const Call call(kSizes, m, k, group, m0, m1);
    inner.prepare(x, m, k, group, m0, m1, workspace);
  }
  static void run(const Weights& w, const void* packed, const void* x, const void* workspace,
                  std::size_t m, std::size_t n0, std::size_t n1, void* y) {
    static constexpr Signature kSizes = {"run", {"m", "n", "k", "group", "n0", "n1"}};
    const Call call(kSizes, m, w.n, w.k, w.group, n0, n1);
    inner.run(w, packed, x, workspace, m, n0, n1, y);
  }

  static inline matmul::Kernel inner, outer;
};

using StandIn = const void* (*)(const void* impl);

/// The stand-ins of array operations by the operation's name.
class StandIns {
 public:
  StandIns() {
    add<kElements>(convert::f16_f32, convert::bf16_f32, convert::f32_f16, convert::f32_bf16);
    add<kElements>(convert::e4m3_f32, convert::e5m2_f32, convert::f32_e4m3, convert::f32_e5m2);
    add<kGroups>(absmax::f32, absmax::f16);
    using namespace quantize;
    add<kGroups>(quantize_f32_s8, quantize_f32_s8g, quantize_f16_s8, quantize_f32_s4,
                 quantize_f32_s4g, quantize_f16_s4);
    add<kGroups>(dequantize_s8_f32, dequantize_s8g_f32, dequantize_s8_f16, dequantize_s4_f32,
                 dequantize_s4g_f32, dequantize_s4_f16);
#define QB_STAND_IN(format, Scale, ...) \
  add<kGroups>(quantize_f32_##format, dequantize_##format##_f32);
    QB_ZERO_POINT_FORMATS(QB_STAND_IN, )
#undef QB_STAND_IN
#define QB_STAND_IN(format, Block, ...) \
  add<kBlocks>(quantize_f32_##format, dequantize_##format##_f32);
    QB_BLOCK_FORMATS(QB_STAND_IN, )
#undef QB_STAND_IN
    add<kElements>(pack_s4, unpack_s4);
  }
  StandIn find(std::string_view op) const {
    const auto found = by_op_.find(op);
    return found == by_op_.end() ? nullptr : found->second;
  }

 private:
  template <const Signature& signature, class... Fns>
  void add(const Op<Fns>&... ops) {
    ((by_op_[ops.name] = TracedFunction<Fns>::template stand_in<signature>), ...);
  }
  std::map<std::string_view, StandIn> by_op_;
};

}  // namespace

const void* traced(std::string_view op, const void* impl) {
  static const StandIns stand_ins;
  if (op.starts_with("matmul_")) return TracedProduct::stand_in(impl);
  const StandIn stand_in = stand_ins.find(op);
  return stand_in ? stand_in(impl) : impl;
}

}  // namespace qb::plugins
