// SPDX-License-Identifier: Apache-2.0
#include "reporter.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>

#include "benchmark_compat.h"
#include "core/printable.h"
#include "figure.h"
#include "machine.h"
#include "peers/peers.h"
#include "signals.h"
#include "spread.h"
#include "terminal.h"
#include "text.h"

namespace qb::bench {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// What follows `mark` in a row's label, or nothing.
std::string after(const std::string& label, const std::string& mark) {
  const std::size_t at = label.find(mark);
  return at == label.npos ? "" : label.substr(at + mark.size());
}

using Values = std::map<std::string, std::vector<double>>;

std::string error_name(const Values& values) {
  const auto value = [&](const char* key) {
    const auto found = values.find(key);
    return found == values.end() ? 0.0 : median(found->second);
  };
  if (!values.count("nmse")) return values.count("mismatches") ? "exact" : "unverified";
  std::string name = "nmse " + format("%.1e", value("nmse"));
  if (const double lost = value("weights_nmse"); lost > 0)
    name += ", weights " + format("%.1e", lost);
  return name;
}

/// "1.10x the best peer, 0.98x our best".
std::string comparison(const RowFigures& row) {
  std::string text;
  if (row.vs_peer.value > 0) text = ratio_text(row.vs_peer) + " the best peer";
  if (row.vs_own.value > 0)
    text += (text.empty() ? "" : ", ") + ratio_text(row.vs_own) + " our best";
  return text;
}

/// The row's name without its number of repetitions, which is the key of the row in all tools.
std::vector<benchmark::BenchmarkReporter::Run> plainly_named(
    std::vector<benchmark::BenchmarkReporter::Run> runs) {
  for (auto& run : runs) run.run_name.repetitions.clear();
  return runs;
}

}  // namespace

Reporter::Reporter(Runner& runner, std::size_t total, Results& results, ResultsFile* file)
    : runner_(runner), total_(total), results_(results), file_(file), begin_(now()) {}

bool Reporter::ReportContext(const Context& context) {
  results_.add_context(context);
  if (!for_people()) return true;
  const auto machine = machine_context();
  std::printf("%s, %s; caches measured: %s\n", printable(machine.at("cpu_name")).c_str(),
              machine.at("isa_enabled").c_str(), caches_text(runner_.caches()).c_str());
  std::printf("%zu rows, each verified (%s), then timed; seed %llu%s\n", total_,
              to_string(runner_.options().verify).c_str(),
              static_cast<unsigned long long>(runner_.options().seed),
              emulated() ? "; EMULATED: timings mean nothing" : "");
  return true;
}

void Reporter::ReportRuns(const std::vector<Run>& reported) {
  if (reported.empty()) return;
  std::vector<Run> runs = with_spread(plainly_named(reported));
  if (runs.front().run_type == Run::RT_Iteration) compare_with_scalar(runs);
  results_.add(runs);
  // The library reports a row's repetitions in one call and their aggregates in another.
  if (runs.front().run_type == Run::RT_Iteration) take(runs);
  if (file_) file_->update();
  if (std::fflush(stdout) != 0 || std::ferror(stdout)) {
    end_early(std::string("can't write to standard output: ") + std::strerror(errno));
    throw Stopped{kIncomplete};
  }
  const bool aggregates_follow = runs.front().run_type == Run::RT_Iteration &&
                                 runs.front().repetitions > 1 &&
                                 !runner_.failure(runs.front().run_name.function_name);
  if (stop_signal() && !aggregates_follow) {
    end_early("interrupted");
    throw Stopped{128 + stop_signal()};
  }
}

void Reporter::compare_with_scalar(std::vector<Run>& runs) {
  const Case* const c = runner_.find(runs.front().run_name.function_name);
  if (!c) return;
  std::vector<double> seconds;
  for (const Run& run : runs)
    if (compat::error_of(run).empty() && run.iterations > 0)
      seconds.push_back(run.real_accumulated_time / double(run.iterations));
  if (seconds.size() < runs.size()) return;
  const double scalar = runner_.baseline(*c, median(seconds));
  for (std::size_t i = 0; i < runs.size(); ++i)
    if (const auto found = runs[i].counters.find("speedup_vs_scalar");
        found != runs[i].counters.end() && scalar > 0)
      found->second = scalar / seconds[i];
}

