// SPDX-License-Identifier: Apache-2.0
#include "runner.h"

#include <algorithm>
#include <chrono>
#include <regex>
#include <stdexcept>

#include "core/printable.h"
#include "figure.h"
#include "machine.h"
#include "peers/peers.h"
#include "plugins/plugins.h"
#include "threads.h"

namespace qb::bench {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

constexpr double kOnceMore = 0.02;  // seconds that a row over its limit is timed again
constexpr double kLongCall = 0.05;  // refilling the caches is little of it
// Scalar code without a row of its own is timed as a row is, in batches; slow code in fewer.
constexpr int kBaselineBatches = 5;
constexpr double kBaselineBatch = 0.005;  // seconds, at the least
constexpr double kBaselineSeconds = 2;    // after so many no further batch begins

/// Google Benchmark's rule for --benchmark_filter: an expression that is found somewhere in the
/// name; a leading '-' negates. Rows are selected here, since the library would look for the
/// expression in a name with the number of repetitions at its end.
class Selection {
 public:
  explicit Selection(std::string filter) : negative_(filter.starts_with('-')) {
    if (negative_) filter.erase(0, 1);
    if (filter.empty() || filter == "all") filter = ".";
    try {
      pattern_.assign(filter, std::regex::extended);
    } catch (const std::regex_error&) {
      throw std::invalid_argument("--benchmark_filter: '" + filter + "' is no regular expression");
    }
  }
  bool operator()(const std::string& name) const {
    return std::regex_search(name, pattern_) != negative_;
  }

 private:
  bool negative_;
  std::regex pattern_;
};

/// Whether a loaded variant of the same row is compared with this one: ours that runs here, but for
/// plain loops, which are in no one's way.
bool is_rival_of_loaded(const Case& c) {
  const Variant* const v = c.variant;
  return !plugins::all().empty() && !plugins::as_loaded(v) && !peers::as_peer(v) &&
         v->name != "scalar" && v->refusal().empty();
}

/// As one argument of a shell's command line.
std::string quoted(const std::string& text) {
  std::string all = "'";
  for (const char c : text) all += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return all + "'";
}

/// Times the row; seconds of a call, which counters need that are ratios. Google Benchmark tells
/// its own time only to reporters, so a clock is read within its loop: around the loop, its system
/// calls would be timed as well, and what other processes do meanwhile.
double timed_calls(Instance& instance, benchmark::State& state) {
  const auto calls = state.max_iterations;
  auto left = calls;
  double begin = 0, end = 0;
  for (auto _ : state) {
    if (left == calls) begin = now();
    instance.run();
    if (--left == 0) end = now();
  }
  return (end - begin) / double(std::max<decltype(left)>(calls, 1));
}

}  // namespace

Plan make_plan(const Options& options, const std::vector<CacheLevel>& caches,
               std::size_t memory_from) {
  constexpr std::size_t Ki = 1024, Mi = 1024 * 1024;
  Plan plan;
  plan.threads = options.threads;
  plan.peers = options.peers;
  const bool own_shapes = !options.sizes.empty() || !options.matmul.empty();
  if (own_shapes) {
    plan.sizes = options.sizes;
    plan.matmul = options.matmul;
    return plan;
  }
  switch (options.profile) {
    case Profile::smoke:
      plan.sizes = {2 * Ki};
      plan.matmul = {{1, 48, 128}, {5, 48, 128}};
      break;
    case Profile::quick: {
      // One size per measured level, of a coarse ladder so that runs on one machine stay
      // comparable, and one beyond: of memory for certain in its narrowest array (f16), if that
      // takes no more than twice the elements (docs/decisions/0005).
      for (const CacheLevel& level : caches) {
        std::size_t fits = 0;
        for (const std::size_t n : {4 * Ki, 32 * Ki, 512 * Ki})
          if (n * 5 <= level.bytes) fits = n;
        if (fits && (plan.sizes.empty() || fits > plan.sizes.back())) plan.sizes.push_back(fits);
      }
      std::size_t beyond = 16 * Mi;
      while (beyond < 32 * Mi && beyond * 2 < memory_from) beyond *= 2;
      plan.sizes.push_back(beyond * 2 >= memory_from ? beyond : 16 * Mi);
      plan.matmul = {{1, 4096, 4096}, {12, 4096, 512}, {32, 1024, 4096}};
      break;
    }
    case Profile::full:
      plan.every_group = true;
      for (std::size_t n = Ki; n <= 64 * Mi || (n <= 256 * Mi && n * 2 < 4 * memory_from); n *= 4)
        plan.sizes.push_back(n);
      // Of each class of rows (core/rows.h) one at least, for quantbench-choose.
      plan.matmul = {{12, 512, 512},    {12, 4096, 512},  {1, 4096, 4096},
                     {2, 4096, 4096},   {32, 4096, 4096}, {128, 4096, 4096},
                     {512, 4096, 4096}, {1, 4096, 11008}, {1, 4096, 4096, true}};
      break;
  }
  return plan;
}

