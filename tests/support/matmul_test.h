// What the matmul tests share: weights of every canonical layout between guard pages, and a run of
// one kernel record with guard pages around everything it may touch.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "matmul/matmul.h"
#include "oracle/matmul.h"
#include "support/guarded.h"
#include "support/inputs.h"

namespace qb::test {

/// How the codes are drawn.
enum class Codes { any, largest, smallest, alternating, zero };

/// Random weights in their canonical layout, against a guard page.
class TestWeights {
 public:
  TestWeights(matmul::Format format, std::size_t n, std::size_t k, std::size_t group,
              std::uint32_t seed, Codes codes = Codes::any, Against side = Against::end)
      : words_(seed),
        codes_(codes),
        values_(value_bytes(format, n, k), side),
        scales_(scale_count(format, n, k, group) * scale_size(format), side) {
    using matmul::Format;
    switch (format) {
      case Format::f32: {
        const std::vector<float> w = test::weights(n * k, seed);
        if (!w.empty()) std::memcpy(values_.data(), w.data(), values_.size());
        break;
      }
      case Format::f16: {
        const std::vector<float> w = test::weights(n * k, seed);
        for (std::size_t i = 0; i < n * k; ++i) put(values_, i, oracle::to_f16(w[i]));
        break;
      }
      case Format::s8:
      case Format::s8g:
        for (std::size_t i = 0; i < n * k; ++i) values_[i] = std::byte(code(i, 127, -127));
        break;
      case Format::s4:
      case Format::s4g:
        for (std::size_t row = 0; row < n; ++row)
          for (std::size_t i = 0; i < k; ++i) {
            std::byte& byte = values_[row * ((k + 1) / 2) + i / 2];
            const auto bits = std::byte(code(i, 7, -8) & 15);
            byte = i % 2 ? byte | bits << 4 : bits;
          }
        break;
      case Format::q8_0:
        for (std::size_t b = 0; b < n * k / 32; ++b) {
          put(values_, 17 * b, scale());
          for (std::size_t i = 0; i < 32; ++i)
            values_[34 * b + 2 + i] = std::byte(code(i, 127, -128));
        }
        break;
      case Format::q4_0:
        for (std::size_t b = 0; b < n * k / 32; ++b) {
          put(values_, 9 * b, scale());
          for (std::size_t i = 0; i < 16; ++i)
            values_[18 * b + 2 + i] =
                std::byte((code(i, 7, -8) + 8) | (code(i + 16, 7, -8) + 8) << 4);
        }
        break;
    }
    for (std::size_t i = 0; i < scale_count(format, n, k, group); ++i)
      if (scale_size(format) == sizeof(float))
        put(scales_, i, float(oracle::value(scale())));
      else
        put(scales_, i, scale());
    const bool grouped = format == Format::s8g || format == Format::s4g;
    const bool blocks = format == Format::q8_0 || format == Format::q4_0;
    view_ = {format,
             {values_.data(), scales_.data(), n, k,
              grouped  ? group
              : blocks ? 32
                       : k},
             std::as_bytes(values_.span()),
             std::as_bytes(scales_.span())};
  }

  const matmul::WeightView& view() const { return view_; }

