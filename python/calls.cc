// SPDX-License-Identifier: Apache-2.0
#include "calls.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <chrono>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "absmax/kernels.h"
#include "arrays.h"
#include "catalog.h"
#include "convert/kernels.h"
#include "core/variant.h"
#include "matmul/matmul.h"
#include "quantize/kernels.h"

namespace {

using namespace nb::literals;

/// Seconds that `calls` calls take.
template <class Call>
double timed(int calls, const Call& call) {
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < calls; ++i) call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// A kernel called with pointers and sizes in the order of its parameters.
template <class Fn>
struct Caller;
template <class... Parameters>
struct Caller<void(Parameters...)> {
  static constexpr bool kPointer[] = {std::is_pointer_v<Parameters>...};
  static constexpr std::size_t pointers_before(std::size_t i) {
    std::size_t count = 0;
    for (std::size_t j = 0; j < i; ++j) count += kPointer[j];
    return count;
  }
  static constexpr std::size_t kPointers = pointers_before(sizeof...(Parameters));
  static constexpr std::size_t kSizes = sizeof...(Parameters) - kPointers;

  template <class P, std::size_t i>
  static P argument(void* const* pointers, const std::size_t* sizes) {
    if constexpr (std::is_pointer_v<P>)
      return static_cast<P>(pointers[pointers_before(i)]);
    else
      return sizes[i - pointers_before(i)];
  }
  static void call(const void* kernel, void* const* pointers, const std::size_t* sizes) {
    [&]<std::size_t... i>(std::index_sequence<i...>) {
      reinterpret_cast<void (*)(Parameters...)>(const_cast<void*>(kernel))(
          argument<Parameters, i>(pointers, sizes)...);
    }
    (std::index_sequence_for<Parameters...>());
  }
};

/// A row of a room's table, with how its kernel is called.
struct Row {
  qb::Variant variant;
  std::size_t pointers, sizes;
  void (*call)(const void* kernel, void* const* pointers, const std::size_t* sizes);
};

#define QB_VARIANT(arch, op, variant, level)                                      \
  Row{{#op, #variant, Arch::arch, isa::level, QB_ADDRESS_##arch(op##_##variant)}, \
      Caller<op##_fn>::kPointers,                                                 \
      Caller<op##_fn>::kSizes,                                                    \
      Caller<op##_fn>::call},
}  // namespace

namespace qb::convert {
static const Row kRows[] = {
#include "convert/variants.inc"
};
}  // namespace qb::convert
namespace qb::absmax {
static const Row kRows[] = {
#include "absmax/variants.inc"
};
}  // namespace qb::absmax
namespace qb::quantize {
static const Row kRows[] = {
#include "quantize/variants.inc"
};
}  // namespace qb::quantize
#undef QB_VARIANT

namespace {

/// Every row of the rooms whose operations are functions on arrays.
std::vector<const Row*> array_rows() {
  std::vector<const Row*> rows;
  for (const Row& row : qb::convert::kRows) rows.push_back(&row);
  for (const Row& row : qb::absmax::kRows) rows.push_back(&row);
  for (const Row& row : qb::quantize::kRows) rows.push_back(&row);
  return rows;
}

std::vector<std::string> array_operations() {
  std::vector<std::string> names;
  for (const Row* row : array_rows())
    if (row->variant.name == "scalar") names.emplace_back(row->variant.op);
  return names;
}

/// (name, weights of a block, its bytes) of the formats in blocks that can be quantized.
std::vector<std::tuple<std::string, std::size_t, std::size_t>> block_formats() {
  return {
#define QB_BLOCK(name, Block, ...) {#name, qb::kWeightsOf<qb::Block>, sizeof(qb::Block)},
      QB_BLOCK_FORMATS(QB_BLOCK, )
#undef QB_BLOCK
  };
}

const Row& row_of(const std::string& op, const std::string& variant) {
  for (const Row* row : array_rows()) {
    if (row->variant.op != op || row->variant.name != variant) continue;
    if (const std::string why = row->variant.refusal(); !why.empty())
      throw std::invalid_argument(op + ": variant '" + variant + "' can't run here: " + why);
    return *row;
  }
  throw std::invalid_argument("there is no variant '" + variant + "' of an operation '" + op + "'");
}

/// y[n] = x[n] converted by the operation of that name, on the best variant this CPU has. The
/// caller answers for the sizes.
void convert(const std::string& op, BytesIn x, std::size_t n, BytesOut y) {
  static const std::map<std::string, const Row*, std::less<>> best = [] {
    std::map<std::string, const Row*, std::less<>> found;
    for (const Row& row : qb::convert::kRows) {
      const qb::Variant* const chosen = qb::dispatched(row.variant.op, qb::Rows::any);
      if (chosen && chosen->name == row.variant.name) found.emplace(row.variant.op, &row);
    }
    return found;
  }();
  const auto row = best.find(op);
  if (row == best.end()) throw std::invalid_argument("there is no operation '" + op + "'");
  void* const pointers[] = {const_cast<std::uint8_t*>(x.data()), y.data()};
  row->second->call(row->second->variant.impl, pointers, &n);
}

/// One variant of an array operation, bound to its arguments. The caller answers for their sizes.
class ArrayCall {
 public:
  ArrayCall(const std::string& op, const std::string& variant, std::vector<BytesOut> arrays,
            std::vector<std::size_t> sizes)
      : row_(row_of(op, variant)), arrays_(std::move(arrays)), sizes_(std::move(sizes)) {
    if (arrays_.size() != row_.pointers || sizes_.size() != row_.sizes)
      throw std::invalid_argument(op + " takes " + std::to_string(row_.pointers) + " arrays and " +
                                  std::to_string(row_.sizes) + " sizes");
    for (const BytesOut& array : arrays_) pointers_.push_back(array.data());
  }
  double time(int calls) {
    return timed(calls, [&] { row_.call(row_.variant.impl, pointers_.data(), sizes_.data()); });
  }

 private:
  const Row& row_;
  std::vector<BytesOut> arrays_;
  std::vector<std::size_t> sizes_;
  std::vector<void*> pointers_;
};

/// One variant of a product, bound to its operands, without the checks of PackedWeights::run().
class MatmulCall {
 public:
  MatmulCall(const std::string& format, BytesIn values, BytesIn scales, std::size_t n,
             std::size_t k, std::size_t group, const std::string& arithmetic,
             const std::string& variant, BytesIn x, std::size_t m, BytesOut y, int threads)
      : values_(std::move(values)),
        scales_(std::move(scales)),
        x_(std::move(x)),
        y_(std::move(y)),
        weights_(
            qb::matmul::view(format_of(format), bytes(values_), bytes(scales_), n, k, group).w),
        m_(m),
        threads_(threads) {
    const auto& op = qb::matmul::operation(arithmetic_of(arithmetic), format_of(format));
    kernel_ = op.kernel(op.named(variant));
    const std::size_t element = arithmetic == "f16" ? 2 : 4;
    if (x_.size() != m * k * element || y_.size() != m * n * element)
      throw std::invalid_argument("x or y is of another size");
    packed_ = qb::matmul::AlignedBytes(kernel_->packed_bytes(n, k, weights_.group));
    if (packed_.size()) qb::matmul::pack(*kernel_, weights_, packed_.data(), threads);
    workspace_ = qb::matmul::AlignedBytes(kernel_->workspace_bytes(m, n, k, weights_.group));
  }
  double time(int calls) {
    return timed(calls, [&] {
      qb::matmul::multiply(*kernel_, weights_, packed_.data(), x_.data(), m_, workspace_.data(),
                           y_.data(), threads_);
    });
  }

 private:
  BytesIn values_, scales_, x_;
  BytesOut y_;
  qb::matmul::Weights weights_;
  std::size_t m_;
  int threads_;
  const qb::matmul::Kernel* kernel_;
  qb::matmul::AlignedBytes packed_, workspace_;
};

}  // namespace

void bind_calls(nb::module_& m) {
  m.def("array_operations", array_operations);
  m.def("block_formats", block_formats);
  m.def("convert", convert, ReleaseLock());
  nb::class_<ArrayCall>(m, "ArrayCall")
      .def(nb::init<const std::string&, const std::string&, std::vector<BytesOut>,
                    std::vector<std::size_t>>())
      .def("time", &ArrayCall::time, ReleaseLock());
  nb::class_<MatmulCall>(m, "MatmulCall")
      .def(nb::init<const std::string&, BytesIn, BytesIn, std::size_t, std::size_t, std::size_t,
                    const std::string&, const std::string&, BytesIn, std::size_t, BytesOut, int>(),
           ReleaseLock())
      .def("time", &MatmulCall::time, ReleaseLock());
}
