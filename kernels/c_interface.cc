// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <exception>
#include <new>
#include <span>
#include <stdexcept>
#include <string>

#include "core/check.h"
#include "matmul/matmul.h"
#include "quantbench/formats.h"
#include "quantbench/quantbench.h"
#include "quantbench/quantize.h"
#include "quantbench/version.h"

struct quantbench_weights {
  qb::matmul::PackedWeights packed;
  std::string variant;
};

namespace {

using qb::matmul::Arithmetic;

thread_local std::string last_error;

/// Runs body(); whatever it throws becomes a status and last_error.
template <class Body>
quantbench_status guarded(const Body& body) noexcept {
  const auto failed = [](quantbench_status status, const char* why) noexcept {
    try {
      last_error = why;
    } catch (...) {
      last_error.clear();
    }
    return status;
  };
  try {
    body();
    return QUANTBENCH_OK;
  } catch (const std::invalid_argument& e) {
    return failed(QUANTBENCH_BAD_ARGUMENT, e.what());
  } catch (const std::bad_alloc&) {
    return failed(QUANTBENCH_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception& e) {
    return failed(QUANTBENCH_FAILED, e.what());
  } catch (...) {
    return failed(QUANTBENCH_FAILED, "an exception that is no std::exception");
  }
}

void refuse_null(const char* name, const void* p, std::size_t size) {
  if (!p && size) throw qb::BadArgument(std::string("quantbench: '") + name + "' is NULL");
}

const qb::FormatInfo& format_of(const char* name) {
  refuse_null("format", name, 1);
  std::string known;
  for (const qb::FormatInfo& row : qb::kFormats) {
    if (row.name == name) return row;
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  throw qb::BadArgument("quantbench: no format '" + std::string(name) + "'; there are: " + known);
}

Arithmetic arithmetic_of(const char* name) {
  refuse_null("arithmetic", name, 1);
  if (!std::strcmp(name, "a32")) return Arithmetic::a32;
  if (!std::strcmp(name, "a8")) return Arithmetic::a8;
  if (!std::strcmp(name, "abf16")) return Arithmetic::abf16;
  throw qb::BadArgument("quantbench: no arithmetic '" + std::string(name) +
                        "'; there are: a32, a8, abf16");
}

std::size_t product(const char* a_name, std::size_t a, const char* b_name, std::size_t b) {
  return qb::check::product("quantbench", a_name, a, b_name, b);
}

template <class T>
std::span<T> span(const char* name, T* p, std::size_t size) {
  refuse_null(name, p, size);
  return {p, size};
}
std::span<const std::byte> bytes(const char* name, const void* p, std::size_t size) {
  return span(name, static_cast<const std::byte*>(p), size);
}
std::span<std::byte> bytes(const char* name, void* p, std::size_t size) {
  return span(name, static_cast<std::byte*>(p), size);
}

}  // namespace

const char* quantbench_version(void) { return QUANTBENCH_VERSION; }
const char* quantbench_last_error(void) { return last_error.c_str(); }

size_t quantbench_format_count(void) { return std::size(qb::kFormats); }
const char* quantbench_format_name(size_t index) {
  // The names are string literals, so that a 0 follows.
  return index < std::size(qb::kFormats) ? qb::kFormats[index].name.data() : nullptr;
}

quantbench_status quantbench_sizes(const char* format, size_t n, size_t k, size_t group,
                                   size_t* values_bytes, size_t* scales_bytes) {
  return guarded([&] {
    refuse_null("values_bytes", values_bytes, 1);
    refuse_null("scales_bytes", scales_bytes, 1);
    const qb::FormatInfo& row = format_of(format);
    qb::quantize::check_rows(row.format, k, group);
    const std::size_t values = product("n", n, "bytes of a row", row.row_bytes(k));
    const std::size_t scales =
        product("n", n, "bytes of a row's scales", row.scales_bytes(1, k, group));
    *values_bytes = values;
    *scales_bytes = scales;
  });
}

quantbench_status quantbench_quantize(const char* format, const float* w, size_t n, size_t k,
                                      size_t group, void* values, size_t values_bytes, void* scales,
                                      size_t scales_bytes) {
  return guarded([&] {
    qb::quantize::quantize_rows(format_of(format).format, span("w", w, product("n", n, "k", k)), n,
                                k, group, bytes("values", values, values_bytes),
                                bytes("scales", scales, scales_bytes));
  });
}

quantbench_status quantbench_dequantize(const char* format, const void* values, size_t values_bytes,
                                        const void* scales, size_t scales_bytes, size_t n, size_t k,
                                        size_t group, float* w) {
  return guarded([&] {
    qb::quantize::dequantize_rows(format_of(format).format, bytes("values", values, values_bytes),
                                  bytes("scales", scales, scales_bytes), n, k, group,
                                  span("w", w, product("n", n, "k", k)));
  });
}

quantbench_status quantbench_pack(const char* format, const void* values, size_t values_bytes,
                                  const void* scales, size_t scales_bytes, size_t n, size_t k,
                                  size_t group, const char* arithmetic, const char* variant,
                                  int threads, size_t expected_m, quantbench_weights** weights) {
  return guarded([&] {
    refuse_null("weights", weights, 1);
    const auto view =
        qb::matmul::view(format_of(format).format, bytes("values", values, values_bytes),
                         bytes("scales", scales, scales_bytes), n, k, group);
    qb::matmul::PackedWeights packed(view, arithmetic_of(arithmetic), variant ? variant : "",
                                     threads, expected_m);
    std::string name(packed.variant());
    *weights = new quantbench_weights{std::move(packed), std::move(name)};
  });
}

const char* quantbench_variant(const quantbench_weights* weights) {
  return weights ? weights->variant.c_str() : "";
}

quantbench_status quantbench_matmul(quantbench_weights* weights, const float* x, size_t m, float* y,
                                    int threads) {
  return guarded([&] {
    refuse_null("weights", weights, 1);
    const auto& w = weights->packed.weights().w;
    weights->packed.run(span("x", x, product("m", m, "k", w.k)), m,
                        span("y", y, product("m", m, "n", w.n)), threads);
  });
}

void quantbench_free(quantbench_weights* weights) { delete weights; }
