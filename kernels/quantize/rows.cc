// SPDX-License-Identifier: Apache-2.0
#include "quantbench/quantize.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#include "convert/convert.h"
#include "core/check.h"
#include "core/quantize_check.h"
#include "quantize/quantize.h"

namespace qb::quantize {
namespace {

/// What both directions know of a matrix.
struct Rows {
  const FormatInfo& format;
  std::size_t n, k, group;  ///< group: the length that shares a scale

  std::size_t values() const { return format.row_bytes(k); }  ///< bytes of a row
  std::size_t scales() const {                                ///< bytes of a row's
    return format.scales_of_row(k, group) * format.scale_bytes();
  }
  std::size_t zeros() const { return format.zeros_of_row(k, group); }  ///< likewise
};

void check_row(std::string_view op, const FormatInfo& row, std::size_t k, std::size_t group) {
  constexpr std::size_t kBytes = 8;  // no format takes more for a weight, its scale included
  check::product(op, "k", k, "bytes of a weight, at the most", kBytes);
  if (row.in_groups()) {
    check::group_of_f16_scale(op, group);
    check::divides(op, "group", group, "k", k);
  } else if (row.in_blocks()) {
    check::divides(op, "block", row.weights, "k", k);
  }
}

Rows checked(std::string_view op, Format format, std::size_t n, std::size_t k, std::size_t group,
             std::span<const float> w, std::span<const std::byte> values,
             std::span<const std::byte> scales) {
  const FormatInfo& row = info(format);
  check_row(op, row, k, group);
  const Rows rows{row, n, k, row.group_of(k, group)};
  check::size_is(op, "w", w.size(), check::product(op, "n", n, "k", k));
  const auto bytes = [&](std::size_t row_bytes) {
    return check::product(op, "n", n, "bytes of a row", row_bytes);
  };
  check::size_is(op, "values", values.size(), bytes(rows.values()));
  if (scales.size() != bytes(rows.scales()))  // without zero points
    check::size_is(op, "scales", scales.size(), bytes(rows.scales() + rows.zeros()));
  check::disjoint(op, "w", std::as_bytes(w), "values", values);
  check::disjoint(op, "w", std::as_bytes(w), "scales", scales);
  check::aligned(op, "w", std::as_bytes(w), alignof(float));
  check::aligned(op, "values", values, row.alignment());
  check::aligned(op, "scales", scales, std::max<std::size_t>(row.scale_bytes(), 1));
  return rows;
}

template <class T>
std::span<T> as(std::span<std::byte> bytes) {
  return {reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T)};
}
template <class T>
std::span<const T> as(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
}

/// Row i's share of what lies at `bytes`, row by row.
template <class Byte>
std::span<Byte> part(std::span<Byte> bytes, std::size_t i, std::size_t of_row) {
  return bytes.subspan(i * of_row, of_row);
}
/// Row i's zero points, which lie behind all rows' scales; none if there are none.
template <class Byte>
std::span<Byte> zeros_of(const Rows& rows, std::span<Byte> scales, std::size_t i) {
  const std::span<Byte> all = scales.subspan(rows.n * rows.scales());
  return all.empty() ? all : part(all, i, rows.zeros());
}

// Of a block format; its operation tells the type of a block.
template <class Block>
void quantize_blocks(const Op<void(const float*, std::size_t, Block*)>&, std::span<const float> x,
                     std::span<std::byte> values) {
  quantize(x, as<Block>(values));
}
template <class Block>
void dequantize_blocks(const Op<void(const Block*, std::size_t, float*)>&,
                       std::span<const std::byte> values, std::span<float> y) {
  dequantize(as<Block>(values), y);
}

/// Does one(i) for every row; a refusal names the row.
template <class One>
void each_row(std::string_view op, std::size_t n, const One& one) {
  for (std::size_t i = 0; i < n; ++i) {
    try {
      one(i);
    } catch (const BadArgument& e) {
      check::refuse(op, "row " + std::to_string(i) + ": " + e.what());
    }
  }
}

void quantize_row(const Rows& rows, std::span<const float> x, std::span<std::byte> values,
                  std::span<std::byte> scales, std::span<std::byte> zeros) {
  const std::size_t group = rows.group;
  switch (rows.format.format) {
    case Format::f32:
      return void(std::memcpy(values.data(), x.data(), values.size()));
    case Format::f16:
      return convert::narrow(x, as<f16>(values));
    case Format::s8:
      return quantize(x, group, as<std::int8_t>(values), as<float>(scales));
    case Format::s4:
      return quantize(x, group, as<std::uint8_t>(values), as<float>(scales));
    case Format::s8g:
      return quantize(x, group, as<std::int8_t>(values), as<f16>(scales));
    case Format::s4g:
      return quantize(x, group, as<std::uint8_t>(values), as<f16>(scales));
    case Format::u4h:
      return quantize(x, group, as<std::uint8_t>(values), as<f16>(scales), as<std::uint8_t>(zeros));
#define QB_ROW_none(name)
#define QB_ROW_output(name)
#define QB_ROW_group(name)
#define QB_ROW_zeros(name)
#define QB_ROW_block(name) \
  case Format::name:       \
    return quantize_blocks(quantize_f32_##name, x, values);
#define QB_ROW_block32(name) QB_ROW_block(name)
#define QB_ROW_block16(name) QB_ROW_block(name)
#define QB_FORMAT(name, codes, scales, ...) QB_ROW_##scales(name)
#include "quantbench/formats.inc"
#undef QB_FORMAT
#undef QB_ROW_block
  }
}

void dequantize_row(const Rows& rows, std::span<const std::byte> values,
                    std::span<const std::byte> scales, std::span<const std::byte> zeros,
                    std::span<float> y) {
  const std::size_t group = rows.group;
  switch (rows.format.format) {
    case Format::f32:
      return void(std::memcpy(y.data(), values.data(), values.size()));
    case Format::f16:
      return convert::widen(as<f16>(values), y);
    case Format::s8:
      return dequantize(as<std::int8_t>(values), group, as<float>(scales), y);
    case Format::s4:
      return dequantize(as<std::uint8_t>(values), group, as<float>(scales), y);
    case Format::s8g:
      return dequantize(as<std::int8_t>(values), group, as<f16>(scales), y);
    case Format::s4g:
      return dequantize(as<std::uint8_t>(values), group, as<f16>(scales), y);
    case Format::u4h:
      return dequantize(as<std::uint8_t>(values), group, as<f16>(scales), as<std::uint8_t>(zeros),
                        y);
#define QB_ROW_block(name) \
  case Format::name:       \
    return dequantize_blocks(dequantize_##name##_f32, values, y);
#define QB_FORMAT(name, codes, scales, ...) QB_ROW_##scales(name)
#include "quantbench/formats.inc"
#undef QB_FORMAT
  }
}

}  // namespace

void check_rows(Format format, std::size_t k, std::size_t group) {
  check_row("quantize::check_rows", info(format), k, group);
}

void quantize_rows(Format format, std::span<const float> w, std::size_t n, std::size_t k,
                   std::size_t group, std::span<std::byte> values, std::span<std::byte> scales) {
  constexpr std::string_view op = "quantize::quantize_rows";
  const Rows rows = checked(op, format, n, k, group, w, values, scales);
  check::disjoint(op, "values", values, "scales", scales);
  if (k == 0) return;
  each_row(op, n, [&](std::size_t i) {
    quantize_row(rows, part(w, i, k), part(values, i, rows.values()),
                 part(scales, i, rows.scales()), zeros_of(rows, scales, i));
  });
}

void dequantize_rows(Format format, std::span<const std::byte> values,
                     std::span<const std::byte> scales, std::size_t n, std::size_t k,
                     std::size_t group, std::span<float> w) {
  constexpr std::string_view op = "quantize::dequantize_rows";
  const Rows rows = checked(op, format, n, k, group, w, values, scales);
  if (k == 0) return;
  each_row(op, n, [&](std::size_t i) {
    dequantize_row(rows, part(values, i, rows.values()), part(scales, i, rows.scales()),
                   zeros_of(rows, scales, i), part(w, i, k));
  });
}

}  // namespace qb::quantize
