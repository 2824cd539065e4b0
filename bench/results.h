// SPDX-License-Identifier: Apache-2.0
// Everything that a run measured, and its text in the formats that one can ask for.
#pragma once

#include <benchmark/benchmark.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "runner.h"

namespace qb::bench {

/// Rows and context in Google Benchmark's schema.
class Results {
 public:
  explicit Results(const Runner& runner);

  /// Takes over the rows and limits of an interrupted run of the same build, machine and settings,
  /// if there is a file at the path; the rows' names. Otherwise throws std::runtime_error, which
  /// says what differs or what is wrong with the file.
  std::set<std::string> resume(const std::string& path);
  void add_context(const benchmark::BenchmarkReporter::Context& context);
  /// The repetitions of one row, or their aggregates.
  void add(const std::vector<benchmark::BenchmarkReporter::Run>& runs);
  /// aggregates_only leaves out the single repetitions of rows that have aggregates; complete is
  /// recorded in the context.
  std::string text(Format format, bool aggregates_only, bool complete) const;

 private:
  /// What identifies a run beyond Google Benchmark's own context.
  void describe(nlohmann::ordered_json& context) const;
  nlohmann::ordered_json rows(bool aggregates_only) const;
  std::string json_text(bool aggregates_only, bool complete) const;
  std::string csv_text(bool aggregates_only) const;
  std::string console_text(bool aggregates_only) const;

  const Runner& runner_;
  std::ostringstream pending_;  ///< what the library's reporter has just written
  benchmark::JSONReporter json_;
  nlohmann::ordered_json context_ = nlohmann::ordered_json::object();
  nlohmann::ordered_json rows_ = nlohmann::ordered_json::array();
  nlohmann::ordered_json limits_before_ = nlohmann::ordered_json::object();  ///< of a resumed run
  std::optional<benchmark::BenchmarkReporter::Context> console_context_;
  std::vector<std::vector<benchmark::BenchmarkReporter::Run>> console_runs_;
};

}  // namespace qb::bench
