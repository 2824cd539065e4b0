// SPDX-License-Identifier: Apache-2.0
#include "roof.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>

#include "limits_kernels.h"
#include "stopwatch.h"

namespace qb::bench {
namespace {

using limits::LimitKernels;
using limits::PeakFn;

constexpr double kMaxAge = 8.0;  // seconds that a limit stays near in time

/// An instruction set and what it adds to those below.
struct Level {
  FeatureSet needs;
  const LimitKernels* kernels;
};

/// Strongest first.
const Level kLevels[] = {
#if defined(__x86_64__)
    {isa::amx, &limits::limits_amx},
    {isa::avx512bf16, &limits::limits_avx512bf16},
    {isa::avx512vnni, &limits::limits_avx512vnni},
    {isa::avx512, &limits::limits_avx512},
    {isa::avxvnni, &limits::limits_avxvnni},
    {isa::avx2, &limits::limits_avx2},
    {isa::sse4_2, &limits::limits_sse4_2},
#elif defined(__aarch64__)
    {isa::neon_bf16, &limits::limits_neon_bf16},
    {isa::neon_i8mm, &limits::limits_neon_i8mm},
    {isa::sve, &limits::limits_sve},
    {isa::neon_dotprod, &limits::limits_neon_dotprod},
#endif
    {isa::baseline, &limits::limits_baseline},
};

PeakFn* peak_of(const LimitKernels& kernels, Peak unit) {
  switch (unit) {
    case Peak::f32:
      return kernels.f32_peak;
    case Peak::bf16:
      return kernels.bf16_peak;
    case Peak::int8:
      return kernels.int8_peak;
    case Peak::int4:
      return kernels.int4_peak;
    case Peak::none:
      break;
  }
  return nullptr;
}

/// Null if none of the levels within `have` has such a peak.
const LimitKernels* strongest(FeatureSet have, Peak unit) {
  for (const Level& level : kLevels)
    if (have.contains(level.needs) && peak_of(*level.kernels, unit)) return level.kernels;
  return nullptr;
}

const char* name_of(Peak unit) {
  return unit == Peak::f32    ? "f32"
         : unit == Peak::bf16 ? "bf16"
         : unit == Peak::int8 ? "int8"
                              : "int4";
}

/// Operations per second: the best of several batches of a millisecond or so.
double measure_peak(PeakFn* run, int threads) {
  constexpr std::size_t kRounds = 20000;
  double ops = 0;
  const auto batch = [&](std::size_t calls) {
    const double seconds = batch_seconds(threads, [&](int t) {
      double per_round = 0;
      for (std::size_t i = 0; i < calls; ++i) per_round = run(kRounds);
      if (t == 0) ops = per_round;
    });
    return seconds / double(calls);
  };
  double best = batch(1);
  const auto calls = std::size_t(std::clamp(1e-3 / std::max(best, 1e-9), 1.0, 1e6));
  for (int i = 0; i < 12; ++i) best = std::min(best, batch(calls));
  return ops * double(kRounds) * threads / best;
}

}  // namespace

template <class Measure>
double Limits::recall(const std::string& label, Measure measure) {
  asked_.push_back(label);
  Entry& entry = known_[label];
  if (entry.rate > 0 && !entry.doubted && now() - entry.measured_at < kMaxAge) return entry.rate;
  const double fresh = measure(entry.doubted);
  entry = {entry.doubted ? std::max(entry.rate, fresh) : fresh, now(), false};
  return entry.rate;
}

double Limits::bandwidth(const Pass& pass, std::size_t working_set, int threads) {
  const Bandwidth::Pattern pattern = bandwidth_.nearest(pass);
  const std::string label =
      "bandwidth_" + std::to_string(pattern.reads) + "r" + std::to_string(pattern.writes) +
      "w/bytes:" + std::to_string(working_set) + "/threads:" + std::to_string(threads);
  return recall(label, [&](bool search) {
    return bandwidth_.measure(pattern, working_set, threads, search);
  });
}

double Limits::peak(Peak unit, FeatureSet needs, int threads) {
  const FeatureSet have = needs & isa::enabled();
  if (unit == Peak::bf16 && !strongest(have, unit)) unit = Peak::f32;
  const LimitKernels& kernels = *strongest(have, unit);
  const std::string label = std::string("peak_") + name_of(unit) + "/" + kernels.isa +
                            "/threads:" + std::to_string(threads);
  return recall(label, [&](bool) { return measure_peak(peak_of(kernels, unit), threads); });
}

double Limits::seconds(const Work& work, FeatureSet needs, int threads) {
  asked_.clear();
  double memory = 0;
  for (const Pass& pass : work.passes)
    memory += (pass.read + pass.written) / bandwidth(pass, work.working_set, threads);
  const double compute = work.peak == Peak::none ? 0 : work.ops / peak(work.peak, needs, threads);
  return std::max(memory, compute);
}

void Limits::doubt() {
  for (const std::string& label : asked_) known_[label].doubted = true;
}

std::map<std::string, std::string> Limits::describe() const {
  std::map<std::string, std::string> lines;
  for (const auto& [label, entry] : known_) {
    char text[32];
    std::snprintf(text, sizeof text, "%.4g", entry.rate);
    lines[label] = text;
  }
  return lines;
}

double clock_ghz() {
#if defined(__x86_64__)
  // Short chains, many of them: one that was not interrupted is enough.
  constexpr int links = 3000;
  double best = 1e9;
  for (int repeat = 0; repeat < 10; ++repeat) {
    std::uint64_t x = 3;
    const double begin = now();
    for (int i = 0; i < links; i += 10)
      __asm__ volatile(
          "imul %0, %0\n\timul %0, %0\n\timul %0, %0\n\timul %0, %0\n\timul %0, %0\n\t"
          "imul %0, %0\n\timul %0, %0\n\timul %0, %0\n\timul %0, %0\n\timul %0, %0"
          : "+r"(x));
    best = std::min(best, now() - begin);
  }
  return 3.0 * links / best * 1e-9;
#else
  return 0;
#endif
}

}  // namespace qb::bench
