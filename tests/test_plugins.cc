// SPDX-License-Identifier: Apache-2.0
// Child processes that try loaded kernels. What is loaded, and what a run makes of it, is tested on
// the program: tests/plugins/.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "absmax/absmax.h"
#include "catalog.h"
#include "plugins/call.h"
#include "plugins/child.h"
#include "plugins/plugins.h"
#include "plugins/traced.h"

namespace qb::plugins {
namespace {

using std::chrono::milliseconds;

constexpr Signature kSignature = {"run", {"m", "n"}};
constexpr Signature kArray = {"", {"groups", "len"}};

TEST(InChild, ReturnsWhatTheBodyFinds) {
  EXPECT_EQ(in_child([] { return std::string(); }, {}), "");
  EXPECT_EQ(in_child([] { return std::string("y[3] is 0"); }, {}), "y[3] is 0");
  EXPECT_EQ(in_child([]() -> std::string { throw std::runtime_error("thrown"); }, {}), "thrown");
}

TEST(InChild, CutsALongFinding) {
  const std::string found = in_child([] { return std::string(100000, 'x'); }, {});
  EXPECT_EQ(found.find_first_not_of('x'), found.npos);
  EXPECT_GT(found.size(), 1000u);
}

TEST(InChild, ChangesNothingHere) {
  int here = 1;
  in_child(
      [&] {
        here = 2;
        return std::string();
      },
      {});
  EXPECT_EQ(here, 1);
}

TEST(InChild, NamesTheCallThatCrashed) {
  const std::string found = in_child(
      []() -> std::string {
        { const Call before(kSignature, std::size_t{7}, std::size_t{7}); }
        const Call call(kSignature, std::size_t{3}, std::size_t{5});
        std::abort();
      },
      {});
  EXPECT_EQ(found, "crash: SIGABRT in run with m 3, n 5");
}

TEST(InChild, SaysThatTheProcessEnded) {
  const std::string found = in_child(
      []() -> std::string {
        const Call call(kArray, std::size_t{1}, std::size_t{9});
        _exit(3);
      },
      {});
  EXPECT_EQ(found, "exit: the process ended with status 3 with groups 1, len 9");
}

TEST(InChild, EndsACallThatDoesNotReturn) {
  TimeLimits limits;
  limits.call = milliseconds(100);
  const std::string found = in_child(
      []() -> std::string {
        const Call call(kSignature, std::size_t{2}, std::size_t{4});
        for (;;) usleep(1000);
      },
      limits);
  EXPECT_EQ(found, "hang: no return within 0.1 s in run with m 2, n 4");
}

TEST(InChild, EndsABodyThatDoesNotReturn) {
  const TimeLimits limits = {milliseconds(5000), milliseconds(200)};
  const std::string found = in_child(
      []() -> std::string {
        for (;;) usleep(1000);
      },
      limits);
  EXPECT_EQ(found, "hang: no return within 0.2 s");
}

/// Many short calls are no long one.
TEST(InChild, TimesEachCallAlone) {
  TimeLimits limits;
  limits.call = milliseconds(200);
  const std::string found = in_child(
      [] {
        for (std::size_t i = 0; i < 10; ++i) {
          const Call call(kSignature, i, i);
          usleep(40000);
        }
        return std::string();
      },
      limits);
  EXPECT_EQ(found, "");
}

TEST(Traced, CallsTheKernelBehindIt) {
  const Variant& scalar = absmax::f32.named("scalar");
  auto* const kernel = reinterpret_cast<absmax::absmax_f32_fn*>(
      const_cast<void*>(traced("absmax_f32", scalar.impl)));
  EXPECT_NE(reinterpret_cast<const void*>(kernel), scalar.impl);
  const float x[] = {1, -4, 2};
  float y = 0;
  kernel(x, 1, 3, &y);
  EXPECT_EQ(y, 4);
}

/// A new operation needs its sizes' names in plugins/traced.cc.
TEST(Traced, KnowsEveryOperation) {
  for (const Variant* v : all_variants())
    if (v->impl) {
      EXPECT_NE(traced(v->op, v->impl), v->impl) << v->op;
    }
}

TEST(Loaded, OursAreNone) {
  for (const Variant* v : all_variants()) EXPECT_EQ(as_loaded(v), nullptr) << v->op << v->name;
}

}  // namespace
}  // namespace qb::plugins
