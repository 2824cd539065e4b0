// SPDX-License-Identifier: Apache-2.0
// The command line and the environment: our own flags and Google Benchmark's, checked by CLI11.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "suite.h"

namespace qb::bench {

enum class Profile { smoke, quick, full };
enum class Format { console, json, csv };

/// The exit statuses of the program; docs and --help say the same.
enum ExitStatus {
  kSuccess = 0,
  kWrongKernel = 1,  ///< a verified kernel's result is wrong, and nothing else
  kRefused = 2,      ///< a bad argument, variable or file: nothing was timed
  kIncomplete = 3,   ///< a row could not run, or what was measured could not be written
};

struct Options {
  Profile profile = Profile::quick;
  Verify verify = Verify::quick;
  std::string list;  ///< "here" or "all": list operations and variants instead of timing them
  std::vector<int> threads = {1};
  std::optional<int> pin;
  std::uint64_t seed = 2135;
  std::vector<std::size_t> sizes;    ///< from --shape n:...; empty: the profile's
  std::vector<Plan::Shape> matmul;   ///< from --shape m:...; empty: the profile's
  std::vector<std::string> kernels;  ///< shared libraries with kernels of the user's own
  double kernels_limit = 20;         ///< seconds that a call of theirs may take when it is tried
  bool peers = true;                 ///< time other projects' kernels, if this build has any
  bool scalar = true;                ///< time scalar code for rows that run without its row
  bool self_peer = false;            ///< our own kernels instead, to prove the comparison (hidden)
  bool resume = false;               ///< continue the interrupted run whose rows are in `out`

  // Google Benchmark's flags, from the command line or its BENCHMARK_* variables.
  std::string out;                          ///< --benchmark_out: written by ourselves
  Format out_format = Format::json;         ///< of `out`
  Format display = Format::console;         ///< --benchmark_format
  std::string filter;                       ///< --benchmark_filter
  double min_time = -1;                     ///< seconds
  double min_warmup_time = 0;               ///< seconds
  int repetitions = 0;                      ///< of each row
  int dispatched_repetitions = 0;           ///< of each row of a variant that is dispatched to
  bool random_interleaving = false;         ///< of the repetitions of all rows
  bool aggregates_only = false;             ///< in file and display
  bool display_aggregates_only = false;     ///< in the display
  bool list_tests = false;                  ///< names of rows instead of rows
  std::vector<std::string> benchmark_args;  ///< argv for benchmark::Initialize
};

struct UsageError {
  ExitStatus exit_code;
};

/// Parses argv and BENCHMARK_*; prints help or the error itself and throws UsageError then.
Options parse_options(int argc, char** argv);

std::string to_string(Profile profile);
std::string to_string(Verify verify);

}  // namespace qb::bench
