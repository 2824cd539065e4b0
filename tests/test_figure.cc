// SPDX-License-Identifier: Apache-2.0
// The rules of docs/results-rules.md.
#include "figure.h"

#include <gtest/gtest.h>

#include "spread.h"

namespace qb::bench {
namespace {

TEST(Figure, IsTheMedianAndHalfTheMiddleHalf) {
  const Figure figure = figure_of({10.5, 10, 11, 10.2, 9.8});
  EXPECT_DOUBLE_EQ(figure.median, 10.2);
  EXPECT_NEAR(figure.spread, (10.5 - 10) / 2 / 10.2, 1e-12);
}

TEST(Figure, OfAnEvenNumberIsTheMiddleOfTwo) {
  EXPECT_DOUBLE_EQ(figure_of({4, 1, 3, 2}).median, 2.5);
}

TEST(Figure, SpreadIsAtLeastOnePercent) {
  EXPECT_DOUBLE_EQ(figure_of({100, 100, 100}).spread, 0.01);
  EXPECT_DOUBLE_EQ(figure_of({100}).spread, 0.01);
}

TEST(Figure, OfNothingIsNothing) {
  EXPECT_EQ(figure_of({}).median, 0);
  EXPECT_FALSE(tie(figure_of({}), figure_of({1})));
}

TEST(Tie, IsADifferenceBelowTheSumOfTheSpreads) {
  EXPECT_TRUE(tie({100, 0.03}, {104.9, 0.02}));
  EXPECT_FALSE(tie({100, 0.03}, {105.1, 0.02}));
  EXPECT_TRUE(tie({104.9, 0.02}, {100, 0.03}));
  EXPECT_FALSE(tie({105.1, 0.02}, {100, 0.03}));
}

TEST(Tie, WithAPeerIsAnIntervalAroundOne) {
  EXPECT_TRUE(tie(Ratio{1.01, 0.98, 1.03}));
  EXPECT_TRUE(tie(Ratio{1.01, 1, 1.03}));
  EXPECT_FALSE(tie(Ratio{1.03, 1.01, 1.05}));
  EXPECT_FALSE(tie(Ratio{0.95, 0.9, 0.99}));
  EXPECT_FALSE(tie(Ratio{}));
}

TEST(Rank, NamesTheBestAndWhatTiesWithIt) {
  const std::vector<Figure> rows = {{104, 0.02}, {0, 0}, {100, 0.01}, {102, 0.03}, {110, 0.02}};
  const Ranking ranking = rank(rows);
  EXPECT_EQ(ranking.best, 2u);
  EXPECT_EQ(ranking.tying, (std::vector<std::size_t>{3}));
}

TEST(Rank, OfNothingIsNothing) { EXPECT_EQ(rank(std::vector<Figure>{{0, 0}}).best, 1u); }

TEST(Spread, IsACounterOfEachRepetition) {
  using Run = benchmark::BenchmarkReporter::Run;
  std::vector<Run> runs(3);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    runs[i].run_type = Run::RT_Iteration;
    runs[i].iterations = 2;
    runs[i].real_accumulated_time = 20 + double(i);
  }
  for (const Run& run : with_spread(runs))
    EXPECT_NEAR(run.counters.at("spread_pct"), 100 * (21.5 - 20.5) / 2 / 21, 1e-9);
  EXPECT_EQ(with_spread({runs[0]})[0].counters.count("spread_pct"), 0u);
}

TEST(OverLimit, TakesHalfOfTheRepetitions) {
  EXPECT_FALSE(over_limit(std::vector<double>{}));
  EXPECT_FALSE(over_limit(std::vector<double>{1, 0, 0}));
  EXPECT_FALSE(over_limit(std::vector<double>{0, 0}));
  EXPECT_TRUE(over_limit(std::vector<double>{1, 0}));
  EXPECT_TRUE(over_limit(std::vector<double>{1, 0, 1}));
}

}  // namespace
}  // namespace qb::bench
