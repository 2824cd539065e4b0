// SPDX-License-Identifier: Apache-2.0
#include "figure.h"

#include <algorithm>

namespace qb::bench {
namespace {

constexpr double kLeastSpread = 0.01;  // a clock that turbo moves: nothing is known better

/// Of sorted values, between two of them in proportion, as NumPy and Python's statistics do it.
double quantile(const std::vector<double>& sorted, double share) {
  const double at = share * double(sorted.size() - 1);
  const auto below = std::size_t(at);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - double(below)) * (sorted[above] - sorted[below]);
}

}  // namespace

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

Figure figure_of(const std::vector<double>& repetitions) {
  if (repetitions.empty()) return {};
  std::vector<double> sorted = repetitions;
  std::sort(sorted.begin(), sorted.end());
  const double middle = median(sorted);
  if (middle <= 0) return {};
  const double half = (quantile(sorted, 0.75) - quantile(sorted, 0.25)) / 2;
  return {middle, std::max(half / middle, kLeastSpread)};
}

bool tie(const Figure& a, const Figure& b) {
  const auto [less, more] = std::minmax(a.median, b.median);
  return less > 0 && (more - less) / less < a.spread + b.spread;
}

bool tie(const Ratio& ratio) { return ratio.low > 0 && ratio.low <= 1 && ratio.high >= 1; }

Ranking rank(std::span<const Figure> rows) {
  Ranking ranking{rows.size(), {}};
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (rows[i].median > 0 &&
        (ranking.best == rows.size() || rows[i].median < rows[ranking.best].median))
      ranking.best = i;
  if (ranking.best == rows.size()) return ranking;
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (i != ranking.best && rows[i].median > 0 && tie(rows[i], rows[ranking.best]))
      ranking.tying.push_back(i);
  std::sort(ranking.tying.begin(), ranking.tying.end(),
            [&](std::size_t a, std::size_t b) { return rows[a].median < rows[b].median; });
  return ranking;
}

bool over_limit(std::span<const double> flags) {
  const auto over = std::count_if(flags.begin(), flags.end(), [](double f) { return f > 0; });
  return over > 0 && 2 * std::size_t(over) >= flags.size();
}

}  // namespace qb::bench
