// SPDX-License-Identifier: Apache-2.0
// The C interface under what a C program may hand it: every mistake is a status and a message, and
// nothing is written. What it computes is compared with plain C by tests/build/installed/gemv.c.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "quantbench/formats.h"
#include "quantbench/quantbench.h"

namespace {

constexpr std::size_t kMost = ~std::size_t{0};
constexpr std::size_t kOutputs = 4, kInputs = 256, kGroup = 32;

/// What a refused call says; the status if it is another one.
std::string refusal(quantbench_status status) {
  return status == QUANTBENCH_BAD_ARGUMENT ? quantbench_last_error()
                                           : "status " + std::to_string(status);
}
void expect_refused(quantbench_status status, const std::string& says) {
  const std::string why = refusal(status);
  EXPECT_NE(why.find(says), why.npos) << why;
}

struct Free {
  void operator()(quantbench_weights* weights) const { quantbench_free(weights); }
};
using Weights = std::unique_ptr<quantbench_weights, Free>;

/// A matrix of one format, and what a caller keeps of it.
struct Matrix {
  std::string format;
  std::size_t n, k;
  std::vector<float> w;
  std::vector<std::byte> values, scales;

  Matrix(std::string name, std::size_t outputs, std::size_t inputs)
      : format(std::move(name)), n(outputs), k(inputs), w(n * k) {
    for (std::size_t i = 0; i < w.size(); ++i) w[i] = float(int(i % 17) - 8);
    std::size_t values_bytes = 0, scales_bytes = 0;
    EXPECT_EQ(quantbench_sizes(format.c_str(), n, k, kGroup, &values_bytes, &scales_bytes),
              QUANTBENCH_OK)
        << quantbench_last_error();
    values.resize(values_bytes);
    scales.resize(scales_bytes);
    EXPECT_EQ(quantize(), QUANTBENCH_OK) << quantbench_last_error();
  }
  quantbench_status quantize() {
    return quantbench_quantize(format.c_str(), w.data(), n, k, kGroup, values.data(), values.size(),
                               scales.data(), scales.size());
  }
  quantbench_status pack(quantbench_weights** out, const char* arithmetic = "a32", int threads = 1,
                         const char* variant = nullptr, std::size_t expected_m = 1) const {
    return quantbench_pack(format.c_str(), values.data(), values.size(), scales.data(),
                           scales.size(), n, k, kGroup, arithmetic, variant, threads, expected_m,
                           out);
  }
  Weights packed(const char* arithmetic = "a32") const {
    quantbench_weights* out = nullptr;
    EXPECT_EQ(pack(&out, arithmetic), QUANTBENCH_OK) << quantbench_last_error();
    return Weights(out);
  }
};

TEST(CInterface, NullIsRefused) {
  std::size_t bytes = 7;
  expect_refused(quantbench_sizes(nullptr, 1, 32, 0, &bytes, &bytes), "'format' is NULL");
  expect_refused(quantbench_sizes("q4_0", 1, 32, 0, nullptr, &bytes), "'values_bytes' is NULL");
  expect_refused(quantbench_sizes("q4_0", 1, 32, 0, &bytes, nullptr), "'scales_bytes' is NULL");
  EXPECT_EQ(bytes, 7u);
  const Matrix q("q4_0", kOutputs, kInputs);
  std::vector<float> w(q.w.size());
  expect_refused(quantbench_dequantize("q4_0", nullptr, q.values.size(), nullptr, 0, kOutputs,
                                       kInputs, 0, w.data()),
                 "'values' is NULL");
  expect_refused(quantbench_dequantize("q4_0", q.values.data(), q.values.size(), nullptr, 0,
                                       kOutputs, kInputs, 0, nullptr),
                 "'w' is NULL");
  expect_refused(q.pack(nullptr), "'weights' is NULL");
  quantbench_weights* out = nullptr;
  expect_refused(q.pack(&out, nullptr), "'arithmetic' is NULL");
  const Weights packed = q.packed();
  expect_refused(quantbench_matmul(packed.get(), nullptr, 1, w.data(), 1), "'x' is NULL");
  expect_refused(quantbench_matmul(packed.get(), w.data(), 1, nullptr, 1), "'y' is NULL");
  EXPECT_STREQ(quantbench_variant(nullptr), "");
  EXPECT_EQ(quantbench_format_name(quantbench_format_count()), nullptr);
  EXPECT_EQ(out, nullptr);
}

TEST(CInterface, NamesAreRefused) {
  std::size_t bytes;
  expect_refused(quantbench_sizes("", 1, 32, 0, &bytes, &bytes), "no format ''; there are: f32, ");
  expect_refused(quantbench_sizes("Q4_0", 1, 32, 0, &bytes, &bytes), "no format 'Q4_0'");
  const Matrix q("q4_0", kOutputs, kInputs);
  quantbench_weights* out = nullptr;
  expect_refused(q.pack(&out, "f16"), "no arithmetic 'f16'; there are: a32, a8, abf16");
  expect_refused(q.pack(&out, "a32", 1, "abacus"), "no variant 'abacus'");
  EXPECT_EQ(out, nullptr);
}

/// Sizes that wrap around would agree with arrays that are far too short.
TEST(CInterface, SizesBeyondMemoryAreRefused) {
  for (std::size_t f = 0; f < quantbench_format_count(); ++f) {
    const char* const format = quantbench_format_name(f);
    for (const std::size_t k : {kMost - kMost % 256, kMost / 2 + 1, kMost / 4 + 1}) {
      SCOPED_TRACE(std::string(format) + ", k " + std::to_string(k));
      std::size_t values_bytes = 7, scales_bytes = 7;
      expect_refused(quantbench_sizes(format, 1, k, kGroup, &values_bytes, &scales_bytes),
                     "too large");
      EXPECT_EQ(values_bytes, 7u);
      EXPECT_EQ(scales_bytes, 7u);
      float w = 0;
      expect_refused(quantbench_quantize(format, &w, 1, k, kGroup, &w, 0, &w, 0), "too large");
      expect_refused(quantbench_dequantize(format, &w, 0, &w, 0, 1, k, kGroup, &w), "too large");
      quantbench_weights* out = nullptr;
      expect_refused(
          quantbench_pack(format, &w, 0, &w, 0, 1, k, kGroup, "a32", nullptr, 1, 1, &out),
          "too large");
    }
    std::size_t bytes;
    expect_refused(quantbench_sizes(format, kMost, 256, kGroup, &bytes, &bytes), "too large");
  }
  const Matrix q("q4_0", kOutputs, kInputs);
  const Weights packed = q.packed();
  float y = 0;
  expect_refused(quantbench_matmul(packed.get(), q.w.data(), kMost / 2, &y, 1), "too large");
}

TEST(CInterface, WrongSizesAreRefused) {
  Matrix q("q4_0", kOutputs, kInputs);
  const std::vector<std::byte> before = q.values;
  quantbench_weights* out = nullptr;
  q.values.pop_back();
  expect_refused(q.quantize(), "'values' has 575 elements, expected 576");
  expect_refused(q.pack(&out), "'values' has 575 elements, expected 576");
  q.values.push_back(before.back());
  EXPECT_EQ(q.values, before);
  float scale = 0;
  expect_refused(quantbench_pack("q4_0", q.values.data(), q.values.size(), &scale, 4, q.n, q.k, 0,
                                 "a32", nullptr, 1, 1, &out),
                 "'scales' has 4 elements, expected 0");
  expect_refused(quantbench_pack("s8g", q.values.data(), q.values.size(), &scale, 4, 1, 48, 48,
                                 "a32", nullptr, 1, 1, &out),
                 "'group' = 48 is none of 32, 64");
  EXPECT_EQ(out, nullptr);
}

TEST(CInterface, MisalignedMemoryIsRefused) {
  for (std::size_t f = 0; f < quantbench_format_count(); ++f) {
    const qb::FormatInfo& row = qb::kFormats[f];
    const Matrix q(std::string(row.name), kOutputs, kInputs);
    std::vector<std::byte> values(q.values.size() + 1), scales(q.scales.size() + 1);
    std::vector<float> w(q.w.size());
    SCOPED_TRACE(q.format);
    quantbench_weights* out = nullptr;
    const auto at = [&](std::size_t value, std::size_t scale) {
      std::vector<std::string> said;
      std::byte *v = values.data() + value, *s = scales.data() + scale;
      const std::size_t vs = q.values.size(), ss = q.scales.size();
      const char* const name = q.format.c_str();
      said.push_back(
          refusal(quantbench_quantize(name, q.w.data(), q.n, q.k, kGroup, v, vs, s, ss)));
      said.push_back(
          refusal(quantbench_dequantize(name, v, vs, s, ss, q.n, q.k, kGroup, w.data())));
      said.push_back(refusal(
          quantbench_pack(name, v, vs, s, ss, q.n, q.k, kGroup, "a32", nullptr, 1, 1, &out)));
      return said;
    };
    if (row.alignment() > 1) {
      for (const std::string& why : at(1, 0))
        EXPECT_NE(why.find("'values' is not aligned to "), why.npos) << why;
    }
    if (row.scale_bytes() > 1) {
      for (const std::string& why : at(0, 1))
        EXPECT_NE(why.find("'scales' is not aligned to "), why.npos) << why;
    }
    EXPECT_EQ(out, nullptr);
  }
}

TEST(CInterface, OverlapsAreRefused) {
  Matrix q("f32", kOutputs, kInputs);
  expect_refused(quantbench_quantize("f32", q.w.data(), q.n, q.k, 0, q.w.data() + 1,
                                     q.values.size(), nullptr, 0),
                 "'w' and 'values' overlap");
  Matrix s8("s8", kOutputs, kInputs);
  expect_refused(quantbench_quantize("s8", s8.w.data(), s8.n, s8.k, 0, s8.values.data(),
                                     s8.values.size(), s8.values.data(), s8.scales.size()),
                 "'values' and 'scales' overlap");
  const Weights packed = q.packed();
  std::vector<float> x(2 * kInputs);
  expect_refused(quantbench_matmul(packed.get(), x.data(), 2, x.data(), 1), "'x' and 'y' overlap");
}

TEST(CInterface, ThreadsAreFromOneToThousands) {
  const Matrix q("q4_0", kOutputs, kInputs);
  const Weights packed = q.packed();
  std::vector<float> y(kOutputs);
  for (const int threads : {0, -1, 4097, std::numeric_limits<int>::max()}) {
    quantbench_weights* out = nullptr;
    const std::string says = "'threads' = " + std::to_string(threads) + " is not from 1 to 4096";
    expect_refused(q.pack(&out, "a32", threads), says);
    expect_refused(quantbench_matmul(packed.get(), q.w.data(), 1, y.data(), threads), says);
    EXPECT_EQ(out, nullptr);
  }
  EXPECT_EQ(quantbench_matmul(packed.get(), q.w.data(), 1, y.data(), 16), QUANTBENCH_OK);
}

/// As Python's multiprocessing forks. Without care OpenMP waits for threads that the child has not.
TEST(CInterface, AForkedChildHasThreads) {
  const Matrix q("q4_0", kOutputs, kInputs);
  const Weights packed = q.packed();
  std::vector<float> y(kOutputs), again(kOutputs);
  ASSERT_EQ(quantbench_matmul(packed.get(), q.w.data(), 1, y.data(), 2), QUANTBENCH_OK);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(20);
    quantbench_weights* out = nullptr;
    const bool right = q.pack(&out, "a32", 2) == QUANTBENCH_OK &&
                       quantbench_matmul(out, q.w.data(), 1, again.data(), 2) == QUANTBENCH_OK &&
                       again == y;
    _exit(right ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0)
      << (WIFSIGNALED(status) ? "it hangs" : "its product is another one");
}

TEST(CInterface, NothingIsNoError) {
  for (std::size_t f = 0; f < quantbench_format_count(); ++f) {
    const char* const format = quantbench_format_name(f);
    SCOPED_TRACE(format);
    for (const auto& [n, k] : {std::pair<std::size_t, std::size_t>{0, 0}, {0, kInputs}, {2, 0}}) {
      const Matrix q(format, n, k);
      std::vector<float> x(3 * k), y(3 * n + 1, 7.0f);
      const Weights packed = q.packed();
      ASSERT_TRUE(packed);
      EXPECT_EQ(quantbench_matmul(packed.get(), x.data(), 3, y.data(), 2), QUANTBENCH_OK)
          << quantbench_last_error();
      for (std::size_t i = 0; i < 3 * n; ++i) EXPECT_EQ(y[i], 0.0f);
      EXPECT_EQ(y.back(), 7.0f);
      EXPECT_EQ(quantbench_matmul(packed.get(), nullptr, 0, nullptr, 1), QUANTBENCH_OK)
          << quantbench_last_error();
    }
  }
}

TEST(CInterface, ValuesThatCantBeQuantizedAreNamed) {
  Matrix q("q4_0", kOutputs, kInputs);
  q.w[kInputs + 3] = std::numeric_limits<float>::quiet_NaN();
  expect_refused(q.quantize(), "row 1: ");
  const Weights packed = q.packed("a8");
  std::vector<float> y(kOutputs, 7.0f);
  expect_refused(quantbench_matmul(packed.get(), q.w.data() + kInputs, 1, y.data(), 1),
                 "'x'[3] is NaN");
  EXPECT_EQ(y, std::vector<float>(kOutputs, 7.0f));
}

TEST(CInterface, EachThreadHasItsOwnError) {
  std::size_t bytes;
  EXPECT_NE(quantbench_sizes("here", 1, 32, 0, &bytes, &bytes), QUANTBENCH_OK);
  std::string before, after;
  std::thread([&] {
    before = quantbench_last_error();
    quantbench_sizes("there", 1, 32, 0, &bytes, &bytes);
    after = quantbench_last_error();
  }).join();
  EXPECT_EQ(before, "");
  EXPECT_NE(after.find("'there'"), after.npos) << after;
  const std::string here = quantbench_last_error();
  EXPECT_NE(here.find("'here'"), here.npos) << here;
  EXPECT_EQ(quantbench_sizes("f32", 1, 32, 0, &bytes, &bytes), QUANTBENCH_OK);
  EXPECT_EQ(quantbench_last_error(), here) << "success keeps the last failure's text";
}

}  // namespace
