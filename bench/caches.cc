// SPDX-License-Identifier: Apache-2.0
#include "caches.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <numeric>
#include <random>

#include "bandwidth.h"
#include "data.h"
#include "stopwatch.h"

namespace qb::bench {
namespace {

/// The largest data cache of the first CPU as the kernel tells it; 0 if it does not.
std::size_t reported_cache() {
  std::size_t largest = 0;
  for (int i = 0; i < 8; ++i) {
    std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(i) + "/size");
    std::size_t size = 0;
    char unit = 0;
    if (!(file >> size)) break;
    file >> unit;
    largest = std::max(largest, size << (unit == 'K' ? 10 : unit == 'M' ? 20 : 0));
  }
  return largest;
}

/// A quarter of the memory that nobody uses.
std::size_t memory_to_spare() {
  const long pages = sysconf(_SC_AVPHYS_PAGES), size = sysconf(_SC_PAGESIZE);
  return pages > 0 && size > 0 ? std::size_t(pages) / 4 * std::size_t(size) : 0;
}

}  // namespace

std::vector<CacheLevel> cache_levels(std::span<const LatencyPoint> curve) {
  // A plateau is a latency that grows by less than a tenth over two steps of size (x1.56), and is
  // at least 1.5 times that of the plateau before. A level ends at the last size whose latency is
  // nearer to its own plateau than to the next one, on a log scale; the last plateau is memory. A
  // level that is not twice as large as the one before is part of that: a shared cache ends in
  // several steps.
  std::vector<double> plateaus;
  for (std::size_t i = 0; i + 2 < curve.size(); ++i) {
    const bool flat = curve[i + 2].ns < curve[i].ns * 1.1;
    if (flat && (plateaus.empty() || curve[i].ns > plateaus.back() * 1.5))
      plateaus.push_back(curve[i].ns);
  }
  std::vector<CacheLevel> levels;
  for (std::size_t p = 0; p + 1 < plateaus.size(); ++p) {
    const double border = std::sqrt(plateaus[p] * plateaus[p + 1]);
    std::size_t bytes = curve[0].bytes;
    for (const LatencyPoint& point : curve)
      if (point.ns < border) bytes = point.bytes;
    if (!levels.empty() && bytes < 2 * levels.back().bytes)
      levels.back().bytes = bytes;
    else
      levels.push_back({bytes, plateaus[p]});
  }
  if (levels.empty()) levels.push_back({32 << 10, plateaus.empty() ? 0 : plateaus[0]});
  return levels;
}

std::vector<CacheLevel> measure_caches() {
  struct Line {
    Line* next;
    std::byte pad[64 - sizeof(Line*)];
  };
  const std::size_t most = std::size_t{128} << 20;
  Array<Line> lines(most / sizeof(Line));
  std::vector<LatencyPoint> curve;
  std::mt19937 words(1);
  for (std::size_t bytes = 8 << 10; bytes <= most;
       bytes += bytes >= (16u << 10) ? bytes / 4 : 4096) {
    // Quarter steps above each power of two: 16, 20, 25, 31, ... KiB.
    const std::size_t count = bytes / sizeof(Line);
    std::vector<std::uint32_t> order(count);
    std::iota(order.begin(), order.end(), 0u);
    // Random within neighbourhoods of 64 KiB only: prefetchers are lost there, while translation
    // misses stay rare, which would otherwise show as levels of their own.
    constexpr std::size_t neighbourhood = (64 << 10) / sizeof(Line);
    for (std::size_t begin = 0; begin < count; begin += neighbourhood)
      std::shuffle(order.begin() + std::ptrdiff_t(begin),
                   order.begin() + std::ptrdiff_t(std::min(begin + neighbourhood, count)), words);
    for (std::size_t i = 0; i < count; ++i) lines[order[i]].next = &lines[order[(i + 1) % count]];
    // At least the whole set, so that each repetition finds what the last one left.
    const std::size_t hops = std::max<std::size_t>(count, 20000);
    double best = 1e9;
    Line* at = &lines[order[0]];
    for (int repeat = 0; repeat < (bytes > (4u << 20) ? 3 : 12); ++repeat) {
      const double begin = now();
      for (std::size_t i = 0; i < hops; ++i) at = at->next;
      best = std::min(best, (now() - begin) / double(hops) * 1e9);
      __asm__ volatile("" : "+r"(at));
    }
    curve.push_back({bytes, best});
  }
  return cache_levels(curve);
}

std::size_t memory_from(std::span<const ReadPoint> curve) {
  if (curve.size() < 2) return 0;
  std::size_t first = curve.size() - 1;
  while (first > 0 && curve[first - 1].rate < curve.back().rate * 1.15) --first;
  return first + 1 < curve.size() ? curve[first].bytes : 0;
}

std::vector<std::size_t> sets_to_read(std::size_t measured, std::size_t reported,
                                      std::size_t most) {
  const std::size_t least = 2 * measured, far = 4 * std::max(measured, reported);
  std::vector<std::size_t> sets;
  for (std::size_t set = least; set < far; set *= 2) sets.push_back(set);
  sets.push_back(far);
  if (far > most) sets.clear();
  return sets;
}

std::size_t measure_memory_from(const std::vector<CacheLevel>& caches) {
  const std::vector<std::size_t> sets =
      sets_to_read(caches.back().bytes, reported_cache(), memory_to_spare());
  Bandwidth bandwidth;
  const Bandwidth::Pattern reading = bandwidth.nearest({1, 0});
  std::vector<ReadPoint> curve;
  for (const std::size_t set : sets) curve.push_back({set, bandwidth.glance(reading, set)});
  return memory_from(curve);
}

std::string served_by(std::size_t working_set, std::span<const CacheLevel> caches,
                      std::size_t memory_from) {
  for (std::size_t i = 0; i < caches.size(); ++i)
    if (working_set <= caches[i].bytes) return "L" + std::to_string(i + 1);
  if (memory_from > 0 && working_set >= memory_from) return "memory";
  return "L" + std::to_string(std::max<std::size_t>(caches.size(), 3)) + "/memory";
}

}  // namespace qb::bench