void Reporter::take(const std::vector<Run>& runs) {
  ++done_;
  Values values;
  std::string name, error, rival, own;
  std::vector<double> seconds;
  for (const Run& run : runs) {
    if (run.run_type != Run::RT_Iteration) continue;
    name = run.run_name.function_name;
    if (const std::string why = compat::error_of(run); !why.empty()) error = why;
    if (run.iterations > 0) seconds.push_back(run.real_accumulated_time / double(run.iterations));
    rival = after(run.report_label, "best peer: ");
    own = after(run.report_label, "best own: ");
    own = own.substr(0, own.find(';'));
    for (const auto& [key, counter] : run.counters) values[key].push_back(counter.value);
  }
  if (!error.empty()) return take_failure(name, error);
  const Case* c = runner_.find(name);
  if (!c) return;
  auto value = [&](const char* key) {
    const auto found = values.find(key);
    return found == values.end() ? 0.0 : median(found->second);
  };
  rows_.push_back({c,
                   figure_of(seconds),
                   value("bytes_per_second"),
                   value("items_per_second"),
                   value("ops_per_second"),
                   value("roof_pct"),
                   value("speedup_vs_scalar"),
                   {value("vs_best_peer"), value("vs_best_peer_low"), value("vs_best_peer_high")},
                   over_limit(values["over_limit"]),
                   error_name(values),
                   rival,
                   {value("vs_best_own"), value("vs_best_own_low"), value("vs_best_own_high")},
                   own});
  if (for_people()) print_line(rows_.back());
}

void Reporter::take_failure(const std::string& name, const std::string& error) {
  const Runner::Failure* failure = runner_.failure(name);
  ++(failure && failure->wrong ? wrong_ : unable_);
  failed_.push_back(printable(name + ": " + error));
  if (for_people()) std::printf("%s FAILED: %s\n", name.c_str(), printable(error).c_str());
}

void Reporter::print_line(const RowFigures& row) const {
  const double spent = now() - begin_;
  const double left = done_ ? spent / double(done_) * double(total_ - std::min(total_, done_)) : 0;
  char progress[64];
  std::snprintf(progress, sizeof progress, "[%4zu/%zu %5s left] ", done_, total_,
                duration(left).c_str());
  std::size_t width = terminal_width();
  constexpr std::size_t narrow = 60;  // the name, not the time left, tells what goes on
  if (width > 0 && width < narrow)
    std::snprintf(progress, sizeof progress, "[%zu/%zu] ", done_, total_);
  const std::size_t taken = std::strlen(progress);
  if (width > 0) width = std::max(width, taken + 1) - taken;

  std::vector<Column> columns = {{"", 58, true},    {"", 11},         {"", 8},
                                 {"", 9, false, 1}, {"", 5, true, 2}, {"", 0, true, 3}};
  std::vector<std::string> texts = {row.c->name(),
                                    speed_text(row),
                                    row.percent > 0 ? format("%.0f %%", row.percent) : "-",
                                    row.speedup > 0 ? format("%.1fx", row.speedup) : "-",
                                    row.error_name + (row.over ? "  OVER THE LIMIT" : ""),
                                    comparison(row)};
  if (width > 0) {
    constexpr std::size_t least_of_a_name = 24;
    columns[0].width = least_of_a_name;
    for (std::size_t i : {std::size_t{4}, std::size_t{5}}) columns[i].width = texts[i].size();
  }
  const auto shown = columns_that_fit(columns, width);
  std::printf("%s%s\n", progress, table_line(columns, shown, texts, width).c_str());
}

void Reporter::print_results(bool complete) const {
  const Options& options = runner_.options();
  const bool aggregates = options.aggregates_only || options.display_aggregates_only;
  const std::string text = results_.text(options.display, aggregates, complete);
  std::fwrite(text.data(), 1, text.size(), stdout);
}

void Reporter::Finalize() {
  if (!for_people()) {
    print_results(true);
  } else {
    const std::vector<BestRow> best = best_rows(rows_, runner_);
    if (!best.empty()) print_table(best, !peers::all().empty());
    print_loaded(rows_);
    const auto over =
        std::count_if(rows_.begin(), rows_.end(), [](const auto& r) { return r.over; });
    std::printf(
        "\n%zu rows in %s, %zu failed verification, %zu could not run, %td over their limit\n",
        done_, duration(now() - begin_).c_str(), wrong_, unable_, over);
    std::printf("%s", conclusion(best).c_str());
    for (const std::string& failure : failed_) std::printf("FAILED %s\n", failure.c_str());
  }
  if (file_) file_->finish(true);
}

void Reporter::end_early(const std::string& why) {
  std::fprintf(stderr, "quantbench: %s after %zu of %zu rows", printable(why).c_str(), done_,
               total_);
  if (const Case* c = runner_.at_hand()) std::fprintf(stderr, ", at %s", c->name().c_str());
  std::fprintf(stderr, "\n");
  if (!for_people()) print_results(false);
  if (!file_) return;
  file_->finish(false);
  std::fprintf(stderr, "quantbench: they are written to '%s'\n", printable(file_->path()).c_str());
}

ExitStatus Reporter::exit_status() const {
  return wrong_ ? kWrongKernel : unable_ ? kIncomplete : kSuccess;
}

}  // namespace qb::bench
