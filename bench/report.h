// What a run shows and keeps: a line per row with progress, the table at the end, and the JSON
// file.
#pragma once

#include <benchmark/benchmark.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "runner.h"

namespace qb::bench {

/// A results file in Google Benchmark's schema: written beside and renamed, again and again while
/// the run goes on, so that an interrupted run leaves a valid file with the rows it had.
class ResultsFile {
 public:
  /// Throws std::runtime_error, naming the path and the reason, if it can't be written.
  ResultsFile(std::string path, const Runner& runner);
  /// Takes over the rows of the file at the path, if there is one, from an interrupted run of the
  /// same build, machine and settings; their names. Throws std::runtime_error, saying what differs
  /// or what is wrong with the file, otherwise.
  std::set<std::string> resume();
  bool ReportContext(const benchmark::BenchmarkReporter::Context& context);
  void ReportRuns(const std::vector<benchmark::BenchmarkReporter::Run>& runs);
  /// Writes what there is now; `complete` is recorded in the context.
  void write(bool complete);

 private:
  /// What identifies a run beyond Google Benchmark's own context.
  void describe(nlohmann::ordered_json& context) const;

  std::string path_;
  const Runner& runner_;
  std::ostringstream text_;
  benchmark::JSONReporter json_;
  nlohmann::ordered_json kept_ = nlohmann::ordered_json::array();  ///< rows of the resumed run
  double written_at_ = 0;
};

/// The display: forwards to the results file too.
class Reporter : public benchmark::BenchmarkReporter {
 public:
  /// total: rows that will run; file may be null; display, if given, replaces the lines (the user's
  /// --benchmark_format).
  Reporter(const Runner& runner, std::size_t total, ResultsFile* file,
           std::unique_ptr<benchmark::BenchmarkReporter> display);
  bool ReportContext(const Context& context) override;
  void ReportRuns(const std::vector<Run>& runs) override;
  void Finalize() override;
  std::size_t failures() const { return failures_; }

 private:
  struct Row {
    const Case* c;
    double bytes, items, ops, percent, speedup, vs_peer, error;
    bool over;
    std::string error_name;
    std::string rival;  ///< the peer that `vs_peer` is about
  };
  void print_line(const Row& row);
  void print_table() const;
  std::string size_class(const Case& c) const;

  const Runner& runner_;
  std::size_t total_;
  ResultsFile* file_;
  std::unique_ptr<benchmark::BenchmarkReporter> display_;
  std::vector<Row> rows_;
  std::vector<std::string> failed_;
  std::size_t done_ = 0, failures_ = 0;
  double begin_ = 0;
};

/// --list: every operation and variant, the instruction sets needed, and whether it runs here.
void print_list();

/// Makes SIGINT and SIGTERM end the run after the row at hand, with the results so far written.
void stop_on_signals();

}  // namespace qb::bench
