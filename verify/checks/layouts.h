// SPDX-License-Identifier: Apache-2.0
// How codes of an element type are stored (int8: one a byte; uint8: two nibbles a byte), the
// oracle's results in that layout, and the inputs that are hard for a quantizer to it.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "checks/same.h"
#include "oracle/int4.h"
#include "oracle/int8.h"

namespace qb::test {

/// How Code stores codes, and what a quantizer must do, by the oracle:
///   static std::size_t bytes(len)                           bytes of the codes of one group
///   static auto quantized<X, S>(span<const X>, groups, len)  with members q and scale
///   static std::vector<Code> codes(groups, len)             codes of all kinds
///   static int code(span<const Code>, j)                    the j-th of them
///   static constexpr std::size_t kCodes                     how many there are
///   static std::vector<Code> every_code(times)              all of them, so many times
///   static auto hard_groups(len)                            groups that are hard to quantize
template <class Code>
struct Layout;

/// Groups whose absmax is qmax, at each of `places`: inv is 1 and the elements meet the rounding as
/// they are, halves and their neighbours.
template <class Add>
void add_groups_about_halves(float qmax, std::initializer_list<float> scales, int step,
                             std::initializer_list<std::size_t> places, const Add& add) {
  for (const float scale : scales)
    for (int first = 0; first < int(qmax); first += step)
      for (const float toward : {0.0f, -kInf, kInf})
        for (const std::size_t largest_at : places)
          add([&](std::size_t j) {
            if (j == largest_at) return qmax * scale;
            const float half = float((first + int(j)) % int(qmax)) + 0.5f;
            const float v = toward == 0.0f ? half : std::nextafter(half, toward);
            return (j & 1 ? -v : v) * scale;
          });
}

/// The groups that an int8 quantizer has trouble with, each of `len` >= 4 elements.
inline std::vector<std::vector<float>> hard_groups_of_8_bits(std::size_t len) {
  std::vector<std::vector<float>> list;
  const auto add = [&](auto value_at) {
    std::vector<float> x(len);
    for (std::size_t j = 0; j < len; ++j) x[j] = value_at(j);
    list.push_back(x);
  };
  add_groups_about_halves(127, {1.0f, 0x1p-20f, 0x1p60f}, int(len) / 4 + 1, {len / 2}, add);
  add([](std::size_t j) { return j & 1 ? -0.0f : 0.0f; });
  // Both ends of the code range, for absmax values whose inv and product round up.
  for (const float most : {1.0f, 3.0f, 0.1f, 1.0000001f, 1.9999999f, 11.7f, 1e30f, 1e-30f})
    add([&](std::size_t j) { return j % 3 == 0 ? most : j % 3 == 1 ? -most : most * 0.99999994f; });
  // absmax subnormal, at the last inv that is finite and just below, and as large as it gets.
  const float edge = 127.0f / kMost;
  for (const float most : {kLeast, 100 * kLeast, 0x1p-126f, edge, std::nextafter(edge, 0.0f),
                           std::nextafter(edge, 1.0f), 1e-36f, kMost, 127 * 0x1p-128f,
                           127 * 0x1p-127f, 8321040.0f, 8321039.0f, 1e-6f, 7.5e-6f})
    add([&](std::size_t j) {
      return (j & 1 ? -most : most) * (1.0f - float(j % 16) / 16.0f) * (j % 5 == 4 ? 0.0f : 1.0f);
    });
  // Subnormal elements beside an ordinary one.
  add([](std::size_t j) { return j == 3 ? 1.0f : float(j) * kLeast; });
  return list;
}

/// The same for codes up to qmax: 7, or 8 for q4_0.
inline std::vector<std::vector<float>> hard_groups_of_4_bits(std::size_t len, float qmax) {
  std::vector<std::vector<float>> list;
  const auto add = [&](auto value_at) {
    std::vector<float> x(len);
    for (std::size_t j = 0; j < len; ++j) x[j] = value_at(j);
    list.push_back(x);
  };
  add_groups_about_halves(qmax, {1.0f, -1.0f, 0x1p-20f, 0x1p60f}, 1,
                          {std::size_t{0}, len / 2, len - 1}, add);
  add([](std::size_t j) { return j & 1 ? -0.0f : 0.0f; });
  add([](std::size_t) { return -0.0f; });
  // Both ends of the code range, for absmax values whose inv and product round up; and the largest
  // magnitude with both signs, either first.
  for (const float most :
       {1.0f, 3.0f, 0.1f, 1.0000001f, 1.9999999f, 11.7f, 1e30f, 1e-30f, -1.0f, -0.7f})
    for (const std::size_t phase : {0, 1, 2})
      add([&](std::size_t j) {
        const std::size_t k = (j + phase) % 3;
        return k == 0 ? most : k == 1 ? -most : most * 0.99999994f;
      });
  for (const std::size_t at : {std::size_t{0}, len / 2 - 1, len - 2})
    for (const float most : {5.0f, -5.0f})
      add([&](std::size_t j) { return j == at ? most : j == len - 1 ? -most : most / 3; });
  // absmax subnormal, at the last inv that is finite and just below, and as large as it gets.
  for (const float edge : {qmax / kMost, 0x1p-125f, 0x1p-128f * qmax})
    for (const float most : {edge, std::nextafter(edge, 0.0f), std::nextafter(edge, 1.0f)})
      add([&](std::size_t j) { return (j & 1 ? -most : most) * (1.0f - float(j % 16) / 16.0f); });
  for (const float most : {kLeast, 3 * kLeast, 4 * kLeast, 5 * kLeast, 100 * kLeast, 0x1p-126f,
                           1e-36f, kMost, 458640.0f, 458639.0f, 1e-6f, 4e-7f, -2e-7f, -kLeast})
    add([&](std::size_t j) {
      return (j & 1 ? -most : most) * (1.0f - float(j % 16) / 16.0f) * (j % 5 == 4 ? 0.0f : 1.0f);
    });
  // Subnormal elements beside an ordinary one.
  add([](std::size_t j) { return j == 3 ? 1.0f : float(j) * kLeast; });
  return list;
}

template <>
struct Layout<std::int8_t> {
  static std::size_t bytes(std::size_t len) { return len; }
  template <class X, class S>
  static auto quantized(std::span<const X> x, std::size_t groups, std::size_t len) {
    if constexpr (sizeof(X) == sizeof(float))
      return oracle::quantize_s8<S>(x, groups, len);
    else
      return oracle::quantize_s8(x, groups, len);
  }
  static std::vector<std::int8_t> codes(std::size_t groups, std::size_t len) {
    std::vector<std::int8_t> q(groups * len);
    for (std::size_t j = 0; j < q.size(); ++j)
      q[j] = std::int8_t(int(j * 89 + j / 256) % 256 - 128);
    return q;
  }
  static int code(std::span<const std::int8_t> q, std::size_t j) { return q[j]; }
  static constexpr std::size_t kCodes = 256;
  static std::vector<std::int8_t> every_code(std::size_t times) {
    std::vector<std::int8_t> q(kCodes * times);
    for (std::size_t i = 0; i < q.size(); ++i) q[i] = std::int8_t(int(i % kCodes) - 128);
    return q;
  }
  static auto hard_groups(std::size_t len) { return hard_groups_of_8_bits(len); }
};

template <>
struct Layout<std::uint8_t> {
  static std::size_t bytes(std::size_t len) { return (len + 1) / 2; }
  template <class X, class S>
  static auto quantized(std::span<const X> x, std::size_t groups, std::size_t len) {
    if constexpr (sizeof(X) == sizeof(float))
      return oracle::quantize_s4<S>(x, groups, len);
    else
      return oracle::quantize_s4(x, groups, len);
  }
  /// Bytes in which every value occurs; with an odd `len` the last high nibble of a group is 0.
  static std::vector<std::uint8_t> codes(std::size_t groups, std::size_t len) {
    std::vector<std::uint8_t> q(groups * bytes(len));
    for (std::size_t j = 0; j < q.size(); ++j) q[j] = std::uint8_t(j * 89 + j / 256 + 3);
    if (len % 2)
      for (std::size_t i = 1; i <= groups; ++i) q[i * bytes(len) - 1] &= 15;
    return q;
  }
  static int code(std::span<const std::uint8_t> q, std::size_t j) {
    return oracle::unpacked_s4(q, j);
  }
  static constexpr std::size_t kCodes = 16;
  static std::vector<std::uint8_t> every_code(std::size_t times) {
    std::vector<std::uint8_t> q(kCodes / 2 * times);
    for (std::size_t i = 0; i < q.size(); ++i) q[i] = std::uint8_t(0x10 + 0x22 * (i % 8));
    return q;
  }
  static auto hard_groups(std::size_t len) { return hard_groups_of_4_bits(len, 7); }
};

}  // namespace qb::test
