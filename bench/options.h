// The command line: our own flags by CLI11, every --benchmark_* flag handed to Google Benchmark.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "suite.h"

namespace qb::bench {

enum class Profile { smoke, quick, full };

struct Options {
  Profile profile = Profile::quick;
  Verify verify = Verify::quick;
  bool list = false;
  std::vector<int> threads = {1};
  std::optional<int> pin;
  std::uint64_t seed = 2135;
  std::vector<std::size_t> sizes;           ///< from --shape n:...; empty: the profile's
  std::vector<Plan::Shape> matmul;          ///< from --shape m:...; empty: the profile's
  std::string out;                          ///< --benchmark_out, when JSON: written by ourselves
  std::string filter;                       ///< --benchmark_filter, for the count of rows
  std::vector<std::string> benchmark_args;  ///< argv for benchmark::Initialize, program name first
  bool peers = true;                        ///< time other projects' kernels, if this build has any
  bool self_peer = false;  ///< our own kernels instead, to prove the comparison (hidden)
  bool resume = false;     ///< continue the interrupted run whose rows are in `out`
  std::string display;     ///< --benchmark_format if the user gave one
};

struct UsageError {
  int exit_code;  ///< 0 after --help, otherwise 2
};

/// Parses argv; prints help or the error itself and throws UsageError then.
Options parse_options(int argc, char** argv);

std::string to_string(Profile profile);
std::string to_string(Verify verify);

}  // namespace qb::bench
