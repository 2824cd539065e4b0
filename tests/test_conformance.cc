// SPDX-License-Identifier: Apache-2.0
// The conformance pass: it has one for every operation, finds nothing wrong with any variant that
// runs here, and reports a fault instead of dying of it.
#include "conformance.h"

#include <gtest/gtest.h>

#include <csignal>
#include <string>
#include <vector>

#include "absmax/absmax.h"
#include "catalog.h"
#include "fault.h"
#include "support/guarded.h"

namespace {

TEST(Conformance, EveryVariantPasses) {
  for (const qb::Variant* v : qb::all_variants())
    if (v->refusal().empty()) {
      EXPECT_EQ(qb::verify::conformance(*v), "") << v->op << "/" << v->name;
    }
}

/// Stores one float too many.
void writes_on(const float* x, std::size_t groups, std::size_t len, float* out) {
  qb::absmax::absmax_f32_scalar(x, groups, len, out);
  if (groups) *const_cast<volatile float*>(out + groups) = 0;
}

TEST(Conformance, AStoreBehindTheEndIsFound) {
  const qb::Variant v = {"absmax_f32", "writes_on", qb::Arch::any, qb::isa::baseline,
                         reinterpret_cast<const void*>(&writes_on)};
  EXPECT_EQ(qb::verify::conformance(v).substr(0, 35), "touches memory outside its arrays (");
  EXPECT_EQ(qb::verify::conformance(v).substr(0, 35), "touches memory outside its arrays (");
}

TEST(Conformance, UnknownOperationsDoNotPass) {
  const qb::Variant v = {"abacus", "scalar", qb::Arch::any, qb::isa::baseline, &v};
  EXPECT_EQ(qb::verify::conformance(v), "no conformance pass for abacus");
}

TEST(Fault, HandlersArePutBack) {
  struct sigaction before = {}, after = {};
  sigaction(SIGSEGV, nullptr, &before);
  const qb::test::Guarded<char> x(std::size_t{5});
  const volatile char* const p = x.data();
  EXPECT_EQ(qb::verify::fault_of([] {}), "");
  EXPECT_NE(qb::verify::fault_of([=] { (void)p[5]; }), "");
  sigaction(SIGSEGV, nullptr, &after);
  EXPECT_EQ(before.sa_sigaction, after.sa_sigaction);
  constexpr int kRestorer = 0x04000000;  // which the C library adds to whatever it sets
  EXPECT_EQ(before.sa_flags | kRestorer, after.sa_flags | kRestorer);
}

TEST(Fault, ReadOnlyElementsAreNotWritten) {
  qb::test::Guarded<char> x(std::size_t{5}), none(std::size_t{0});
  x[0] = 1;
  x.make_read_only();
  none.make_read_only();
  volatile char* const p = x.data();
  EXPECT_EQ(qb::verify::fault_of([=] { (void)p[0]; }), "");
  EXPECT_NE(qb::verify::fault_of([=] { p[0] = 2; }), "");
}

}  // namespace
