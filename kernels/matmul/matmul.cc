// SPDX-License-Identifier: Apache-2.0
#include "matmul/matmul.h"

#include <omp.h>
#include <pthread.h>

#include <algorithm>
#include <string>
#include <thread>
#include <type_traits>

#include "core/check.h"
#include "core/quantize_check.h"

namespace qb::matmul {
namespace {

constexpr std::string_view kPack = "matmul::PackedWeights", kRun = "matmul::PackedWeights::run";

/// [begin, end) of [0, n) for thread `t` of `all`, at multiples of `step`.
struct Range {
  std::size_t begin, end;
};
Range share(std::size_t n, std::size_t step, int t, int all) {
  const std::size_t steps = (n + step - 1) / step;
  const std::size_t begin = steps * std::size_t(t) / std::size_t(all) * step;
  const std::size_t end = steps * std::size_t(t + 1) / std::size_t(all) * step;
  return {begin < n ? begin : n, end < n ? end : n};
}

/// Whether this thread forked this process: only such a thread has a team without threads.
thread_local bool forked = false;
[[maybe_unused]] const int kWatchesForks = pthread_atfork(nullptr, nullptr, [] { forked = true; });

/// Runs work(thread, threads) on that many threads.
///
/// GNU OpenMP keeps a thread's team for its next parallel region. In a forked child the thread that
/// forked still has the record of its team, whose threads do not exist, and would wait for them
/// forever. There each call opens its region in a new thread, which has no team yet: all threads
/// are started anew. Throws std::system_error if the system has none. `threads` is unused where a
/// compiler ignores OpenMP: then one thread does it all.
template <class Work>
void in_team([[maybe_unused]] int threads, const Work& work) {
  const auto region = [&] {
#pragma omp parallel num_threads(threads)
    work(omp_get_thread_num(), omp_get_num_threads());
  };
  if (forked)
    std::thread(region).join();
  else
    region();
}

void check_group(std::string_view op, std::size_t group, std::size_t k) {
  if (group != 32 && group != 64 && group != 128)
    check::refuse(op, "'group' = " + std::to_string(group) + " is none of 32, 64, 128");
  check::divides(op, "group", group, "k", k);
}

constexpr std::span<const float> kNoScales;

bool one_scale_per_output(Format format) { return info(format).scales == ScaleKind::output; }

/// Elements of `rows` (called `name`) of `k`. Refused unless every variant can count the bytes of
/// what it makes of them: none pads rows or k by more than kPadding, or takes more than kBytes for
/// an element.
std::size_t elements(std::string_view op, std::string_view name, std::size_t rows, std::size_t k) {
  constexpr std::size_t kPadding = 1024, kBytes = 8, kMost = ~std::size_t{0};
  const std::size_t count = check::product(op, name, rows, "k", k);
  std::size_t padded;
  if (rows > kMost - kPadding || k > kMost - kPadding ||
      __builtin_mul_overflow(rows + kPadding, k + kPadding, &padded) || padded > kMost / kBytes)
    check::refuse(op, "'" + std::string(name) + "' = " + std::to_string(rows) +
                          " times 'k' = " + std::to_string(k) + " is too large");
  return count;
}

/// A view of weights whose sizes are what their format asks for. `name`: of the values.
template <class V, class S>
WeightView checked_view(Format format, std::string_view name, std::span<const V> values,
                        std::span<const S> scales, std::size_t n, std::size_t k,
                        std::size_t group = 0) {
  const FormatInfo& f = info(format);
  const std::string op = "matmul::view_" + std::string(f.name);
  if (f.in_groups()) check_group(op, group, k);
  if (f.in_blocks()) check::divides(op, "block", f.weights, "k", k);
  elements(op, "n", n, k);
  check::size_is(op, name, values.size(), n * (f.row_bytes(k) / sizeof(V)));
  const std::size_t count = n * f.scales_of_row(k, group);
  if (sizeof(S) > 1) {
    check::size_is(op, "scales", scales.size(), count);
  } else if (scales.size() != count * f.scale_bytes()) {  // bytes, with zero points or without
    check::size_is(op, "scales", scales.size(), f.scales_bytes(n, k, group));
  }
  return {format,
          weights_at(format, values.data(), scales.data(), n, k, group,
                     sizeof(S) == 1 && scales.size() != count * f.scale_bytes()),
          std::as_bytes(values), std::as_bytes(scales)};
}

/// A product of an arithmetic, and where its kernel is among the kernels of a variant.
struct Product {
  Format format;
  const Op<const Kernel>* op;
  Kernel Kernels::*kernel;
};

#define QB_PRODUCT(arithmetic, name) {Format::name, &arithmetic##_##name, &Kernels::name},
constexpr Product matmul_a32_products[] = {
#define QB_FORMAT(name, ...) QB_PRODUCT(a32, name)
#include "quantbench/formats.inc"
#undef QB_FORMAT
};
constexpr Product matmul_a8_products[] = {
#define QB_FORMAT(name, codes, ...) QB_A8_OF_##codes(QB_PRODUCT(a8, name))
#include "quantbench/formats.inc"
#undef QB_FORMAT
};
constexpr Product matmul_abf16_products[] = {
#define QB_FORMAT(name, codes, ...) QB_ABF16_OF_##codes(QB_PRODUCT(abf16, name))
#include "quantbench/formats.inc"
#undef QB_FORMAT
};
constexpr Product matmul_f16_products[] = {QB_PRODUCT(f16, f16)};
#undef QB_PRODUCT

std::span<const Product> products_of(Arithmetic arithmetic) {
  switch (arithmetic) {
    case Arithmetic::a32:
      return matmul_a32_products;
    case Arithmetic::a8:
      return matmul_a8_products;
    case Arithmetic::f16:
      return matmul_f16_products;
    case Arithmetic::abf16:
      return matmul_abf16_products;
  }
  return {};
}

/// A row for each of the products that a variant's Kernels have; `row` points to those.
void add_rows(Variant row, std::span<const Product> products, std::vector<Variant>& rows) {
  const auto* const kernels = static_cast<const Kernels*>(row.impl);
  for (const Product& product : products) {
    const Kernel* const kernel = kernels ? &(kernels->*product.kernel) : nullptr;
    if (kernel && !kernel->run) continue;
    row.op = product.op->name;
    row.impl = kernel;
    rows.push_back(row);
  }
}

/// A row of order.inc.
void give_way(std::string_view operations, std::string_view variant, Rows rows, FeatureSet on,
              std::vector<Variant>& table) {
  for (Variant& v : table)
    if (v.name == variant && v.op.starts_with(operations)) {
      v.gives_way.rows = std::uint8_t(v.gives_way.rows | 1u << int(rows));
      v.gives_way.on = on;
    }
}

}  // namespace

std::span<const Variant> room() {
  static const std::vector<Variant> rows = [] {
    std::vector<Variant> made;
#define QB_VARIANT(arch, family, variant, level)                                          \
  add_rows({{}, #variant, Arch::arch, isa::level, QB_ADDRESS_##arch(family##_##variant)}, \
           family##_products, made);
#include "matmul/variants.inc"
#undef QB_VARIANT
#define QB_GIVES_WAY(operations, variant, rows, on) \
  give_way(#operations, #variant, Rows::rows, isa::on, made);
#include "matmul/order.inc"
#undef QB_GIVES_WAY
    return made;
  }();
  return rows;
}

const Op<const Kernel>* find_operation(Arithmetic arithmetic, Format format) {
  for (const Product& product : products_of(arithmetic))
    if (product.format == format) return product.op;
  return nullptr;
}

const Op<const Kernel>& operation(Arithmetic arithmetic, Format format) {
  if (const auto* const found = find_operation(arithmetic, format)) return *found;
  constexpr std::string_view names[] = {"a32", "a8", "f16", "abf16"};
  check::refuse("matmul::operation", "no " + std::string(names[std::size_t(arithmetic)]) +
                                         " product for " + std::string(info(format).name) +
                                         " weights");
}

Weights weights_at(Format format, const void* values, const void* scales, std::size_t n,
                   std::size_t k, std::size_t group, bool zeros) {
  const FormatInfo& f = info(format);
  Weights w{values, scales, n, k, f.group_of(k, group)};
  if (f.scales != ScaleKind::zeros) return w;
  w.group = kBlock;
  w.scale_group = group;
  if (zeros)
    w.zeros =
        static_cast<const std::uint8_t*>(scales) + n * f.scales_of_row(k, group) * f.scale_bytes();
  return w;
}

WeightView view(Format format, std::span<const std::byte> values, std::span<const std::byte> scales,
                std::size_t n, std::size_t k, std::size_t group) {
  const WeightView view = checked_view(format, "values", values, scales, n, k, group);
  const std::string op = "matmul::view_" + std::string(info(format).name);
  check::aligned(op, "values", values, info(format).alignment());
  check::aligned(op, "scales", scales, std::max<std::size_t>(info(format).scale_bytes(), 1));
  return view;
}

WeightView view_f32(std::span<const float> values, std::size_t n, std::size_t k) {
  return checked_view(Format::f32, "values", values, kNoScales, n, k);
}

WeightView view_f16(std::span<const qb::f16> values, std::size_t n, std::size_t k) {
  return checked_view(Format::f16, "values", values, kNoScales, n, k);
}

WeightView view_s8(std::span<const std::int8_t> codes, std::span<const float> scales, std::size_t n,
                   std::size_t k) {
  return checked_view(Format::s8, "codes", codes, scales, n, k);
}

WeightView view_s4(std::span<const std::uint8_t> codes, std::span<const float> scales,
                   std::size_t n, std::size_t k) {
  return checked_view(Format::s4, "codes", codes, scales, n, k);
}

WeightView view_s8g(std::span<const std::int8_t> codes, std::span<const qb::f16> scales,
                    std::size_t n, std::size_t k, std::size_t group) {
  return checked_view(Format::s8g, "codes", codes, scales, n, k, group);
}

WeightView view_s4g(std::span<const std::uint8_t> codes, std::span<const qb::f16> scales,
                    std::size_t n, std::size_t k, std::size_t group) {
  return checked_view(Format::s4g, "codes", codes, scales, n, k, group);
}

WeightView view_u4h(std::span<const std::uint8_t> codes, std::span<const qb::f16> scales,
                    std::span<const std::uint8_t> zeros, std::size_t n, std::size_t k,
                    std::size_t group) {
  WeightView view = checked_view(Format::u4h, "codes", codes, scales, n, k, group);
  if (zeros.empty()) return view;
  check::size_is("matmul::view_u4h", "zeros", zeros.size(),
                 n * info(Format::u4h).zeros_of_row(k, group));
  view.w.zeros = zeros.data();
  view.zeros = std::as_bytes(zeros);
  return view;
}

WeightView view_q8_0(std::span<const BlockQ8_0> blocks, std::size_t n, std::size_t k) {
  return checked_view(Format::q8_0, "blocks", blocks, kNoScales, n, k);
}

WeightView view_q4_0(std::span<const BlockQ4_0> blocks, std::size_t n, std::size_t k) {
  return checked_view(Format::q4_0, "blocks", blocks, kNoScales, n, k);
}

WeightView view_mxfp4(std::span<const BlockMxfp4> blocks, std::size_t n, std::size_t k) {
  return checked_view(Format::mxfp4, "blocks", blocks, kNoScales, n, k);
}

WeightView view_iq4_nl(std::span<const BlockIq4Nl> blocks, std::size_t n, std::size_t k) {
  return checked_view(Format::iq4_nl, "blocks", blocks, kNoScales, n, k);
}

WeightView view_q4_1(std::span<const BlockQ4_1> blocks, std::size_t n, std::size_t k) {
  return checked_view(Format::q4_1, "blocks", blocks, kNoScales, n, k);
}

WeightView view_q5_0(std::span<const BlockQ5_0> blocks, std::size_t n, std::size_t k) {
  return checked_view(Format::q5_0, "blocks", blocks, kNoScales, n, k);
}

WeightView view_q4_K(std::span<const BlockQ4_K> blocks, std::size_t n, std::size_t k) {
  return checked_view(Format::q4_K, "blocks", blocks, kNoScales, n, k);
}

WeightView view_q5_K(std::span<const BlockQ5_K> blocks, std::size_t n, std::size_t k) {
  return checked_view(Format::q5_K, "blocks", blocks, kNoScales, n, k);
}

WeightView view_q6_K(std::span<const BlockQ6_K> blocks, std::size_t n, std::size_t k) {
  return checked_view(Format::q6_K, "blocks", blocks, kNoScales, n, k);
}

WeightView view_iq4_xs(std::span<const BlockIq4Xs> blocks, std::size_t n, std::size_t k) {
  return checked_view(Format::iq4_xs, "blocks", blocks, kNoScales, n, k);
}

WeightView view_nvfp4(std::span<const BlockNvfp4> blocks, std::size_t n, std::size_t k) {
  return checked_view(Format::nvfp4, "blocks", blocks, kNoScales, n, k);
}

WeightView view_tq2_0(std::span<const BlockTq2_0> blocks, std::size_t n, std::size_t k) {
  return checked_view(Format::tq2_0, "blocks", blocks, kNoScales, n, k);
}

struct PackedWeights::State {
  WeightView weights;
  Arithmetic arithmetic;
  const Variant* variant;
  const Kernel* kernel;
  AlignedBytes packed, workspace{};

  template <class T>
  void run(std::span<const T> x, std::size_t m, std::span<T> y, int threads);
};

PackedWeights::PackedWeights(const WeightView& weights, Arithmetic arithmetic,
                             std::string_view variant, int threads, std::size_t expected_m) {
  const Op<const Kernel>& op = operation(arithmetic, weights.format);
  const Weights& w = weights.w;
  check::threads(kPack, threads);
  if (arithmetic == Arithmetic::a8 && one_scale_per_output(weights.format) && w.k > kLongestInt8Row)
    check::refuse(kPack, "'k' = " + std::to_string(w.k) + " is more than " +
                             std::to_string(kLongestInt8Row) +
                             ", the longest row whose int8 products always add up in int32");
  const Variant& chosen = variant.empty() ? op.best(rows_of(expected_m)) : op.named(variant);
  const Kernel* const kernel = op.kernel(chosen);
  AlignedBytes packed(kernel->packed_bytes(w.n, w.k, w.group));
  if (packed.size()) pack(*kernel, w, packed.data(), threads);
  state_ = std::make_unique<State>(State{weights, arithmetic, &chosen, kernel, std::move(packed)});
}

PackedWeights::PackedWeights(PackedWeights&&) noexcept = default;
PackedWeights& PackedWeights::operator=(PackedWeights&&) noexcept = default;
PackedWeights::~PackedWeights() = default;

std::string_view PackedWeights::variant() const { return state_->variant->name; }
const WeightView& PackedWeights::weights() const { return state_->weights; }
std::size_t PackedWeights::packed_bytes() const { return state_->packed.size(); }

template <class T>
void PackedWeights::State::run(std::span<const T> x, std::size_t m, std::span<T> y, int threads) {
  const Weights& w = weights.w;
  check::threads(kRun, threads);
  check::size_is(kRun, "x", x.size(), elements(kRun, "m", m, w.k));
  check::size_at_least(kRun, "y", y.size(), check::product(kRun, "m", m, "n", w.n));
  const std::span<const std::byte> out = std::as_bytes(y);
  check::disjoint(kRun, "x", std::as_bytes(x), "y", out);
  check::disjoint(kRun, "weights", weights.values, "y", out);
  check::disjoint(kRun, "scales", weights.scales, "y", out);
  check::disjoint(kRun, "zeros", weights.zeros, "y", out);
  if (arithmetic == Arithmetic::a8) {
    check::finite(kRun, "x", x);
    if constexpr (std::is_same_v<T, float>)
      if (!one_scale_per_output(weights.format))
        check::scales_fit(kRun, x, kBlock, "block", check::kOverflowsInt8Scale);
  }
  const std::size_t needed = kernel->workspace_bytes(m, w.n, w.k, w.group);
  if (workspace.size() < needed) workspace = AlignedBytes(needed);
  multiply(*kernel, w, packed.data(), x.data(), m, workspace.data(), y.data(), threads);
}

void PackedWeights::run(std::span<const float> x, std::size_t m, std::span<float> y, int threads) {
  if (state_->arithmetic == Arithmetic::f16)
    check::refuse(kRun, "'x' is f32, but the weights were packed for the f16 product");
  state_->run(x, m, y, threads);
}

void PackedWeights::run(std::span<const qb::f16> x, std::size_t m, std::span<qb::f16> y,
                        int threads) {
  if (state_->arithmetic != Arithmetic::f16)
    check::refuse(kRun, "'x' is f16, but the weights were packed for f32 activations");
  state_->run(x, m, y, threads);
}

void pack(const Kernel& kernel, const Weights& w, void* packed, int threads) {
  if (threads <= 1) return kernel.pack(w, 0, w.n, packed);
  in_team(threads, [&](int t, int all) {
    const Range outputs = share(w.n, kernel.n_step, t, all);
    if (outputs.begin < outputs.end) kernel.pack(w, outputs.begin, outputs.end, packed);
  });
}

void multiply(const Kernel& kernel, const Weights& w, const void* packed, const void* x,
              std::size_t m, void* workspace, void* y, int threads) {
  if (threads <= 1) {
    if (kernel.prepare) kernel.prepare(x, m, w.k, w.group, 0, m, workspace);
    return kernel.run(w, packed, x, workspace, m, 0, w.n, y);
  }
  in_team(threads, [&](int t, int all) {
    if (kernel.prepare) {
      const Range rows = share(m, kernel.m_step, t, all);
      if (rows.begin < rows.end)
        kernel.prepare(x, m, w.k, w.group, rows.begin, rows.end, workspace);
#pragma omp barrier
    }
    const Range outputs = share(w.n, kernel.n_step, t, all);
    if (outputs.begin < outputs.end)
      kernel.run(w, packed, x, workspace, m, outputs.begin, outputs.end, y);
  });
}

}  // namespace qb::matmul
