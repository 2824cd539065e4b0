// SPDX-License-Identifier: Apache-2.0
// What a row's repetitions say, and which variant is best: the rules of docs/results-rules.md.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace qb::bench {

/// Percent of the measured limit: a row beyond it is a measuring error.
constexpr double kPercentOfError = 102;

/// A row's time, from its repetitions.
struct Figure {
  double median = 0;  ///< in the unit of the repetitions; 0 if there is none
  double spread = 0;  ///< half of the middle half's width, as a share of the median; at least 0.01
};

double median(std::vector<double> values);

/// The figure of a row's repetitions.
Figure figure_of(const std::vector<double>& repetitions);

/// Whether two rows can't be told apart: their medians differ, as a share of the smaller one, by
/// less than the sum of their spreads.
bool tie(const Figure& a, const Figure& b);

/// How many times as fast as something else a row was in turns with it, and the 95 % interval.
struct Ratio {
  double value = 0, low = 0, high = 0;  ///< 0 if there is none
};

/// Whether the turns can't tell the two apart: the interval holds 1.
bool tie(const Ratio& ratio);

/// The best of several rows and those that tie with it.
struct Ranking {
  std::size_t best = 0;            ///< the smallest median
  std::vector<std::size_t> tying;  ///< with the best, fastest first
};

/// Rows without a figure (median 0) are passed over; best is rows.size() if there is none other.
Ranking rank(std::span<const Figure> rows);

/// Whether a row is over its limit: at least half of its repetitions were, each after the limit
/// and the row were measured once more.
bool over_limit(std::span<const double> flags);

}  // namespace qb::bench
