// SPDX-License-Identifier: Apache-2.0
// What a run shows: a line per row with progress, and the table and conclusion at the end.
#pragma once

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "final_table.h"
#include "results.h"
#include "results_file.h"
#include "runner.h"

namespace qb::bench {

/// Thrown when a run ends early: at a signal, or because its output can not be written.
struct Stopped {
  int exit_status;
};

/// Collects the results, keeps the file up to date, and shows both.
class Reporter : public benchmark::BenchmarkReporter {
 public:
  /// total: rows that will run; file may be null.
  Reporter(Runner& runner, std::size_t total, Results& results, ResultsFile* file);
  bool ReportContext(const Context& context) override;
  /// Throws Stopped.
  void ReportRuns(const std::vector<Run>& runs) override;
  void Finalize() override;
  /// Says that the run ends early and why, and writes what there is.
  void end_early(const std::string& why);
  ExitStatus exit_status() const;

 private:
  /// Takes the row's speed-up from the times that are shown, its own and the scalar row's, so that
  /// it is the ratio of their medians. The runner had only its own clock.
  void compare_with_scalar(std::vector<Run>& runs);
  void take(const std::vector<Run>& runs);
  void take_failure(const std::string& name, const std::string& error);
  void print_line(const RowFigures& row) const;
  void print_results(bool complete) const;
  bool for_people() const { return runner_.options().display == Format::console; }

  Runner& runner_;
  std::size_t total_;
  Results& results_;
  ResultsFile* file_;
  std::vector<RowFigures> rows_;
  std::vector<std::string> failed_;
  std::size_t done_ = 0;
  std::size_t wrong_ = 0;   ///< rows whose kernel's result is wrong
  std::size_t unable_ = 0;  ///< rows that could not run
  double begin_ = 0;
};

}  // namespace qb::bench
