// SPDX-License-Identifier: Apache-2.0
// Weights of every canonical layout for the checks of products, against guard pages.
#pragma once

#include <cstring>
#include <random>
#include <vector>

#include "matmul/matmul.h"
#include "oracle/half.h"
#include "support/guarded.h"
#include "support/inputs.h"

namespace qb::test {

/// How the codes are drawn.
enum class Codes { any, largest, smallest, alternating, zero };

/// How the scales are. hard: mostly near 0.01; now and then negative (q4_0 has such), subnormal,
/// large or zero. ordinary: near 0.01 all of them.
enum class Scales { hard, ordinary };

/// Random weights in their canonical layout, against a guard page, read-only.
class TestWeights {
 public:
  TestWeights(matmul::Format format, std::size_t n, std::size_t k, std::size_t group,
              std::uint32_t seed, Codes codes = Codes::any, Against side = Against::end,
              Scales scales = Scales::hard)
      : words_(seed),
        codes_(codes),
        hard_(scales == Scales::hard),
        values_(n * info(format).row_bytes(k), side),
        scales_(even(info(format).scales_bytes(n, k, group)), side) {
    if (info(format).is_float())
      floats(format, n * k, seed);
    else if (info(format).in_blocks())
      for (std::size_t b = 0; b < n * k / info(format).weights; ++b) block(format, b);
    else if (info(format).codes == CodeKind::int8)
      for (std::size_t i = 0; i < n * k; ++i) values_[i] = std::byte(code(i, 127, -128));
    else if (info(format).scales == ScaleKind::zeros)
      unsigned_nibbles(n * k);
    else
      nibbles(n, k);
    scales_of(format, n * info(format).scales_of_row(k, group));
    zeros_of(n * info(format).scales_of_row(k, group) * info(format).scale_bytes());
    // Some have no zero points.
    const bool zeros = hard_ && codes == Codes::any ? seed % 4 != 3 : true;
    view_ = {format, matmul::weights_at(format, values_.data(), scales_.data(), n, k, group, zeros),
             std::as_bytes(values_.span()),
             std::as_bytes(scales_.span()).first(info(format).scales_bytes(n, k, group))};
    values_.make_read_only();
    scales_.make_read_only();
  }

  const matmul::WeightView& view() const { return view_; }

 private:
  void floats(matmul::Format format, std::size_t count, std::uint32_t seed) {
    const std::vector<float> w = test::weights(count, seed);
    if (format == matmul::Format::f16)
      for (std::size_t i = 0; i < count; ++i) put(values_, i, oracle::to_f16(w[i]));
    else if (count)
      std::memcpy(values_.data(), w.data(), values_.size());
  }

  /// s4 and s4g: an output begins on a byte of its own.
  void nibbles(std::size_t n, std::size_t k) {
    for (std::size_t row = 0; row < n; ++row)
      for (std::size_t i = 0; i < k; ++i) {
        std::byte& byte = values_[row * ((k + 1) / 2) + i / 2];
        const auto bits = std::byte(code(i, 7, -8) & 15);
        byte = i % 2 ? byte | bits << 4 : bits;
      }
  }

  void unsigned_nibbles(std::size_t count) {
    for (std::size_t i = 0; i < count; i += 2)
      values_[i / 2] = std::byte(code(i, 15, 0) | code(i + 1, 15, 0) << 4);
  }

