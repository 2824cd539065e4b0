// SPDX-License-Identifier: Apache-2.0
#include "bandwidth.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>

#include "core/isa.h"
#include "stopwatch.h"

namespace qb::bench {
namespace {

using limits::LimitKernels;
using limits::StreamLoop;

constexpr std::size_t kCached = 128 << 10;  // smaller sets are in a cache that streams don't help
constexpr std::size_t kKept = 3;            // candidates that are timed again
constexpr std::size_t kStepGranule = 16;    // loops take steps in multiples of it
constexpr std::size_t kSlack = 16 << 10;    // room for prefetches behind the arrays
constexpr double kBatch = 0.4e-3;           // seconds: longer than an interruption

/// The instruction sets whose loops are tried: the widest vectors, and those half as wide or that
/// know more patterns. Zen 4 reads the third cache and memory a tenth to a third faster by 32 bytes
/// than by 64, and NEON's loops take turns where SVE's do not.
std::vector<const LimitKernels*> loop_sets() {
  [[maybe_unused]] const FeatureSet have = isa::enabled();
#if defined(__x86_64__)
  if (have.contains(isa::avx512)) return {&limits::limits_avx512, &limits::limits_avx2};
  if (have.contains(isa::avx2)) return {&limits::limits_avx2};
#elif defined(__aarch64__)
  if (have.contains(isa::sve)) return {&limits::limits_sve, &limits::limits_baseline};
#endif
  return {&limits::limits_baseline};
}

/// A share of reads and writes on a log scale.
double balance(double read, double written) {
  return std::clamp(std::log2((read + 1e-9) / (written + 1e-9)), -6.0, 6.0);
}

}  // namespace

Bandwidth::Pattern Bandwidth::nearest(const Pass& pass) const {
  const LimitKernels& kernels = *loop_sets().front();
  const double wanted = balance(pass.read, pass.written);
  const auto distance = [&](const StreamLoop& loop) {
    return std::fabs(balance(loop.reads, loop.writes) - wanted);
  };
  const StreamLoop* const loop = std::min_element(
      kernels.loops, kernels.loops + kernels.loop_count,
      [&](const StreamLoop& a, const StreamLoop& b) { return distance(a) < distance(b); });
  return {loop->reads, loop->writes, std::size_t(loop - kernels.loops)};
}

std::vector<Bandwidth::Candidate> Bandwidth::all_candidates(const Pattern& pattern,
                                                            std::size_t working_set) const {
  std::vector<Candidate> list;
  for (const LimitKernels* kernels : loop_sets()) {
    const StreamLoop& loop = kernels->loops[pattern.index];
    for (limits::StreamFn* run : loop.cached)
      if (run) list.push_back({run, kernels->step_bytes});
    if (working_set > kCached)
      for (limits::StreamFn* run : loop.streaming)
        if (run) list.push_back({run, kernels->step_bytes});
  }
  return list;
}

void Bandwidth::provide(std::size_t working_set, int threads) {
  const std::size_t bytes = working_set / std::size_t(threads) * 5 / 4 + 4 * kSlack;
  if (arenas_.size() >= std::size_t(threads) && arenas_.front().size() >= bytes) return;
  arenas_.clear();
  for (int t = 0; t < threads; ++t) arenas_.emplace_back(bytes);
}

void Bandwidth::time(Timed& timed, const Pattern& pattern, std::size_t working_set, int threads) {
  const std::size_t vector = timed.candidate.vector;
  const std::size_t per_step = std::size_t(pattern.reads + pattern.writes) * vector;
  const std::size_t granule = per_step * kStepGranule;
  const std::size_t share = working_set / std::size_t(threads);
  const std::size_t steps = std::max(share / granule, std::size_t{1}) * kStepGranule;
  const std::size_t source = steps * std::size_t(pattern.reads) * vector;
  // Not at the same place of a page: a load would wait for the store to a place 4 KiB away.
  const std::size_t destination = (source + kSlack) / 4096 * 4096 + 1024;
  const auto batch = [&](std::size_t repeats) {
    const double seconds = batch_seconds(threads, [&](int t) {
      std::byte* const arena = arenas_[std::size_t(t)].data();
      timed.candidate.run(arena, arena + destination, steps, repeats);
    });
    const double bytes = double(steps * per_step) * threads * double(repeats);
    timed.rate = std::max(timed.rate, bytes / seconds);
    return seconds;
  };
  const double once = batch(1);
  if (once < kBatch) batch(std::size_t(kBatch / std::max(once, 1e-8)) + 1);
}

double Bandwidth::measure(const Pattern& pattern, std::size_t working_set, int threads,
                          bool search) {
  provide(working_set, threads);
  std::vector<Candidate>& best = best_[{pattern.index, std::bit_width(working_set), threads}];
  std::vector<Timed> list;
  for (const Candidate& c : best.empty() || search ? all_candidates(pattern, working_set) : best)
    list.push_back({c});
  const auto faster = [](const Timed& a, const Timed& b) { return a.rate > b.rate; };
  for (Timed& timed : list) time(timed, pattern, working_set, threads);
  std::sort(list.begin(), list.end(), faster);
  if (list.size() > kKept) list.resize(kKept);
  for (int round = 0; round < 4; ++round)
    for (Timed& timed : list) time(timed, pattern, working_set, threads);
  std::sort(list.begin(), list.end(), faster);
  best.clear();
  for (const Timed& timed : list) best.push_back(timed.candidate);
  return list.front().rate;
}

double Bandwidth::glance(const Pattern& pattern, std::size_t working_set) {
  provide(working_set, 1);
  const LimitKernels& kernels = *loop_sets().front();
  Timed timed{{kernels.loops[pattern.index].cached[0], kernels.step_bytes}};
  for (int pass = 0; pass < 3; ++pass) time(timed, pattern, working_set, 1);
  return timed.rate;
}

}  // namespace qb::bench
