#include "roof.h"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>

#include "data.h"
#include "limits_kernels.h"

namespace qb::bench {
namespace {

using limits::LimitKernels;
using limits::StreamLoop;

constexpr double kMaxAge = 8.0;  // seconds that a limit stays near in time

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// For the peak of `unit`, or with none for the bandwidth.
const LimitKernels& strongest(FeatureSet have, Peak unit) {
  (void)have, (void)unit;
#if defined(__x86_64__)
  if (unit != Peak::none && unit != Peak::f32 && have.contains(isa::amx)) return limits::limits_amx;
  if (unit == Peak::bf16 && have.contains(isa::avx512bf16)) return limits::limits_avx512bf16;
  if (have.contains(isa::avx512vnni)) return limits::limits_avx512vnni;
  if (have.contains(isa::avx512)) return limits::limits_avx512;
  if (have.contains(isa::avxvnni)) return limits::limits_avxvnni;
  if (have.contains(isa::avx2)) return limits::limits_avx2;
  if (have.contains(isa::sse4_2)) return limits::limits_sse4_2;
#elif defined(__aarch64__)
  if (unit == Peak::bf16 && have.contains(isa::neon_bf16)) return limits::limits_neon_bf16;
  if (have.contains(isa::sve)) return limits::limits_sve;
  if (have.contains(isa::neon_i8mm)) return limits::limits_neon_i8mm;
  if (have.contains(isa::neon_dotprod)) return limits::limits_neon_dotprod;
#endif
  return limits::limits_baseline;
}

/// The table of shorter vectors whose loops may be faster; every table has the same patterns. Zen 4
/// reads the third cache and memory a tenth to a third faster by 32 bytes than by 64, and NEON's
/// loops are interleaved beyond the caches where SVE's are not.
const LimitKernels* narrower([[maybe_unused]] const LimitKernels& kernels) {
#if defined(__x86_64__)
  if (kernels.step_bytes == 64) return &limits::limits_avx2;
#elif defined(__aarch64__)
  if (&kernels == &limits::limits_sve) return &limits::limits_baseline;
#endif
  return nullptr;
}

/// Seconds of one call of body(), the best of several timed batches.
template <class Body>
double best_seconds(int threads, const Body& body) {
  auto timed = [&](std::size_t calls) {
    double seconds;
    if (threads == 1) {
      const double begin = now();
      for (std::size_t i = 0; i < calls; ++i) body(0);
      seconds = now() - begin;
    } else {
      double begin = 0, end = 0;
#pragma omp parallel num_threads(threads)
      {
        const int t = omp_get_thread_num();
#pragma omp barrier
#pragma omp master
        begin = now();
        for (std::size_t i = 0; i < calls; ++i) body(t);
#pragma omp barrier
#pragma omp master
        end = now();
      }
      seconds = end - begin;
    }
    return seconds / double(calls);
  };
  double best = timed(1);
  const std::size_t calls = std::size_t(std::clamp(1e-3 / std::max(best, 1e-9), 1.0, 1e6));
  const double deadline = now() + 0.04;
  for (int i = 0; i < 12 && (i < 4 || now() < deadline); ++i) best = std::min(best, timed(calls));
  return best;
}

double measure_bandwidth(const StreamLoop& loop, std::size_t vector, std::size_t working_set,
                         int threads) {
  // A step moves reads + writes vectors; steps in multiples of 8 KiB over the vector size, or of
  // the unrolling alone for sets too small for that.
  const std::size_t per_step = std::size_t(loop.reads + loop.writes) * vector;
  std::size_t steps = working_set / std::size_t(threads) / per_step / 64 * 64;
  steps = std::max<std::size_t>(steps, 64);
  struct Buffers {
    Bytes src, dst;
  };
  std::vector<Buffers> of_thread;
  for (int t = 0; t < threads; ++t) {
    // Slack beyond the source: the interleaved loop's prefetches stay inside the mapping.
    of_thread.push_back({Bytes(steps * std::size_t(loop.reads) * vector + 4096),
                         Bytes(steps * std::size_t(loop.writes) * vector + 64)});
    std::byte* p = of_thread.back().src.data();
    for (std::size_t i = 0; i < of_thread.back().src.size(); i += 8) p[i] = std::byte(i * 37 >> 3);
  }
  const auto seconds = [&](auto* run) {
    return best_seconds(threads, [&](int t) {
      auto& b = of_thread[std::size_t(t)];
      run(b.src.data(), b.dst.data(), steps);
    });
  };
  double best = seconds(loop.plain);
  if (working_set > (std::size_t{1} << 20))
    for (auto* const streaming : loop.streaming)
      if (streaming) best = std::min(best, seconds(streaming));
  return double(steps) * double(per_step) * threads / best;
}

}  // namespace

template <class Measure>
double Limits::recall(const std::string& label, Measure measure) {
  Entry& entry = known_[label];
  if (entry.rate > 0 && !entry.doubted && now() - entry.measured_at < kMaxAge) return entry.rate;
  const double fresh = measure();
  entry = {entry.doubted ? std::max(entry.rate, fresh) : fresh, now(), false};
  return entry.rate;
}

double Limits::bandwidth(const Pass& pass, std::size_t working_set, int threads) {
  const LimitKernels& kernels = strongest(isa::enabled(), Peak::none);
  // The pattern whose share of writes is nearest, on a log scale of read:written.
  auto balance = [](double r, double w) {
    return std::clamp(std::log2((r + 1e-9) / (w + 1e-9)), -6.0, 6.0);
  };
  const double wanted = balance(pass.read, pass.written);
  const StreamLoop* nearest = kernels.loops;
  for (std::size_t i = 1; i < kernels.loop_count; ++i) {
    const StreamLoop& l = kernels.loops[i];
    if (std::fabs(balance(l.reads, l.writes) - wanted) <
        std::fabs(balance(nearest->reads, nearest->writes) - wanted))
      nearest = &l;
  }
  const std::string label =
      "bandwidth_" + std::to_string(nearest->reads) + "r" + std::to_string(nearest->writes) +
      "w/bytes:" + std::to_string(working_set) + "/threads:" + std::to_string(threads);
  return recall(label, [&] {
    double best = measure_bandwidth(*nearest, kernels.step_bytes, working_set, threads);
    if (const LimitKernels* other = narrower(kernels))
      best = std::max(best, measure_bandwidth(other->loops[nearest - kernels.loops],
                                              other->step_bytes, working_set, threads));
    return best;
  });
}

double Limits::peak(Peak unit, FeatureSet needs, int threads) {
  const LimitKernels& kernels = strongest(needs & isa::enabled(), unit);
  const auto run = unit == Peak::int8   ? kernels.int8_peak
                   : unit == Peak::int4 ? kernels.int4_peak
                                        : kernels.f32_peak;
  const char* name = unit == Peak::f32    ? "f32"
                     : unit == Peak::bf16 ? "bf16"
                     : unit == Peak::int8 ? "int8"
                                          : "int4";
  const std::string label =
      std::string("peak_") + name + "/" + kernels.isa + "/threads:" + std::to_string(threads);
  return recall(label, [&] {
    constexpr std::size_t rounds = 20000;
    double ops = 0;
    const double seconds = best_seconds(threads, [&](int t) {
      const double per_round = run(rounds);
      if (t == 0) ops = per_round;
    });
    return ops * double(rounds) * threads / seconds;
  });
}

double Limits::seconds(const Work& work, FeatureSet needs, int threads) {
  double memory = 0;
  for (const Pass& pass : work.passes)
    memory += (pass.read + pass.written) / bandwidth(pass, work.working_set, threads);
  const double compute = work.peak == Peak::none ? 0 : work.ops / peak(work.peak, needs, threads);
  return std::max(memory, compute);
}

void Limits::doubt() {
  for (auto& [label, entry] : known_) entry.doubted = true;
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
