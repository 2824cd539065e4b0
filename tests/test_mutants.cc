// SPDX-License-Identifier: Apache-2.0
// Real kernels, each with one small mistake of the kind that kernels have, must fail the gate on
// the mean squared error at every length. The rigorous bound alone misses most of them, since it
// grows with K.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "checks/matmul.h"
#include "matmul/matmul.h"

namespace {

using namespace qb::matmul;
using namespace qb::test;
using qb::BlockQ8_0;
using qb::kBlock;

/// What a mutant changes in the inputs of the real kernel, and in its outputs.
struct Mutant {
  const char* name;
  void (*weights)(std::vector<BlockQ8_0>& blocks, std::size_t n, std::size_t k) = nullptr;
  void (*activations)(std::vector<float>& x) = nullptr;
  void (*outputs)(float* y, std::size_t n) = nullptr;
};

const Kernel* real;
const Mutant* mutant;

/// The canonical weights as the mutant takes them.
struct ChangedWeights {
  std::vector<BlockQ8_0> blocks;
  Weights w;
  explicit ChangedWeights(const Weights& from) : w(from) {
    const auto* const first = static_cast<const BlockQ8_0*>(from.values);
    blocks.assign(first, first + from.n * from.k / kBlock);
    if (mutant->weights) mutant->weights(blocks, from.n, from.k);
    w.values = blocks.data();
  }
};

std::vector<float> changed_activations(const void* x, std::size_t m, std::size_t k) {
  const auto* const first = static_cast<const float*>(x);
  std::vector<float> changed(first, first + m * k);
  if (mutant->activations) mutant->activations(changed);
  return changed;
}

/// The real kernel's record; its functions call the real ones and add the mistake.
Kernel changed_record() {
  Kernel kernel = *real;
  if (kernel.pack)
    kernel.pack = [](const Weights& w, std::size_t n0, std::size_t n1, void* packed) {
      real->pack(ChangedWeights(w).w, n0, n1, packed);
    };
  if (kernel.prepare)
    kernel.prepare = [](const void* x, std::size_t m, std::size_t k, std::size_t group,
                        std::size_t m0, std::size_t m1, void* workspace) {
      real->prepare(changed_activations(x, m, k).data(), m, k, group, m0, m1, workspace);
    };
  kernel.run = [](const Weights& w, const void* packed, const void* x, const void* workspace,
                  std::size_t m, std::size_t n0, std::size_t n1, void* y) {
    const ChangedWeights changed(w);
    std::vector<float> xs;
    if (x) xs = changed_activations(x, m, w.k);
    real->run(changed.w, packed, x ? xs.data() : nullptr, workspace, m, n0, n1, y);
    if (mutant->outputs) mutant->outputs(static_cast<float*>(y), w.n);
  };
  return kernel;
}

constexpr Mutant kNone{"unchanged"};
constexpr Mutant kMutants[] = {
    {"last element dropped",
     [](std::vector<BlockQ8_0>& blocks, std::size_t, std::size_t k) {
       for (std::size_t last = k / kBlock - 1; last < blocks.size(); last += k / kBlock)
         blocks[last].qs[kBlock - 1] = 0;
     }},
    {"a row's scale off by 1e-4", nullptr, nullptr,
     [](float* y, std::size_t n) {
       for (std::size_t j = 0; j < n; ++j) y[j] *= 1.0001f;
     }},
    {"two outputs swapped", nullptr, nullptr,
     [](float* y, std::size_t n) { std::swap(y[n - 2], y[n - 1]); }},
    {"one block's scale is its neighbour's",
     [](std::vector<BlockQ8_0>& blocks, std::size_t, std::size_t k) {
       const std::size_t at = 3 * (k / kBlock) + 5;
       blocks[at].d = blocks[at + (blocks[at + 1].d != blocks[at].d ? 1 : 2)].d;
     }},
};

/// Rounds halves to even where q8_0 rounds them away from zero. In a block whose scale is 1 these
/// are the activations n + 1/2.
constexpr Mutant kTiesToEven{"ties to even", nullptr, [](std::vector<float>& x) {
                               for (float& v : x)
                                 if (std::fabs(v - std::trunc(v)) == 0.5f) v = std::nearbyint(v);
                             }};
/// Away from zero where bf16 rounds to even.
constexpr Mutant kTiesAway{"ties away from zero", nullptr, [](std::vector<float>& x) {
                             for (float& v : x) {
                               std::uint32_t bits;
                               std::memcpy(&bits, &v, sizeof bits);
                               if ((bits & 0xffff) == 0x8000) v *= 1.000001f;
                             }
                           }};

/// Ordinary values, some of them ties. Each block's largest is 127, so that its scale is 1, and a
/// whole number and a half a tie; of nine significant bits, the last one set, it is one of bf16
/// too.
std::vector<float> activations_with_ties(std::size_t count) {
  std::vector<float> x = normal_values(count, 5);
  for (std::size_t i = 0; i < count; ++i) {
    x[i] = std::fmax(std::fmin(x[i] * 40.0f, 126.0f), -126.0f);
    const std::size_t turn = i / 64;
    if (i % 32 == 0) x[i] = 127.0f;
    if (i % 64 == 9) x[i] = float(turn % 63 * 2) + 0.5f;
    if (i % 64 == 7) x[i] = -float(257 + turn % 100 * 2) / 4.0f;
  }
  return x;
}

struct Found {
  bool by_bound = false, by_gate = false;
  double nmse = 0;
};

template <class A>
Found look(const Kernel& kernel, const Mutant& m, const TestWeights& w, const std::vector<float>& x,
           std::size_t rows) {
  real = &kernel;
  mutant = &m;
  const std::vector<float> y = multiply(changed_record(), w.view(), x, rows, Against::end, false);
  const Expected<A> expected(w.view(), x, rows);
  Found found;
  try {
    expected.within_bound(y);
  } catch (const Failure&) {
    found.by_bound = true;
  }
  const qb::oracle::RoundingError error = expected.error(y);
  found.by_gate = error.exceeded();
  found.nmse = error.nmse();
  return found;
}

template <class A>
void expect_found(std::initializer_list<const Mutant*> ties) {
  const auto& op = operation(A::kArithmetic, Format::q8_0);
  std::vector<const Mutant*> mutants(ties);
  for (const Mutant& m : kMutants) mutants.push_back(&m);
  for (const qb::Variant* v : {&op.named("scalar"), &op.best()})
    for (const std::size_t k : {512, 4096, 11008}) {
      constexpr std::size_t kRows = 3, kOutputs = 40;
      const TestWeights w(Format::q8_0, kOutputs, k, 32, 21, Codes::any, Against::end,
                          Scales::ordinary);
      const std::vector<float> x = activations_with_ties(kRows * k);
      const Kernel& kernel = *op.kernel(*v);
      const std::string where =
          std::string(v->op) + "/" + std::string(v->name) + ", K " + std::to_string(k) + ": ";
      const Found sound = look<A>(kernel, kNone, w, x, kRows);
      EXPECT_FALSE(sound.by_bound || sound.by_gate) << where << "NMSE " << sound.nmse;
      for (const Mutant* m : mutants) {
        const Found found = look<A>(kernel, *m, w, x, kRows);
        EXPECT_TRUE(found.by_gate) << where << m->name << ", NMSE " << found.nmse;
      }
    }
}

// a32 rounds no factor, so no tie is its own.
TEST(Mutants, OfA32AreFound) { expect_found<A32>({}); }
TEST(Mutants, OfA8AreFound) { expect_found<A8>({&kTiesToEven}); }
TEST(Mutants, OfAbf16AreFound) { expect_found<Abf16>({&kTiesAway}); }

}  // namespace
