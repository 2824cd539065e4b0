// SPDX-License-Identifier: Apache-2.0
// quantbench: verifies, then times, then says how near to the machine's limit it came.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iostream>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "benchmark_compat.h"
#include "caches.h"
#include "core/printable.h"
#include "early_end.h"
#include "list.h"
#include "machine.h"
#include "options.h"
#include "peers/peers.h"
#include "plugins/plugins.h"
#include "reporter.h"
#include "results.h"
#include "results_file.h"
#include "runner.h"
#include "safe_file.h"
#include "signals.h"
#include "threads.h"
#include "trials.h"

namespace {

using namespace qb::bench;
using qb::printable;

/// Our arrays and packed weights lie in huge pages, which make one row of activations faster. Other
/// projects allocate with malloc, and glibc uses huge pages only if the environment says so when a
/// program starts. So this one sets the variable and executes itself once more.
void give_peers_huge_pages(char** argv) {
  if (!QB_PEERS || std::getenv("GLIBC_TUNABLES")) return;
  setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1", 1);
  execv("/proc/self/exe", argv);  // if that fails, this process goes on without
}

/// Makes sure that all the threads asked for exist, and pins them.
void prepare_threads(const Options& options, bool timing) {
  const int most = *std::max_element(options.threads.begin(), options.threads.end());
  require_team(most);
  if (options.pin) pin_threads(*options.pin, most);
  if (timing) require_cpus(most);
}

/// False if this version of the library does not know a flag; the library has reported it then.
bool initialize_library(const Options& options) {
  // The library keeps a pointer to the program's name.
  static std::vector<std::string> args;
  args = options.benchmark_args;
  std::vector<char*> pointers;
  for (std::string& arg : args) {
    arg = compat::flag(arg);
    pointers.push_back(arg.data());
  }
  int count = int(pointers.size());
  benchmark::Initialize(&count, pointers.data());
  return !benchmark::ReportUnrecognizedArguments(count, pointers.data());
}

Suite make_suite(const Options& options, const std::vector<CacheLevel>& caches,
                 std::size_t memory_from) {
  Suite suite = every_case(make_plan(options, caches, memory_from));
  // Rows that are asked for by name all run; a quick run over everything leaves out redundant ones.
  const bool everything =
      options.filter.empty() || options.filter == "." || options.filter == "all";
  if (options.profile == Profile::quick && everything && options.sizes.empty() &&
      options.matmul.empty())
    leave_out_redundant(suite);
  return suite;
}

/// Times what was registered. EarlyEnd is for libraries that end the program themselves.
int time_rows(Reporter& reporter) {
  const EarlyEnd early_end([&](const std::string& why) { reporter.end_early(why); });
  stop_on_signals();
  try {
    benchmark::RunSpecifiedBenchmarks(&reporter);
  } catch (const Stopped& stopped) {
    return stopped.exit_status;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "quantbench: %s\n", printable(e.what()).c_str());
    return kIncomplete;
  }
  benchmark::Shutdown();
  return reporter.exit_status();
}

int run(int argc, char** argv) {
  const Options options = parse_options(argc, argv);
  if (options.self_peer) peers::compare_with_ourselves();
  qb::isa::enabled();  // a wrong QB_ISA is an error before anything else
  for (const std::string& file : options.kernels) qb::plugins::load(file);
  if (!options.list.empty()) {
    print_list(options.list == "all");
    return kSuccess;
  }
  const Trials trials(options);  // before there are threads
  const bool timing = options.profile != Profile::smoke && !emulated();
  prepare_threads(options, timing);
  if (!initialize_library(options)) return kRefused;
  std::optional<SafeFile> target;
  if (!options.out.empty()) target.emplace(options.out);

  const std::vector<CacheLevel> caches =
      timing ? measure_caches() : std::vector<CacheLevel>{{32 << 10, 0}, {1 << 20, 0}};
  const std::size_t memory_from = timing ? measure_memory_from(caches) : 0;
  Runner runner(options, make_suite(options, caches, memory_from), caches, memory_from, trials);
  Results results(runner);
  std::optional<ResultsFile> file;
  if (target) file.emplace(*target, results, options);
  std::set<std::string> done;
  if (options.resume) done = results.resume(options.out);
  const std::size_t selected = runner.register_selected(done);
  if (selected == 0 && !done.empty()) {
    std::printf("nothing left to run: '%s' has every row\n", printable(options.out).c_str());
    return kSuccess;
  }
  if (selected == 0)
    throw std::invalid_argument("nothing to run: no row here matches --benchmark_filter='" +
                                options.filter + "' and --shape");
  Reporter reporter(runner, selected, results, file ? &*file : nullptr);
  return time_rows(reporter);
}

/// Reports output that could not be written, as on a full disk.
int checked_output(int status) {
  std::cout.flush();
  const bool written = std::fflush(stdout) == 0 && !std::ferror(stdout) && std::cout.good();
  if (written || status == kIncomplete) return status;
  std::fprintf(stderr, "quantbench: can't write to standard output: %s\n", std::strerror(errno));
  return status == kSuccess ? int(kIncomplete) : status;
}

}  // namespace

int main(int argc, char** argv) {
  give_peers_huge_pages(argv);
  ignore_file_signals();
  try {
    return checked_output(run(argc, argv));
  } catch (const UsageError& e) {
    return checked_output(e.exit_code);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "quantbench: %s\n", printable(e.what()).c_str());
    return kRefused;
  }
}