  /// The b'th block of a block format.
  void block(matmul::Format format, std::size_t b) {
    using matmul::Format;
    switch (format) {
      case Format::q8_0:
        put(values_, 17 * b, scale());
        for (std::size_t i = 0; i < 32; ++i)
          values_[34 * b + 2 + i] = std::byte(code(i, 127, -128));
        break;
      case Format::q4_0:
        put(values_, 9 * b, scale());
        for (std::size_t i = 0; i < 16; ++i)
          values_[18 * b + 2 + i] =
              std::byte((code(i, 7, -8) + 8) | (code(i + 16, 7, -8) + 8) << 4);
        break;
      case Format::mxfp4:
        values_[17 * b] = exponent();
        indices(17 * b + 1, 7, 15);
        break;
      case Format::iq4_nl:
        put(values_, 9 * b, codes_ == Codes::zero ? f16(0) : scale());  // no value is 0
        indices(18 * b + 2, 15, 0);
        break;
      case Format::q4_1:
        put(values_, 10 * b, scale());
        put(values_, 10 * b + 1, codes_ == Codes::zero ? f16(0) : scale());
        for (std::size_t i = 0; i < 16; ++i)
          values_[20 * b + 4 + i] = std::byte(code(i, 15, 0) | code(i + 16, 15, 0) << 4);
        break;
      case Format::q5_0:
        put(values_, 11 * b, scale());
        five_bits(22 * b + 6, 22 * b + 2);
        break;
      case Format::q4_K:
        put(values_, 72 * b, scale());
        put(values_, 72 * b + 1, codes_ == Codes::zero ? f16(0) : scale());
        for (std::size_t i = 4; i < 16; ++i) values_[144 * b + i] = std::byte(words_());
        for (std::size_t i = 16; i < 144; ++i)
          values_[144 * b + i] = std::byte(code(i, 15, 0) | code(i + 1, 15, 0) << 4);
        break;
      case Format::q5_K:
        put(values_, 88 * b, scale());
        put(values_, 88 * b + 1, codes_ == Codes::zero ? f16(0) : scale());
        for (std::size_t i = 4; i < 16; ++i) values_[176 * b + i] = std::byte(words_());
        five_bits_of_256(values_.data() + 176 * b + 16);
        break;
      case Format::q6_K:
        six_bits_of_256(values_.data() + 210 * b);
        for (std::size_t i = 192; i < 208; ++i) values_[210 * b + i] = std::byte(words_());
        put(values_, 105 * b + 104, scale());
        break;
      case Format::nvfp4:
        for (std::size_t g = 0; g < 4; ++g) values_[36 * b + g] = e4m3();
        for (std::size_t i = 4; i < 36; i += 16) indices(36 * b + i, 7, 15);
        break;
      case Format::tq2_0:
        for (std::size_t i = 0; i < 256; ++i) {
          std::byte& four = values_[66 * b + i / 128 * 32 + i % 32];
          const auto bits = std::byte((code(i, 2, -1) + 1) << i % 128 / 32 * 2);
          four = i % 128 < 32 ? bits : four | bits;
        }
        put(values_, 33 * b + 32, scale());
        break;
      case Format::iq4_xs:
        put(values_, 68 * b, codes_ == Codes::zero ? f16(0) : scale());  // no value is 0
        for (std::size_t i = 2; i < 8; ++i) values_[136 * b + i] = std::byte(words_());
        for (std::size_t g = 0; g < 8; ++g) indices(136 * b + 8 + 16 * g, 15, 0);
        break;
      case Format::f32:
      case Format::f16:
      case Format::s8:
      case Format::s4:
      case Format::s8g:
      case Format::s4g:
      case Format::u4h:
        break;  // no blocks
    }
  }

  /// 32 codes of q5_0: nibbles at `low`, fifth bits at `high`.
  void five_bits(std::size_t low, std::size_t high) {
    for (std::size_t i = 0; i < 4; ++i) values_[high + i] = std::byte(0);
    for (std::size_t i = 0; i < 32; ++i) {
      const int five = code(i, 15, -16) + 16;
      std::byte& pair = values_[low + i % 16];
      pair = i < 16 ? std::byte(five % 16) : pair | std::byte(five % 16 << 4);
      values_[high + i / 8] |= std::byte(five / 16 << i % 8);
    }
  }

