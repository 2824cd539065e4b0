// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <map>
#include <regex>
#include <sstream>

#include "core/printable.h"
#include "hardware.h"
#include "text.h"

namespace qb::bench {
namespace {

constexpr const char* kFooter =
    "Examples:\n"
    "  quantbench                                         what `make bench` runs, on the terminal\n"
    "  quantbench --benchmark_out=results/mine.json       and the rows in a file\n"
    "  quantbench --profile=full --resume --benchmark_out=full.json\n"
    "  quantbench --benchmark_filter=absmax/f32 --shape=n:65536 --benchmark_repetitions=9\n"
    "  quantbench --benchmark_filter=matmul/a8.q4_0 --shape=m:1,n:4096,k:4096 --threads=1,2\n"
    "  quantbench --list=all                              why a variant does not run here\n"
    "  quantbench --kernels=./mine.so --benchmark_filter=/mine/   docs/your-own-kernel.md\n"
    "Exit status:\n"
    "  0 all is well   1 a kernel's result is wrong   2 a bad argument, variable or file\n"
    "  3 a row could not run, or results could not be written   128+n ended by signal n\n"
    "Environment:\n"
    "  QB_ISA=avx2         caps the instruction set\n"
    "  QB_TUNING=FILE      dispatches as quantbench-choose measured\n"
    "  BENCHMARK_FILTER=x  and so on: the flags of Google Benchmark, unless given here\n";

/// "m:1,n:4096,k:4096[,cold]" or "n:65536"; '/' separates as well, so that a row's name can be
/// pasted.
void parse_shape(const std::string& text, Options& options) {
  std::map<std::string, std::size_t> dims;
  bool cold = false;
  auto fail = [&](const std::string& why) {
    throw CLI::ValidationError("--shape " + text,
                               why + "; expected n:ELEMENTS, or m:M,n:N,k:K[,cold]");
  };
  std::string part;
  std::stringstream parts(std::regex_replace(text, std::regex("/"), ","));
  while (std::getline(parts, part, ',')) {
    if (part == "cold") {
      cold = true;
      continue;
    }
    std::smatch match;
    if (!std::regex_match(part, match, std::regex("([mnk]):([0-9]{1,12})")))
      fail("can't read '" + part + "'");
    if (!dims.emplace(match[1], std::stoull(match[2])).second) fail("'" + part + "' comes twice");
    if (dims[match[1]] == 0) fail("'" + part + "' must be positive");
  }
  constexpr std::size_t most = std::size_t{1} << 32;  // elements: 16 GiB of f32
  if (dims.size() == 1 && dims.count("n") && !cold) {
    if (dims["n"] > most) fail("more than 2^32 elements");
    options.sizes.push_back(dims["n"]);
  } else if (dims.size() == 3) {
    for (const auto& [a, b] : {std::pair{"m", "n"}, {"m", "k"}, {"n", "k"}})
      if (dims[a] > most / dims[b]) fail("a matrix of more than 2^32 elements");
    options.matmul.push_back({dims["m"], dims["n"], dims["k"], cold});
  } else {
    fail("incomplete");
  }
}

/// Removes repeated values: no tool can read a file in which a row occurs twice.
template <class T>
void remove_repeated(std::vector<T>& values) {
  std::vector<T> once;
  for (const T& value : values)
    if (std::find(once.begin(), once.end(), value) == once.end()) once.push_back(value);
  values = std::move(once);
}

/// Seconds; Google Benchmark itself takes NaN and runs for ever.
const CLI::Validator kSeconds(
    [](std::string& text) -> std::string {
      constexpr double most = 86400;
      if (text.size() > 1 && text.back() == 's') text.pop_back();
      char* end = nullptr;
      const double seconds = std::strtod(text.c_str(), &end);
      const bool number = std::regex_match(text, std::regex("[0-9.]+([eE][-+]?[0-9]+)?"));
      if (!number || *end || !(seconds >= 0 && seconds <= most))
        return "'" + text + "': expected seconds from 0 to 86400";
      return {};
    },
    "SECONDS");

const CLI::Validator kKeysAndValues(
    [](std::string& text) -> std::string {
      if (std::regex_match(text, std::regex("[^=,]+=[^=,]*(,[^=,]+=[^=,]*)*"))) return {};
      return "'" + text + "': expected KEY=VALUE,...";
    },
    "KEY=VALUE,...");

/// The flags that are only passed on to Google Benchmark.
struct HandedOn {
  bool counters_tabular = false, dry_run = false;
  std::string color, perf_counters, context, time_unit, verbosity;
};

/// Flags that are converted from text once everything is parsed.
struct Texts {
  std::vector<std::string> shapes;
  std::string profile = "quick", verify, format = "console", out_format = "json";
  HandedOn handed_on;
};

void add_own(CLI::App& app, Options& o, Texts& texts) {
  constexpr int most_threads = 4096;
  app.add_option("--profile", texts.profile,
                 "how much to run: quick (minutes), full (an hour), or smoke (a check, no timing "
                 "claim)")
      ->check(CLI::IsMember({"quick", "full", "smoke"}))
      ->capture_default_str();
  app.add_option("--verify", texts.verify,
                 "check before timing: full (every output), quick (matmul: a sample), off; "
                 "default: full with --profile=full, otherwise quick")
      ->check(CLI::IsMember({"full", "quick", "off"}));
  app.add_flag("--list{here}", o.list,
               "list the operations and variants that run here; --list=all: every one, and why it "
               "does not run")
      ->check(CLI::IsMember({"here", "all"}));
  app.add_option("--threads", o.threads, "thread counts, as in --threads=1,2")
      ->delimiter(',')
      ->check(CLI::Range(1, most_threads))
      ->capture_default_str();
  app.add_option("--pin", o.pin, "pin to this CPU (thread t to CPU + t); default: not pinned")
      ->check(CLI::Range(0, std::numeric_limits<int>::max()));
  app.add_option("--seed", o.seed, "seed of the inputs")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--shape", texts.shapes,
                 "n:ELEMENTS or m:M,n:N,k:K[,cold]; may be repeated; default: the profile's");
  app.add_option("--kernels", o.kernels,
                 "shared library with kernels of your own (quantbench/plugin.h), verified in a "
                 "child process, then timed beside ours; may be repeated")
      ->allow_extra_args(false);
  app.add_option("--kernels_limit", o.kernels_limit,
                 "a call of theirs that takes longer when it is tried is taken for one that never "
                 "returns; default: 20 s")
      ->transform(kSeconds);
  app.add_flag("!--no-peers", o.peers,
               "leave out other projects' kernels, where they are built in");
  app.add_flag("!--no-scalar", o.scalar,
               "don't time scalar code for rows that run without it: no speedup_vs_scalar");
  app.add_flag("--self-peer", o.self_peer)->group("");  // hidden: scripts/prove-peers.sh
  app.add_flag("--resume", o.resume,
               "continue an interrupted run: keep the rows that --benchmark_out's file has");
}

/// The flags that this program implements itself.
void add_benchmark(CLI::App& app, Options& o, Texts& texts) {
  constexpr int most_repetitions = 999999;
  const auto formats = CLI::IsMember({"console", "json", "csv"});
  app.add_option("--benchmark_filter", o.filter,
                 "rows to run: a regular expression; a leading '-' negates; default: all")
      ->envname("BENCHMARK_FILTER");
  app.add_option("--benchmark_min_time", o.min_time,
                 "of a repetition, at the least; default: 0.005 (quick), 0.1 (full)")
      ->transform(kSeconds)
      ->envname("BENCHMARK_MIN_TIME");
  app.add_option("--benchmark_min_warmup_time", o.min_warmup_time, "before a row is timed")
      ->transform(kSeconds)
      ->envname("BENCHMARK_MIN_WARMUP_TIME")
      ->capture_default_str();
  app.add_option("--benchmark_repetitions", o.repetitions,
                 "of each row; default: quick: 15 of rows that are dispatched to, 5 of others; "
                 "full: 3; smoke: 1")
      ->check(CLI::Range(1, most_repetitions))
      ->envname("BENCHMARK_REPETITIONS");
  app.add_flag("--benchmark_enable_random_interleaving", o.random_interleaving,
               "shuffle the repetitions of all rows")
      ->envname("BENCHMARK_ENABLE_RANDOM_INTERLEAVING");
  app.add_option("--benchmark_out", o.out, "file for the results; default: none")
      ->envname("BENCHMARK_OUT");
  app.add_option("--benchmark_out_format", texts.out_format, "of that file")
      ->check(formats)
      ->envname("BENCHMARK_OUT_FORMAT")
      ->capture_default_str();
  app.add_option("--benchmark_format", texts.format, "of standard output")
      ->check(formats)
      ->envname("BENCHMARK_FORMAT")
      ->capture_default_str();
  app.add_flag("--benchmark_report_aggregates_only", o.aggregates_only,
               "leave single repetitions out of file and output")
      ->envname("BENCHMARK_REPORT_AGGREGATES_ONLY");
  app.add_flag("--benchmark_display_aggregates_only", o.display_aggregates_only,
               "leave them out of the output")
      ->envname("BENCHMARK_DISPLAY_AGGREGATES_ONLY");
}

void add_handed_on(CLI::App& app, Options& o, HandedOn& h) {
  app.add_flag("--benchmark_list_tests", o.list_tests, "print the names of the rows")
      ->envname("BENCHMARK_LIST_TESTS");
  app.add_flag("--benchmark_counters_tabular", h.counters_tabular, "has no effect here")
      ->envname("BENCHMARK_COUNTERS_TABULAR");
  app.add_flag("--benchmark_dry_run", h.dry_run, "one iteration (Google Benchmark 1.9)")
      ->envname("BENCHMARK_DRY_RUN");
  app.add_option("--benchmark_color", h.color, "has no effect here")->envname("BENCHMARK_COLOR");
  app.add_option("--benchmark_perf_counters", h.perf_counters, "libpfm's names of counters")
      ->envname("BENCHMARK_PERF_COUNTERS");
  app.add_option("--benchmark_context", h.context, "to be recorded with the results")
      ->check(kKeysAndValues)
      ->envname("BENCHMARK_CONTEXT");
  app.add_option("--benchmark_time_unit", h.time_unit, "of the times in file and output")
      ->check(CLI::IsMember({"ns", "us", "ms", "s"}))
      ->envname("BENCHMARK_TIME_UNIT");
  app.add_option("--v", h.verbosity, "how much Google Benchmark logs")->check(CLI::Range(0, 9));
}

Format format_of(const std::string& name) {
  return name == "json" ? Format::json : name == "csv" ? Format::csv : Format::console;
}

/// The flags that Google Benchmark gets. Every flag that the environment can set is among them, so
/// that library and program never use different values.
std::vector<std::string> benchmark_args(const Options& o, const HandedOn& h) {
  std::vector<std::string> args = {"quantbench"};
  auto say = [&](const std::string& flag, const std::string& value) {
    args.push_back("--benchmark_" + flag + "=" + value);
  };
  say("filter", "all");  // of what is registered: rows are selected by the runner
  say("min_time", format("%.9g", o.min_time));
  say("min_warmup_time", format("%.9g", o.min_warmup_time));
  say("repetitions", std::to_string(o.repetitions));
  say("enable_random_interleaving", o.random_interleaving ? "true" : "false");
  say("list_tests", o.list_tests ? "true" : "false");
  // Files, formats and what is left out of them are this program's own.
  say("out", "");
  say("out_format", "json");
  say("format", "console");
  say("report_aggregates_only", "false");
  say("display_aggregates_only", "false");
  if (h.dry_run) say("dry_run", "true");
  if (!h.perf_counters.empty()) say("perf_counters", h.perf_counters);
  if (!h.context.empty()) say("context", printable(h.context));
  if (!h.time_unit.empty()) say("time_unit", h.time_unit);
  if (!h.verbosity.empty()) args.push_back("--v=" + h.verbosity);
  return args;
}

/// What follows from the profile and from flags together.
void complete(Options& o, const Texts& texts) {
  if (texts.profile == "full") o.profile = Profile::full;
  if (texts.profile == "smoke") o.profile = Profile::smoke;
  const bool smoke = o.profile == Profile::smoke, full = o.profile == Profile::full;
  if (texts.verify.empty() ? full : texts.verify == "full") o.verify = Verify::full;
  if (texts.verify == "off") o.verify = Verify::off;
  // The median of many short repetitions is robust against interruptions.
  if (o.min_time < 0) o.min_time = smoke ? 0.0001 : full ? 0.1 : 0.005;
  // Of a quick run's time the dispatched rows, whose figures people quote, get the larger share.
  if (o.repetitions == 0) {
    o.repetitions = smoke ? 1 : full ? 3 : 5;
    o.dispatched_repetitions = smoke || full ? o.repetitions : 15;
  }
  if (o.dispatched_repetitions == 0) o.dispatched_repetitions = o.repetitions;
  o.out_format = format_of(texts.out_format);
  o.display = format_of(texts.format);
  remove_repeated(o.threads);
  remove_repeated(o.sizes);
  remove_repeated(o.matmul);
  if (o.resume && (o.out.empty() || o.out_format != Format::json))
    throw CLI::ValidationError("--resume",
                               "needs --benchmark_out=FILE (JSON): the file to continue");
  if (o.resume && o.aggregates_only)
    throw CLI::ValidationError("--resume",
                               "needs every repetition in the file, not only aggregates");
  if (const std::string why = perf_counters_refusal();
      !why.empty() && !texts.handed_on.perf_counters.empty())
    throw CLI::ValidationError("--benchmark_perf_counters", "there are none: " + why);
  o.benchmark_args = benchmark_args(o, texts.handed_on);
}

/// The arguments, and before them what BENCHMARK_* variables say of flags that are not among them:
/// CLI11 2.4 and later pass over a variable that a flag's check refuses, without a word.
std::vector<std::string> with_variables(const CLI::App& app, int argc, char** argv) {
  const std::vector<std::string> given(argv + std::min(argc, 1), argv + argc);
  std::vector<std::string> all;
  for (const CLI::Option* option : app.get_options()) {
    const char* const value = std::getenv(option->get_envname().c_str());
    if (option->get_envname().empty() || !value || !*value) continue;
    const std::string flag = option->get_name();
    const bool overruled = std::any_of(given.begin(), given.end(), [&](const std::string& arg) {
      return arg == flag || arg.starts_with(flag + "=");
    });
    if (!overruled) all.push_back(flag + "=" + value);
  }
  all.insert(all.end(), given.begin(), given.end());
  return all;
}

}  // namespace