 private:
  static std::size_t value_bytes(matmul::Format format, std::size_t n, std::size_t k) {
    switch (format) {
      case matmul::Format::f32:
        return n * k * 4;
      case matmul::Format::f16:
        return n * k * 2;
      case matmul::Format::s8:
      case matmul::Format::s8g:
        return n * k;
      case matmul::Format::s4:
      case matmul::Format::s4g:
        return n * ((k + 1) / 2);
      case matmul::Format::q8_0:
        return n * (k / 32) * 34;
      case matmul::Format::q4_0:
        return n * (k / 32) * 18;
    }
    return 0;
  }
  static std::size_t scale_size(matmul::Format format) {
    return format == matmul::Format::s8 || format == matmul::Format::s4 ? 4 : 2;
  }
  static std::size_t scale_count(matmul::Format format, std::size_t n, std::size_t k,
                                 std::size_t group) {
    if (format == matmul::Format::s8 || format == matmul::Format::s4) return n;
    return format == matmul::Format::s8g || format == matmul::Format::s4g ? n * (k / group) : 0;
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

  /// Mostly near 0.01; now and then negative (q4_0 has such), subnormal, large or zero.
  f16 scale() {
    const float near = 0.002f + float(words_() % 1000) * 2e-5f;
    switch (words_() % 16) {
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
  Guarded<std::byte> values_, scales_;
  matmul::WeightView view_{};
};

/// Bytes at the alignment that the record promises, as near to the guard page behind them as that
/// allows; what lies between is filled, and must be found unchanged.
class GuardedScratch {
 public:
  GuardedScratch(std::size_t bytes, Against side)
      : bytes_(bytes), memory_((bytes + 63) / 64 * 64, side) {
    std::memset(memory_.data(), 0xa5, memory_.size());
  }
  std::byte* data() { return memory_.data(); }
  void expect_untouched_end() const {
    for (std::size_t i = bytes_; i < memory_.size(); ++i)
      ASSERT_EQ(memory_[i], std::byte(0xa5)) << "written " << i - bytes_ << " past the end";
  }

 private:
  std::size_t bytes_;
  Guarded<std::byte> memory_;
};

/// y = x times the weights on one kernel record, everything between guard pages. In one piece, or
/// with pack, prepare and run each split at their smallest steps, last part first.
template <class T>
std::vector<T> multiply(const matmul::Kernel& kernel, const matmul::WeightView& view,
                        const std::vector<T>& activations, std::size_t m, Against side,
                        bool in_parts) {
  const matmul::Weights& w = view.w;
  const Guarded<T> x(activations, side);
  GuardedScratch packed(kernel.packed_bytes(w.n, w.k, w.group), side);
  GuardedScratch workspace(kernel.workspace_bytes(m, w.n, w.k, w.group), side);
  Guarded<T> y(m * w.n, side);
  if (y.size()) std::memset(static_cast<void*>(y.data()), 0xff, y.size() * sizeof(T));  // NaN
  const auto parts = [&](std::size_t total, std::size_t step, const auto& body) {
    if (!in_parts) return body(std::size_t{0}, total);
    for (std::size_t i = (total + step - 1) / step; i-- > 0;)
      body(i * step, std::min(total, (i + 1) * step));
  };
  if (kernel.packed_bytes(w.n, w.k, w.group))
    parts(w.n, kernel.n_step, [&](auto a, auto b) { kernel.pack(w, a, b, packed.data()); });
  if (kernel.prepare)
    parts(m, kernel.m_step, [&](auto a, auto b) {
      kernel.prepare(x.data(), m, w.k, w.group, a, b, workspace.data());
    });
  const bool packs = kernel.packed_bytes(w.n, w.k, w.group) != 0;
  parts(w.n, kernel.n_step, [&](auto a, auto b) {
    // x is only for those that do not prepare.
    kernel.run(w, packs ? packed.data() : nullptr, kernel.prepare ? nullptr : x.data(),
               workspace.data(), m, a, b, y.data());
  });
  packed.expect_untouched_end();
  workspace.expect_untouched_end();
  return {y.begin(), y.end()};
}

/// pack, then unpack in two parts: every code, or value, must come back, and nothing else be
/// written.
inline void expect_unpack_gives_back(const matmul::Kernel& kernel, const matmul::WeightView& view,
                                     Against side) {
  const matmul::Weights& w = view.w;
  const std::size_t bytes = kernel.packed_bytes(w.n, w.k, w.group);
  if (!bytes) {
    EXPECT_EQ(kernel.pack, nullptr);
    EXPECT_EQ(kernel.unpack, nullptr);
    return;
  }
  GuardedScratch packed(bytes, side);
  kernel.pack(w, 0, w.n, packed.data());
  packed.expect_untouched_end();
  const bool floats = view.format == matmul::Format::f32 || view.format == matmul::Format::f16;
  Guarded<std::byte> codes(w.n * w.k * (floats ? 4 : 1), side);
  const std::size_t middle = std::min(w.n, kernel.n_step);
  kernel.unpack(packed.data(), w.n, w.k, w.group, middle, w.n, codes.data());
  for (std::size_t i = 0; i < middle * w.k * (floats ? 4 : 1); ++i)
    ASSERT_EQ(codes[i], std::byte(0)) << "unpack wrote outputs that it was not asked for";
  kernel.unpack(packed.data(), w.n, w.k, w.group, 0, middle, codes.data());
  for (std::size_t n = 0; n < w.n; ++n)
    for (std::size_t k = 0; k < w.k; ++k) {
      double got;
      if (floats) {
        float f;
        std::memcpy(&f, codes.data() + (n * w.k + k) * 4, 4);
        got = f;
      } else {
        got = double(static_cast<std::int8_t>(codes[n * w.k + k]));
      }
      ASSERT_EQ(got, oracle::code_and_scale(view, n, k).code) << "output " << n << ", k " << k;
    }
}

}  // namespace qb::test
