// SPDX-License-Identifier: Apache-2.0
// How a check says what it found: it throws a Failure at the first thing that is wrong. In a test
// that fails the test, with the failure's text; the benchmark's conformance pass refuses the
// variant with it (conformance.h). So checks need no test framework, and both run the same ones.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace qb::test {

class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Throws a Failure; its text is all parts one after the other, floats to the last digit.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::ostringstream text;
  text.precision(9);
  (text << ... << parts);
  throw Failure(text.str());
}

/// How much a check tries. thorough: everything, for tests. brief: what tells the usual mistakes,
/// in milliseconds, before a variant is timed.
enum class Effort { thorough, brief };

}  // namespace qb::test