Options parse_options(int argc, char** argv) {
  Options o;
  Texts texts;
  CLI::App app("quantbench: verifies, then times the kernels under quantized inference.",
               "quantbench");
  app.footer(kFooter);
  app.failure_message([](const CLI::App*, const CLI::Error& e) {
    return "quantbench: " + printable(e.what()) + " (--help lists the flags)\n";
  });
  add_own(app, o, texts);
  app.option_defaults()->group("Google Benchmark's flags");
  add_benchmark(app, o, texts);
  add_handed_on(app, o, texts.handed_on);
  try {
    std::vector<std::string> args = with_variables(app, argc, argv);
    std::reverse(args.begin(), args.end());  // the order that CLI11 asks for
    app.parse(args);
    for (const std::string& shape : texts.shapes) parse_shape(shape, o);
    complete(o, texts);
  } catch (const CLI::ParseError& e) {
    std::ostringstream out, err;
    const bool asked_for_help = app.exit(e, out, err) == 0;
    std::fputs(out.str().c_str(), stdout);
    std::fputs(err.str().c_str(), stderr);
    throw UsageError{asked_for_help ? kSuccess : kRefused};
  }
  return o;
}

std::string to_string(Profile profile) {
  return profile == Profile::full ? "full" : profile == Profile::quick ? "quick" : "smoke";
}

std::string to_string(Verify verify) {
  return verify == Verify::full ? "full" : verify == Verify::quick ? "quick" : "off";
}

}  // namespace qb::bench
