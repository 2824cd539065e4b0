// SPDX-License-Identifier: Apache-2.0
// The library for Python: what quantbench/__init__.py calls, on flat contiguous arrays (arrays.h).
// Shapes are checked there, sizes and values by the library; its BadArgument arrives as a
// ValueError. The interpreter lock is released while kernels run.
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <mutex>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "arrays.h"
#include "calls.h"
#include "catalog.h"
#include "quantbench/absmax.h"
#include "quantbench/quantize.h"
#include "quantbench/version.h"

using namespace nb::literals;
using qb::Format;
using qb::matmul::Arithmetic;

Format format_of(const std::string& name) {
  for (const qb::FormatInfo& row : qb::kFormats)
    if (row.name == name) return row.format;
  std::string known;
  for (const qb::FormatInfo& row : qb::kFormats)
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  throw std::invalid_argument("there is no format '" + name + "'; there are: " + known);
}

Arithmetic arithmetic_of(const std::string& name) {
  if (name == "a32") return Arithmetic::a32;
  if (name == "a8") return Arithmetic::a8;
  if (name == "abf16") return Arithmetic::abf16;
  if (name == "f16") return Arithmetic::f16;
  throw std::invalid_argument("there is no arithmetic '" + name +
                              "'; there are: a32, a8, abf16, f16");
}

namespace {

/// (name, codes, scales, weights of the unit of storage, its bytes) of every format.
std::vector<std::tuple<std::string, std::string, std::string, std::size_t, std::size_t>> formats() {
  return {
#define QB_FORMAT(name, codes, scales, weights, bytes) {#name, #codes, #scales, weights, bytes},
#include "quantbench/formats.inc"
#undef QB_FORMAT
  };
}

/// (operation, variant, features it needs, why it can't run here) of every variant.
std::vector<std::tuple<std::string, std::string, std::string, std::string>> variants() {
  std::vector<std::tuple<std::string, std::string, std::string, std::string>> list;
  for (const qb::Variant* v : qb::all_variants())
    list.emplace_back(v->op, v->name, v->needs.to_string(), v->refusal());
  return list;
}

/// Weights made ready for one variant. Keeps what it was made of, since some variants run on that.
class Packed {
 public:
  Packed(const std::string& format, BytesIn values, BytesIn scales, std::size_t n, std::size_t k,
         std::size_t group, const std::string& arithmetic, const std::string& variant, int threads,
         std::size_t expected_m)
      : values_(std::move(values)),
        scales_(std::move(scales)),
        weights_(qb::matmul::view(format_of(format), bytes(values_), bytes(scales_), n, k, group),
                 arithmetic_of(arithmetic), variant, threads, expected_m) {}

  void run(F32In x, std::size_t m, F32Out y, int threads) {
    const std::lock_guard lock(running_);  // the workspace is shared
    weights_.run(span(x), m, span(y), threads);
  }
  void run_f16(HalfIn x, std::size_t m, HalfOut y, int threads) {
    const std::lock_guard lock(running_);
    weights_.run(span_as<qb::f16>(x), m, span_as<qb::f16>(y), threads);
  }
  std::string variant() const { return std::string(weights_.variant()); }
  std::size_t packed_bytes() const { return weights_.packed_bytes(); }

 private:
  BytesIn values_, scales_;
  qb::matmul::PackedWeights weights_;
  std::mutex running_;
};

void bind_absmax(nb::module_& m) {
  m.def(
      "absmax_f32",
      [](F32In x, std::size_t group, F32Out y) { qb::absmax::groups(span(x), group, span(y)); },
      ReleaseLock());
  m.def(
      "absmax_f16",
      [](HalfIn x, std::size_t group, F32Out y) {
        qb::absmax::groups(span_as<qb::f16>(x), group, span(y));
      },
      ReleaseLock());
}

/// The notebook's quantization: f16 to codes and one inverse scale a group, and back.
void bind_notebook(nb::module_& m) {
  m.def(
      "quantize_f16_s8",
      [](HalfIn x, std::size_t group, Array<std::int8_t> q, HalfOut inv) {
        qb::quantize::quantize(span_as<qb::f16>(x), group, span(q), span_as<qb::f16>(inv));
      },
      ReleaseLock());
  m.def(
      "quantize_f16_s4",
      [](HalfIn x, std::size_t group, BytesOut q, HalfOut inv) {
        qb::quantize::quantize(span_as<qb::f16>(x), group, span(q), span_as<qb::f16>(inv));
      },
      ReleaseLock());
  m.def(
      "dequantize_s8_f16",
      [](Array<const std::int8_t> q, std::size_t group, HalfIn inv, HalfOut y) {
        qb::quantize::dequantize(span(q), group, span_as<qb::f16>(inv), span_as<qb::f16>(y));
      },
      ReleaseLock());
  m.def(
      "unpack_s4",
      [](BytesIn packed, Array<std::int8_t> q) { qb::quantize::unpack(span(packed), span(q)); },
      ReleaseLock());
}

}  // namespace

NB_MODULE(_core, m) {
  m.attr("version") = QUANTBENCH_VERSION;
  m.def("formats", formats);
  m.def("variants", variants);
  bind_absmax(m);
  bind_notebook(m);
  bind_calls(m);
  m.def(
      "quantize_rows",
      [](const std::string& format, F32In w, std::size_t n, std::size_t k, std::size_t group,
         BytesOut values, BytesOut scales) {
        qb::quantize::quantize_rows(format_of(format), span(w), n, k, group, bytes(values),
                                    bytes(scales));
      },
      ReleaseLock());
  m.def(
      "dequantize_rows",
      [](const std::string& format, BytesIn values, BytesIn scales, std::size_t n, std::size_t k,
         std::size_t group, F32Out w) {
        qb::quantize::dequantize_rows(format_of(format), bytes(values), bytes(scales), n, k, group,
                                      span(w));
      },
      ReleaseLock());
  nb::class_<Packed>(m, "Packed")
      .def(nb::init<const std::string&, BytesIn, BytesIn, std::size_t, std::size_t, std::size_t,
                    const std::string&, const std::string&, int, std::size_t>(),
           ReleaseLock())
      .def("run", &Packed::run, ReleaseLock())
      .def("run_f16", &Packed::run_f16, ReleaseLock())
      .def_prop_ro("variant", &Packed::variant)
      .def_prop_ro("packed_bytes", &Packed::packed_bytes);
}
