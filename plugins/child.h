// SPDX-License-Identifier: Apache-2.0
// Running code that may crash or never return, in a child process.
#pragma once

#include <chrono>
#include <functional>
#include <string>

namespace qb::plugins {

struct TimeLimits {
  std::chrono::milliseconds call = std::chrono::seconds(20);   ///< of one recorded call (call.h)
  std::chrono::milliseconds whole = std::chrono::minutes(10);  ///< of everything
};

/// Runs `body` in a forked child and returns what it returned or threw, empty if it has nothing to
/// say. If the child crashed, ended by itself or ran into a limit, the text says so, and which call
/// of a loaded kernel was under way.
///
/// fork() copies only the calling thread. Where this process has OpenMP teams already, `body` must
/// not ask for one: it would wait for threads that the child does not have.
std::string in_child(const std::function<std::string()>& body, const TimeLimits& limits);

}  // namespace qb::plugins