Runner::Runner(const Options& options, Suite suite, std::vector<CacheLevel> caches,
               std::size_t memory_from, const Trials& trials)
    : options_(options),
      suite_(std::move(suite)),
      caches_(std::move(caches)),
      memory_from_(memory_from),
      rivals_(
          now, [this](const Case& c) { return c.make(setup(c)); }, options.verify),
      own_rivals_(
          now, [this](const Case& c) { return c.make(setup(c)); }, options.verify),
      trials_(trials),
      passes_(trials) {
  for (const Case& c : suite_) {
    by_name_[c.name()] = &c;
    if (is_rival_of_loaded(c)) own_rivals_.add(c);
    if (peers::as_peer(c.variant)) rivals_.add(c);
    if (is_baseline(c) && options_.scalar) scalar_cases_[baseline_key(c)] = &c;
  }
}

std::string Runner::baseline_key(const Case& c) const {
  return c.op + "/" + c.format + "/" + c.shape;
}

std::size_t Runner::register_selected(const std::set<std::string>& done) {
  const Selection selected(options_.filter);
  std::size_t count = 0;
  for (const Case& c : suite_) {
    const std::string name = c.name();
    if (!c.variant->refusal().empty() || done.count(name) || !selected(name)) continue;
    auto* const row = benchmark::RegisterBenchmark(
        name.c_str(), [this, &c](benchmark::State& state) { run(c, state); });
    const int repetitions = options_.dispatched_repetitions;
    const bool of_interest = c.is_dispatched_to() || plugins::as_loaded(c.variant);
    if (repetitions != options_.repetitions && !options_.list_tests && of_interest)
      row->Repetitions(repetitions);
    ++count;
  }
  return count;
}

double Runner::baseline(const Case& c, double median_seconds) {
  if (is_baseline(c)) scalar_seconds_[baseline_key(c)] = median_seconds;
  const auto known = scalar_seconds_.find(baseline_key(c));
  return known == scalar_seconds_.end() ? 0 : known->second;
}

std::map<std::string, std::string> Runner::operations() const {
  std::map<std::string, std::string> symbols;
  for (const Case& c : suite_) symbols[c.op + "/" + c.format] = c.variant->op;
  return symbols;
}

