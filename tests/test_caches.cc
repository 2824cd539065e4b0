// SPDX-License-Identifier: Apache-2.0
// Cache levels as read off a curve of latencies.
#include <gtest/gtest.h>

#include "caches.h"

namespace qb::bench {
namespace {

constexpr std::size_t Ki = 1024;

/// Plateaus, each from where the one before ended (excluded) to its own end (included), in quarter
/// steps of size as they are measured.
std::vector<LatencyPoint> staircase(std::initializer_list<LatencyPoint> steps) {
  std::vector<LatencyPoint> curve;
  std::size_t bytes = 16 * Ki;
  for (const LatencyPoint& step : steps)
    for (; bytes <= step.bytes; bytes += bytes / 4) curve.push_back({bytes, step.ns});
  return curve;
}

std::vector<std::size_t> sizes(const std::vector<CacheLevel>& levels) {
  std::vector<std::size_t> list;
  for (const CacheLevel& level : levels) list.push_back(level.bytes);
  return list;
}

TEST(CacheLevels, EndWhereTheNextPlateauBegins) {
  const auto levels = cache_levels(
      staircase({{48 * Ki, 1.1}, {1024 * Ki, 3.8}, {32768 * Ki, 12}, {131072 * Ki, 120}}));
  ASSERT_EQ(levels.size(), 3u);
  EXPECT_DOUBLE_EQ(levels[0].latency_ns, 1.1);
  EXPECT_DOUBLE_EQ(levels[1].latency_ns, 3.8);
  EXPECT_DOUBLE_EQ(levels[2].latency_ns, 12);
  EXPECT_GT(levels[0].bytes, 38 * Ki);
  EXPECT_LE(levels[0].bytes, 48 * Ki);
  EXPECT_GT(levels[1].bytes, 800 * Ki);
  EXPECT_LE(levels[1].bytes, 1024 * Ki);
  EXPECT_GT(levels[2].bytes, 26000 * Ki);
  EXPECT_LE(levels[2].bytes, 32768 * Ki);
}

// As measured where other machines used the third cache as well.
TEST(CacheLevels, AStepOnTheWayOutOfACacheIsNoLevel) {
  const auto levels = cache_levels(staircase(
      {{32 * Ki, 1.1}, {1024 * Ki, 3.8}, {8192 * Ki, 11}, {13000 * Ki, 25}, {131072 * Ki, 110}}));
  ASSERT_EQ(levels.size(), 3u) << testing::PrintToString(sizes(levels));
  EXPECT_DOUBLE_EQ(levels[2].latency_ns, 11);
  EXPECT_GT(levels[2].bytes, 10000 * Ki);
}

TEST(CacheLevels, AFlatCurveIsOneLevel) {
  EXPECT_EQ(cache_levels(staircase({{131072 * Ki, 1.5}})).size(), 1u);
}

constexpr std::size_t Mi = 1024 * Ki;

// As measured on a Xeon whose third cache is reported with 260 MiB.
TEST(MemoryFrom, IsWhereReadingGetsNoSlower) {
  EXPECT_EQ(memory_from(std::vector<ReadPoint>{{32 * Mi, 28.1e9},
                                               {64 * Mi, 27.3e9},
                                               {128 * Mi, 19.9e9},
                                               {256 * Mi, 15.4e9},
                                               {512 * Mi, 16.2e9},
                                               {1040 * Mi, 15.5e9}}),
            256 * Mi);
}

TEST(MemoryFrom, IsUnknownWhereNothingConfirmsTheLast) {
  EXPECT_EQ(memory_from(std::vector<ReadPoint>{{64 * Mi, 28e9}, {128 * Mi, 15e9}}), 0u);
  EXPECT_EQ(memory_from(std::vector<ReadPoint>{{64 * Mi, 28e9}}), 0u);
  EXPECT_EQ(memory_from({}), 0u);
}

TEST(SetsToRead, GoSeveralTimesBeyondMeasuredAndReported) {
  EXPECT_EQ(sets_to_read(20 * Mi, 260 * Mi, 6000 * Mi),
            (std::vector<std::size_t>{40 * Mi, 80 * Mi, 160 * Mi, 320 * Mi, 640 * Mi, 1040 * Mi}));
  EXPECT_EQ(sets_to_read(32 * Mi, 0, 6000 * Mi), (std::vector<std::size_t>{64 * Mi, 128 * Mi}));
}

TEST(SetsToRead, AreNoneWhereMemoryIsTooSmall) {
  EXPECT_TRUE(sets_to_read(20 * Mi, 260 * Mi, 1000 * Mi).empty());
}

TEST(ServedBy, NamesWhatIsNotCertain) {
  const std::vector<CacheLevel> caches = {{48 * Ki, 1}, {2 * Mi, 4}, {20 * Mi, 20}};
  EXPECT_EQ(served_by(48 * Ki, caches, 256 * Mi), "L1");
  EXPECT_EQ(served_by(20 * Mi, caches, 256 * Mi), "L3");
  EXPECT_EQ(served_by(64 * Mi, caches, 256 * Mi), "L3/memory");
  EXPECT_EQ(served_by(256 * Mi, caches, 256 * Mi), "memory");
  EXPECT_EQ(served_by(256 * Mi, caches, 0), "L3/memory");
  EXPECT_EQ(served_by(256 * Mi, std::span(caches).first(2), 0), "L3/memory");
}

}  // namespace
}  // namespace qb::bench
