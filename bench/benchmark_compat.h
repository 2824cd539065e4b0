// SPDX-License-Identifier: Apache-2.0
// Google Benchmark from 1.7.1 to the current one: the few places where their interfaces differ.
//
// The library tells no version to the preprocessor, so each difference is found from the type that
// has it. Nothing else in bench/ asks which version it is compiled with.
#pragma once

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace qb::bench::compat {

/// 1.8 replaced `error_occurred` and `error_message` by `skipped` and `skip_message`.
template <class Run>
concept HasSkipped = requires(const Run& run) {
  run.skipped;
};
inline constexpr bool kSince1_8 = HasSkipped<benchmark::BenchmarkReporter::Run>;

/// What the row's State::SkipWithError said; empty if the row was timed.
template <class Run>
std::string error_of(const Run& run) {
  if constexpr (HasSkipped<Run>) {
    return run.skipped != decltype(run.skipped){} ? run.skip_message : std::string{};
  } else {
    return run.error_occurred ? run.error_message : std::string{};
  }
}

/// One command-line flag as this version reads it. --benchmark_min_time is a bare number of seconds
/// up to 1.7; since then it has the suffix 's', and a bare number draws a message for every row.
/// Both spellings are accepted here; any other value throws std::invalid_argument, where 1.8 and
/// later would abort.
inline std::string flag(const std::string& argument) {
  const std::string name = "--benchmark_min_time=";
  if (argument.rfind(name, 0) != 0) return argument;
  std::string value = argument.substr(name.size());
  if (!value.empty() && value.back() == 's') value.pop_back();
  char* end = nullptr;
  const double seconds = std::strtod(value.c_str(), &end);
  if (value.empty() || *end || !std::isfinite(seconds) || seconds < 0)
    throw std::invalid_argument(argument + ": expected seconds, as in 0.5 or 0.5s");
  return name + value + (kSince1_8 ? "s" : "");
}

}  // namespace qb::bench::compat