  /// 256 codes of q5_K: 32 bytes of fifth bits, then the nibbles.
  void five_bits_of_256(std::byte* to) {
    std::memset(to, 0, 160);
    for (std::size_t i = 0; i < 256; ++i) {
      const int five = code(i, 31, 0);
      to[32 + i / 64 * 32 + i % 32] |= std::byte(five % 16 << i / 32 % 2 * 4);
      to[i % 32] |= std::byte(five / 16 << i / 32);
    }
  }

  /// 256 codes of q6_K: 128 bytes of nibbles, then 64 of pairs.
  void six_bits_of_256(std::byte* to) {
    std::memset(to, 0, 192);
    for (std::size_t i = 0; i < 256; ++i) {
      const int six = code(i, 31, -32) + 32;
      const std::size_t half = i / 128, j = i % 128;
      to[64 * half + j % 64] |= std::byte(six % 16 << j / 64 * 4);
      to[128 + 32 * half + j % 32] |= std::byte(six / 16 << j / 32 * 2);
    }
  }

  /// Scales in an array of their own.
  void scales_of(matmul::Format format, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
      if (info(format).scale_bytes() == sizeof(float))
        put(scales_, i, float(oracle::value(scale())));
      else
        put(scales_, i, scale());
  }

  /// So that scales are aligned: zero points behind them may be odd.
  static std::size_t even(std::size_t bytes) { return bytes + bytes % 2; }

  /// Zero points, the bytes behind so many bytes of scales.
  void zeros_of(std::size_t scales) {
    for (std::size_t i = scales; i < scales_.size(); ++i)
      scales_[i] = codes_ == Codes::zero ? std::byte(0) : std::byte(words_());
  }

  template <class V>
  static void put(Guarded<std::byte>& to, std::size_t i, V v) {
    std::memcpy(to.data() + i * sizeof v, &v, sizeof v);
  }

  int code(std::size_t i, int most, int least) {
    switch (codes_) {
      case Codes::largest:
        return most;
      case Codes::smallest:
        return least;
      case Codes::alternating:
        return i % 2 ? most : least;
      case Codes::zero:
        return 0;
      case Codes::any:
        break;
    }
    return least + int(words_() % unsigned(most - least + 1));
  }

  /// 32 indices of a table, whose values are largest and smallest at those two and 0 at 0.
  void indices(std::size_t at, int largest, int smallest) {
    const auto index = [&](std::size_t i) {
      return codes_ == Codes::any ? int(words_() % 16) : code(i, largest, smallest);
    };
    for (std::size_t i = 0; i < 16; ++i) values_[at + i] = std::byte(index(i) | index(i + 16) << 4);
  }

  /// mxfp4's: mostly near 2^-9; now and then subnormal or large.
  std::byte exponent() {
    switch (hard_ ? words_() % 16 : 2) {
      case 0:
        return std::byte(words_() % 4);
      case 1:
        return std::byte(132);
    }
    return std::byte(114 + words_() % 10);
  }

  /// nvfp4's: mostly near 0.02; now and then any byte, or one of 0, 0x80 and 0x7f, which are
  /// zero, and 0xff, which is 480: not as in plain E4M3.
  std::byte e4m3() {
    const unsigned near = 4 + unsigned(words_() % 12);
    if (!hard_) return std::byte(near);
    constexpr unsigned special[] = {0, 0x7f, 0x80, 0xff};
    switch (words_() % 16) {
      case 0:
        return std::byte(words_());
      case 1:
        return std::byte(special[words_() % 4]);
    }
    return std::byte(near);
  }

  f16 scale() {
    const float near = 0.002f + float(words_() % 1000) * 2e-5f;
    switch (hard_ ? words_() % 16 : 4) {
      case 0:
        return oracle::to_f16(-near);
      case 1:
        return f16(1 + words_() % 1000);
      case 2:
        return oracle::to_f16(near * 10000.0);
      case 3:
        return f16(0);
    }
    return oracle::to_f16(near);
  }

  std::mt19937 words_;
  Codes codes_;
  bool hard_;
  Guarded<std::byte> values_, scales_;
  matmul::WeightView view_{};
};

}  // namespace qb::test