const Case* Runner::find(const std::string& name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

std::string Runner::reproduce(const Case& c) const {
  std::string shape = c.shape;
  std::replace(shape.begin(), shape.end(), '/', ',');
  std::string command = "quantbench";
  if (const auto* const loaded = plugins::as_loaded(c.variant))
    command += " --kernels=" + quoted(loaded->file);
  command += " --seed=" + std::to_string(options_.seed) +
             " --verify=" + to_string(options_.verify) + " --shape " + shape;
  if (c.threads > 1) command += " --threads=" + std::to_string(c.threads);
  return command + " --benchmark_filter='^" + c.name() + "$'";
}

Setup Runner::setup(const Case& c) {
  const std::size_t cache = caches_.empty() ? std::size_t{32} << 20 : caches_.back().bytes;
  return {problems_, options_.seed, c.threads, cache};
}

std::string Runner::found_beforehand(const Case& c) {
  if (options_.verify != Verify::off)
    if (const std::string& finding = passes_.finding(*c.variant); !finding.empty())
      return "failed conformance: " + finding;
  if (!plugins::as_loaded(c.variant)) return {};
  const std::string finding = trials_.row(c, setup(c).cache_bytes);
  return finding.empty() ? finding : "failed on the inputs to be timed: " + finding;
}

void Runner::prepare(const Case& c) {
  if (current_.owner == &c) return;
  current_ = {};
  current_.nonconforming = found_beforehand(c);
  if (!current_.nonconforming.empty()) {
    current_.owner = &c;
    return;
  }
  require_memory(c.work.working_set);
  current_.instance = c.make(setup(c));
  current_.owner = &c;
  const double begin = now();
  current_.instance->run();
  current_.seconds = now() - begin;
  if (options_.verify == Verify::off) return;
  current_.error = current_.instance->verify(options_.verify);
  current_.verified = true;
}

double Runner::scalar_seconds(const Case& c) {
  const std::string key = baseline_key(c);
  if (const auto known = scalar_seconds_.find(key); known != scalar_seconds_.end())
    return known->second;
  const auto found = scalar_cases_.find(key);
  if (found == scalar_cases_.end()) return 0;
  const Case& scalar = *found->second;
  const std::unique_ptr<Instance> instance = scalar.make(setup(scalar));
  clear_upper_halves(c.threads);
  instance->run();  // brings its data into the caches
  std::vector<double> batches;
  const double begin = now();
  while (batches.size() < kBaselineBatches && now() - begin < kBaselineSeconds) {
    const double start = now();
    double calls = 0;
    do {
      instance->run();
      ++calls;
    } while (now() - start < kBaselineBatch);
    batches.push_back((now() - start) / calls);
  }
  return scalar_seconds_[key] = median(batches);
}

const Runner::Failure* Runner::failure(const std::string& name) const {
  const auto found = failures_.find(name);
  return found == failures_.end() ? nullptr : &found->second;
}

void Runner::fail(const Case& c, Failure failure, benchmark::State& state) {
  failure.message = printable(failure.message);
  state.SkipWithError(failure.message.c_str());
  failures_[c.name()] = std::move(failure);
}

void Runner::run(const Case& c, benchmark::State& state) {
  at_hand_ = &c;
  // The library asks for the other repetitions of a failed row all the same.
  if (const Failure* before = failure(c.name())) return fail(c, *before, state);
  std::string why;
  try {
    return run_verified(c, state);
  } catch (const std::bad_alloc&) {
    why = "out of memory";
  } catch (const std::exception& e) {
    why = e.what();
  }
  current_ = {};
  problems_ = {};
  rivals_.release();
  own_rivals_.release();
  fail(c, {why, false}, state);
}

void Runner::run_verified(const Case& c, benchmark::State& state) {
  if (const int size = team_size(c.threads); size != c.threads)
    return fail(c, {"OpenMP gives a team of " + std::to_string(size), false}, state);
  prepare(c);
  if (!current_.nonconforming.empty())
    return fail(c, {current_.nonconforming + "; reproduce: " + reproduce(c), true}, state);
  if (!acceptable(c, current_.error)) {
    const std::string message = std::to_string(current_.error.mismatches) +
                                " mismatches: " + current_.error.first +
                                "; reproduce: " + reproduce(c);
    return fail(c, {message, true}, state);
  }
  if (!emulated() && options_.profile != Profile::smoke) {
    compare(c);
    limits_.seconds(c.work, c.judged_by(), c.threads);  // near in time: before as well as after
    if (!is_baseline(c)) scalar_seconds(c);
    // Something else may have had the caches in between; a long call makes up for that itself.
    if (current_.seconds < kLongCall) current_.instance->run();
  }
  clear_upper_halves(c.threads);
  energy_.start();
  const double seconds = timed_calls(*current_.instance, state);
  const double joules = energy_.joules_per_call(double(state.max_iterations), seconds);
  count(c, seconds, state);
  if (joules >= 0) state.counters["joules_per_call"] = joules;
}

void Runner::compare(const Case& c) {
  // What plain loops do beside other projects' kernels is no question worth a fifth of the run.
  if (current_.compared || peers::as_peer(c.variant) || c.variant->name == "scalar") return;
  current_.turns = rivals_.compare(c, *current_.instance);
  if (plugins::as_loaded(c.variant))
    current_.own_turns = own_rivals_.compare(c, *current_.instance);
  current_.compared = true;
}

bool Runner::exceeds_limit(const Case& c, double seconds) {
  const auto over = [&](double time) {
    return 100 * limits_.seconds(c.work, c.judged_by(), c.threads) > kPercentOfError * time;
  };
  if (!over(seconds)) return false;
  limits_.doubt();
  if (!over(seconds)) return false;
  // The clock may have been another one in this repetition: both once more, side by side.
  const auto calls = std::size_t(std::max(kOnceMore / seconds, 1.0));
  clear_upper_halves(c.threads);
  const double begin = now();
  for (std::size_t i = 0; i < calls; ++i) current_.instance->run();
  const double again = (now() - begin) / double(calls);
  limits_.doubt();
  return over(again);
}

void Runner::count(const Case& c, double seconds, benchmark::State& state) {
  auto& counters = state.counters;
  const Error& error = current_.error;
  if (current_.verified) {
    // A peer whose arithmetic is not the contract's is held to its error alone.
    const bool by_nmse = error.mismatches > 0;
    counters["mismatches"] = 0;
    if (by_nmse) counters["differing"] = double(error.mismatches);
    if (error.nmse) counters["nmse"] = *error.nmse;
    if (error.weights_nmse) counters["weights_nmse"] = *error.weights_nmse;
    if (error.of_bound && !by_nmse) counters["of_bound"] = *error.of_bound;
  }
  std::string label = "verified:" + (current_.verified ? to_string(options_.verify) : "off");
  if (const peers::Peer* peer = peers::as_peer(c.variant)) label += "; " + printable(peer->note);
  if (const auto* const loaded = plugins::as_loaded(c.variant))
    label += "; loaded from " + printable(loaded->file);
  if (c.is_dispatched_to())
    label += "; dispatched to" +
             (c.rows == Rows::any ? "" : " for rows: " + std::string(rows_name(c.rows)));
  if (emulated()) {
    state.SetLabel(label + " emulated: no timing claim");
    return;
  }
  double bytes = 0;
  for (const Pass& pass : c.work.passes) bytes += pass.read + pass.written;
  counters["bytes_per_second"] = bytes / seconds;
  counters["items_per_second"] = c.work.items / seconds;
  if (c.work.ops > 0) counters["ops_per_second"] = c.work.ops / seconds;
  if (options_.profile == Profile::smoke) {
    state.SetLabel(label + " smoke: no timing claim");
    return;
  }
  if (const double ghz = clock_ghz(); ghz > 0) counters["clock_ghz"] = ghz;
  const bool over = exceeds_limit(c, seconds);
  const double limit = limits_.seconds(c.work, c.judged_by(), c.threads);
  counters["limit_ns"] = limit * 1e9;
  counters["roof_pct"] = 100 * limit / seconds;
  counters["over_limit"] = over;
  if (over) label += " OVER THE LIMIT";
  if (is_baseline(c))
    counters["speedup_vs_scalar"] = 1;
  else if (const double scalar = scalar_seconds(c); scalar > 0)
    counters["speedup_vs_scalar"] = scalar / seconds;
  if (const auto& turns = current_.own_turns) {
    counters["vs_best_own"] = turns->ratio;
    counters["vs_best_own_low"] = turns->low;
    counters["vs_best_own_high"] = turns->high;
    label += "; best own: " + std::string(turns->peer->variant->name);
  }
  if (const auto& turns = current_.turns) {
    counters["vs_best_peer"] = turns->ratio;
    counters["vs_best_peer_low"] = turns->low;
    counters["vs_best_peer_high"] = turns->high;
    counters["turn_ns"] = turns->own_seconds * 1e9;
    counters["peer_turn_ns"] = turns->peer_seconds * 1e9;
    label += "; best peer: " + std::string(turns->peer->variant->name);
  }
  state.SetLabel(label);
}

}  // namespace qb::bench
