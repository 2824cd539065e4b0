// SPDX-License-Identifier: Apache-2.0
// Registers every case that can run here with Google Benchmark; verifies it, then times it, and
// attaches speed, error and share of the machine's limit to its row.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>

#include <benchmark/benchmark.h>

#include "caches.h"
#include "hardware.h"
#include "options.h"
#include "passes.h"
#include "rival.h"
#include "roof.h"
#include "suite.h"
#include "trials.h"

namespace qb::bench {

class Runner {
 public:
  /// memory_from: as measure_memory_from() found it.
  Runner(const Options& options, Suite suite, std::vector<CacheLevel> caches,
         std::size_t memory_from, const Trials& trials);
  Runner(const Runner&) = delete;

  /// Registers the cases that --benchmark_filter selects and whose variant runs here, but for those
  /// named in `done`; their number. Throws std::invalid_argument for a filter that is no
  /// expression.
  std::size_t register_selected(const std::set<std::string>& done);
  /// The case behind a row's name; null if it is none of ours.
  const Case* find(const std::string& name) const;
  /// The case that is being run; null before the first.
  const Case* at_hand() const { return at_hand_; }
  /// Why a row has no result.
  struct Failure {
    std::string message;
    bool wrong;  ///< the kernel's result is; otherwise the row could not run
  };
  /// Seconds of a call of scalar code on the same work; 0 if unknown. A scalar row's own median
  /// is what the rows after it are compared with.
  double baseline(const Case& c, double median_seconds);
  /// Null for a row that did not fail.
  const Failure* failure(const std::string& name) const;
  const Options& options() const { return options_; }
  const std::vector<CacheLevel>& caches() const { return caches_; }
  std::size_t memory_from() const { return memory_from_; }
  const Limits& limits() const { return limits_; }
  /// The operation's symbol behind each op/format of a row's name: {"absmax/f32", "absmax_f32"}.
  std::map<std::string, std::string> operations() const;

 private:
  /// The instance at hand and whether it has been verified.
  struct Current {
    const Case* owner = nullptr;
    std::unique_ptr<Instance> instance;
    double seconds = 0;  ///< of its first call
    Error error;
    bool verified = false;
    bool compared = false;  ///< with its best peer, in turns
    std::optional<Turns> turns;
    std::optional<Turns> own_turns;  ///< of a loaded variant with our best
    std::string nonconforming;       ///< what was found before it ran; then there is no instance
  };

  /// run_verified, with every reason why it can't becoming an error of this row alone.
  void run(const Case& c, benchmark::State& state);
  void run_verified(const Case& c, benchmark::State& state);
  void fail(const Case& c, Failure failure, benchmark::State& state);
  /// Builds and verifies the instance of `c` unless it is at hand already.
  void prepare(const Case& c);
  /// What is wrong with the variant of `c` or, if it was loaded, with its row, by the conformance
  /// pass and by trial; empty if nothing.
  std::string found_beforehand(const Case& c);
  /// Times the row in turns with its best peer, if it has one and that was not done yet, and a
  /// loaded variant's row with the best of ours as well.
  void compare(const Case& c);
  void count(const Case& c, double seconds, benchmark::State& state);
  /// Whether a repetition of `seconds` per call is faster than the limit by more than measuring can
  /// explain: after the limit was measured anew with every loop, and again after both were.
  bool exceeds_limit(const Case& c, double seconds);
  /// Seconds of one call of the scalar variant with one thread on the same work: the figure of its
  /// row, or if there is none the median of batches, measured once; 0 if unknown.
  double scalar_seconds(const Case& c);
  static bool is_baseline(const Case& c) { return c.variant->name == "scalar" && c.threads == 1; }
  std::string reproduce(const Case& c) const;
  std::string baseline_key(const Case& c) const;
  Setup setup(const Case& c);

  Options options_;
  Energy energy_;
  Suite suite_;
  std::vector<CacheLevel> caches_;
  std::size_t memory_from_;
  Limits limits_;
  ProblemCache problems_;
  Current current_;
  const Case* at_hand_ = nullptr;
  std::map<std::string, Failure> failures_;
  Rivals rivals_;
  Rivals own_rivals_;  ///< of loaded variants: ours
  const Trials& trials_;
  ConformancePasses passes_;
  std::unordered_map<std::string, const Case*> by_name_;
  std::unordered_map<std::string, const Case*> scalar_cases_;
  std::unordered_map<std::string, double> scalar_seconds_;
};

/// The arrays and shapes of a profile, given what was measured of caches and memory; --shape
/// overrides them.
Plan make_plan(const Options& options, const std::vector<CacheLevel>& caches,
               std::size_t memory_from);

}  // namespace qb::bench
