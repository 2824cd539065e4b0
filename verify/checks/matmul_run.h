// SPDX-License-Identifier: Apache-2.0
// One run of a kernel record with guard pages around everything that it may touch.
#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "checks/failure.h"
#include "checks/matmul_weights.h"
#include "oracle/matmul.h"

namespace qb::test {

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
      if (memory_[i] != std::byte(0xa5)) fail("written ", i - bytes_, " bytes past the end");
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

inline std::string shape_text(const matmul::Weights& w) {
  return "; n " + std::to_string(w.n) + ", k " + std::to_string(w.k) + ", group " +
         std::to_string(w.group);
}

/// Weights and their codes by the oracle.
struct PackingCase {
  explicit PackingCase(TestWeights w) : weights(std::move(w)) {
    const matmul::WeightView& view = weights.view();
    for (std::size_t n = 0; n < view.w.n; ++n)
      for (std::size_t k = 0; k < view.w.k; ++k)
        codes.push_back(float(oracle::code_and_scale(view, n, k).code));
  }

  TestWeights weights;
  std::vector<float> codes;  ///< exact: of int8, or values of weights that are floats
};

/// pack, then unpack in two parts: every code, or value, must come back, and nothing else be
/// written. rounded: what a value that is packed becomes; codes are packed as they are.
inline void expect_unpack_gives_back(const matmul::Kernel& kernel, const PackingCase& c,
                                     Against side, double (*rounded)(double)) {
  const matmul::WeightView& view = c.weights.view();
  const matmul::Weights& w = view.w;
  const std::size_t bytes = kernel.packed_bytes(w.n, w.k, w.group);
  if (!bytes) {
    if (kernel.pack || kernel.unpack) fail("packs, but into no bytes");
    return;
  }
  GuardedScratch packed(bytes, side);
  kernel.pack(w, 0, w.n, packed.data());
  packed.expect_untouched_end();
  const bool floats = info(view.format).is_float();
  Guarded<std::byte> codes(w.n * w.k * (floats ? 4 : 1), side);
  const std::size_t middle = std::min(w.n, kernel.n_step);
  kernel.unpack(packed.data(), w.n, w.k, w.group, middle, w.n, codes.data());
  for (std::size_t i = 0; i < middle * w.k * (floats ? 4 : 1); ++i)
    if (codes[i] != std::byte(0)) fail("unpack wrote outputs that it was not asked for");
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
      const double code = c.codes[n * w.k + k];
      const double want = floats ? rounded(code) : code;
      if (got != want)
        fail("unpack of output ", n, ", k ", k, " gives ", got, ", expected ", want, shape_text(w));
    }
}

}  // namespace qb::test
