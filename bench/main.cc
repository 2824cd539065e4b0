// quantbench: verifies, then times, then says how near to the machine's limit it came.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <regex>
#include <set>

#include "benchmark_compat.h"
#include "caches.h"
#include "machine.h"
#include "options.h"
#include "peers/peers.h"
#include "report.h"
#include "runner.h"

namespace {

using namespace qb::bench;

/// Rows that --benchmark_filter selects, by the library's rule: a leading '-' negates.
std::size_t count_selected(const Suite& suite, std::string filter,
                           const std::set<std::string>& done) {
  const bool negative = !filter.empty() && filter[0] == '-';
  if (negative) filter.erase(0, 1);
  if (filter == "all") filter = ".";
  const std::regex pattern(filter, std::regex::extended);
  std::size_t count = 0;
  for (const Case& c : suite)
    if (c.variant->refusal().empty() && !done.count(c.name()) &&
        std::regex_search(c.name(), pattern) != negative)
      ++count;
  return count;
}

/// Our arrays and packed weights lie in huge pages, which one row of activations gains by. Other
/// projects' come from malloc, and glibc asks for huge pages only if told so when the program
/// starts: so it starts once more.
void give_peers_huge_pages(char** argv) {
  if (!QB_PEERS || std::getenv("GLIBC_TUNABLES")) return;
  setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1", 1);
  execv("/proc/self/exe", argv);  // where that can't be, this process goes on
}

int run(int argc, char** argv) {
  Options options = parse_options(argc, argv);
  if (options.self_peer) peers::compare_with_ourselves();
  qb::isa::enabled();  // a wrong QB_ISA is an error before anything else
  if (options.list) {
    print_list();
    return 0;
  }
  if (options.pin)
    pin_threads(*options.pin, *std::max_element(options.threads.begin(), options.threads.end()));

  // Defaults come before the user's flags, which then win. The median of short repetitions shrugs
  // off interruptions.
  const bool smoke = options.profile == Profile::smoke;
  const bool full = options.profile == Profile::full;
  std::vector<std::string> args = {options.benchmark_args[0],
                                   smoke  ? "--benchmark_min_time=0.0001"
                                   : full ? "--benchmark_min_time=0.1"
                                          : "--benchmark_min_time=0.005",
                                   smoke  ? "--benchmark_repetitions=1"
                                   : full ? "--benchmark_repetitions=3"
                                          : "--benchmark_repetitions=7"};
  args.insert(args.end(), options.benchmark_args.begin() + 1, options.benchmark_args.end());
  std::vector<char*> pointers;
  for (std::string& arg : args) {
    arg = compat::flag(arg);
    pointers.push_back(arg.data());
  }
  int count = int(pointers.size());
  benchmark::Initialize(&count, pointers.data());
  if (benchmark::ReportUnrecognizedArguments(count, pointers.data())) return 2;

  const bool timing = !smoke && !emulated();
  const std::vector<CacheLevel> caches =
      timing ? measure_caches() : std::vector<CacheLevel>{{32 << 10, 0}, {1 << 20, 0}};
  const std::size_t memory_from = timing ? measure_memory_from(caches) : 0;
  const Plan plan = make_plan(options, caches, memory_from);
  Suite suite;
  add_convert(plan, suite);
  add_absmax(plan, suite);
  add_quantize(plan, suite);
  add_matmul_a32(plan, suite);
  add_matmul_a8(plan, suite);
  add_matmul_abf16(plan, suite);
  if (!options.peers) std::erase_if(suite, [](const Case& c) { return peers::as_peer(c.variant); });
  // Named rows are all run; of a quick run over everything the redundant ones are not.
  const bool everything =
      options.filter.empty() || options.filter == "." || options.filter == "all";
  if (options.profile == Profile::quick && everything && options.sizes.empty() &&
      options.matmul.empty())
    leave_out_redundant(suite);
  Runner runner(options, suite, caches, memory_from);
  std::unique_ptr<ResultsFile> file;
  if (!options.out.empty()) file = std::make_unique<ResultsFile>(options.out, runner);
  std::set<std::string> done;
  if (options.resume) done = file->resume();
  std::size_t selected;
  try {
    selected = count_selected(suite, options.filter, done);
  } catch (const std::regex_error&) {
    std::fprintf(stderr, "--benchmark_filter: '%s' is no regular expression\n",
                 options.filter.c_str());
    return 2;
  }
  if (selected == 0 && !done.empty()) {
    std::printf("nothing left to run: '%s' has every row\n", options.out.c_str());
    return 0;
  }
  if (selected == 0) {
    std::fprintf(stderr,
                 "nothing to run: no row here matches --benchmark_filter='%s' and --shape\n",
                 options.filter.c_str());
    return 2;
  }
  runner.register_all(done);
  stop_on_signals();
  std::unique_ptr<benchmark::BenchmarkReporter> display;
  if (!options.display.empty() && options.display != "console")
    display = compat::make_display_reporter();
  Reporter reporter(runner, selected, file.get(), std::move(display));
  benchmark::RunSpecifiedBenchmarks(&reporter);
  benchmark::Shutdown();
  return reporter.failures() ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  give_peers_huge_pages(argv);
  try {
    return run(argc, argv);
  } catch (const UsageError& e) {
    return e.exit_code;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "quantbench: %s\n", e.what());
    return 2;
  }
}
