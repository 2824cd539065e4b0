#include "figure.h"

#include <algorithm>

namespace qb::bench {
namespace {

constexpr double kLeastSpread = 0.01;  // a clock that turbo moves: nothing is known better

}  // namespace

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

Figure figure_of(const std::vector<double>& repetitions) {
  if (repetitions.empty()) return {};
  const auto [least, most] = std::minmax_element(repetitions.begin(), repetitions.end());
  const double middle = median(repetitions);
  if (middle <= 0) return {};
  return {middle, std::max((*most - *least) / 2 / middle, kLeastSpread)};
}

bool tie(const Figure& a, const Figure& b) {
  const auto [less, more] = std::minmax(a.median, b.median);
  return less > 0 && (more - less) / less < a.spread + b.spread;
}

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
