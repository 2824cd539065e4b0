// SPDX-License-Identifier: Apache-2.0
#include "final_table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <tuple>
#include <utility>

#include "peers/peers.h"
#include "plugins/plugins.h"
#include "terminal.h"
#include "text.h"

namespace qb::bench {
namespace {

std::string size_class(const Case& c, const Runner& runner) {
  if (c.work.ops > 0) return c.shape;
  return served_by(c.work.working_set, runner.caches(), runner.memory_from());
}

std::vector<Column> columns(bool with_peers) {
  std::vector<Column> all = {{"operation/format", 28, true},
                             {"size", 24, true},
                             {"best variant", 16, true},
                             {"speed", 11},
                             {"spread", 7, false, 6},
                             {"elements/s", 12, false, 3},
                             {"of limit", 9},
                             {"x scalar", 9, false, 1}};
  if (with_peers) {
    all.push_back({"x peer", 7, false, 2});
    all.push_back({" best peer", 25, true, 4});
  }
  all.push_back({" error", 6, true, 5});
  return all;
}

std::vector<std::string> texts(const BestRow& b, bool with_peers) {
  const RowFigures& r = b.own ? *b.own : *b.peer;
  std::vector<std::string> all = {b.key,
                                  b.size,
                                  (b.tying.empty() ? "" : "~") + std::string(r.c->variant->name),
                                  speed_text(r),
                                  r.time.median > 0 ? format("%.0f %%", 100 * r.time.spread) : "-",
                                  scaled(r.items, "/s"),
                                  r.percent > 0 ? format("%.0f %%", r.percent) : "-",
                                  r.speedup > 0 ? format("%.1fx", r.speedup) : "-"};
  if (with_peers) {
    const bool known = r.vs_peer.value > 0;
    all.push_back(known ? ratio_text(r.vs_peer) : "-");
    all.push_back(" " + (known ? r.rival : b.peer ? std::string(b.peer->c->variant->name) : "-"));
  }
  all.push_back(" " + r.error_name + (r.over ? "  OVER THE LIMIT" : ""));
  return all;
}

/// The best of these and what ties with it; null of none.
std::pair<const RowFigures*, std::vector<const RowFigures*>> ranked(
    const std::vector<const RowFigures*>& rows) {
  std::vector<Figure> figures;
  for (const RowFigures* row : rows) figures.push_back(row->time);
  const Ranking ranking = rank(figures);
  if (ranking.best >= rows.size()) return {rows.empty() ? nullptr : rows.front(), {}};
  std::vector<const RowFigures*> tying;
  for (const std::size_t i : ranking.tying) tying.push_back(rows[i]);
  return {rows[ranking.best], tying};
}

double geometric_mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += std::log(v);
  return std::exp(sum / double(values.size()));
}

std::string near_the_limit(std::vector<const RowFigures*> rows) {
  std::sort(rows.begin(), rows.end(),
            [](const auto* a, const auto* b) { return a->percent < b->percent; });
  const RowFigures& least = *rows.front();
  return "best variants: " + format("%.0f", least.percent) +
         format(" to %.0f %% of the measured limit", rows.back()->percent) +
         format(", %.0f %% in the median; least: ", rows[rows.size() / 2]->percent) +
         least.c->name();
}

}  // namespace

std::string speed_text(const RowFigures& row) {
  return row.ops > 0 ? scaled(row.ops, "op/s") : scaled(row.bytes, "B/s");
}

std::string ratio_text(const Ratio& ratio) {
  return (tie(ratio) ? "~" : "") + format("%.2fx", ratio.value);
}

std::vector<BestRow> best_rows(const std::vector<RowFigures>& rows, const Runner& runner) {
  struct Group {
    std::string key, size;
    std::vector<const RowFigures*> own, peers;
  };
  std::vector<Group> groups;
  for (const RowFigures& row : rows) {
    std::string key = row.c->op + "/" + row.c->format;
    if (row.c->threads > 1) key += "/threads:" + std::to_string(row.c->threads);
    const std::string size = size_class(*row.c, runner);
    auto same = std::find_if(groups.begin(), groups.end(),
                             [&](const Group& g) { return g.key == key && g.size == size; });
    if (same == groups.end()) same = groups.insert(same, Group{key, size, {}, {}});
    (peers::as_peer(row.c->variant) ? same->peers : same->own).push_back(&row);
  }
  std::vector<BestRow> best;
  for (const Group& g : groups) {
    BestRow& b = best.emplace_back(BestRow{g.key, g.size, nullptr, nullptr, {}});
    b.peer = ranked(g.peers).first;
    std::tie(b.own, b.tying) = ranked(g.own);
  }
  return best;
}

void print_table(const std::vector<BestRow>& best, bool with_peers) {
  const std::size_t width = terminal_width();
  std::vector<Column> all = columns(with_peers);
  // A terminal's columns are as wide as their texts; elsewhere they keep their places.
  for (std::size_t i = 0; width > 0 && i < all.size(); ++i) {
    all[i].width = all[i].title.size();
    for (const BestRow& b : best)
      all[i].width = std::max(all[i].width, texts(b, with_peers)[i].size());
  }
  const std::vector<std::size_t> shown = columns_that_fit(all, width);
  std::vector<std::string> titles;
  for (const Column& column : all) titles.push_back(column.title);
  std::printf("\n%s\n", table_line(all, shown, titles, width).c_str());
  for (const BestRow& b : best)
    std::printf("%s\n", table_line(all, shown, texts(b, with_peers), width).c_str());
  const bool ties =
      std::any_of(best.begin(), best.end(), [](const BestRow& b) { return !b.tying.empty(); });
  if (ties) std::printf("~: ties with another variant\n");
}

void print_loaded(const std::vector<RowFigures>& rows) {
  const auto line = [](const std::string& name, const std::string& speed, const std::string& limit,
                       const std::string& ratio, const std::string& own) {
    std::printf("%-52s %11s %9s %7s  %s\n", name.c_str(), speed.c_str(), limit.c_str(),
                ratio.c_str(), own.c_str());
  };
  bool any = false;
  for (const RowFigures& row : rows) {
    if (!plugins::as_loaded(row.c->variant)) continue;
    if (!any) {
      std::printf("\n");
      line("loaded kernel", "speed", "of limit", "x own", "our best");
    }
    any = true;
    line(row.c->name(), speed_text(row), row.percent > 0 ? format("%.0f %%", row.percent) : "-",
         row.vs_own.value > 0 ? ratio_text(row.vs_own) : "-", row.own.empty() ? "-" : row.own);
  }
}

std::string conclusion(const std::vector<BestRow>& best) {
  std::vector<const RowFigures*> judged;
  std::vector<double> speedups, vs_peers;
  std::size_t slower = 0;
  for (const BestRow& b : best) {
    if (!b.own) continue;
    if (b.own->percent > 0) judged.push_back(b.own);
    if (b.own->speedup > 0) speedups.push_back(b.own->speedup);
    if (b.own->vs_peer.value <= 0) continue;
    vs_peers.push_back(b.own->vs_peer.value);
    if (b.own->vs_peer.value < 1 && !tie(b.own->vs_peer)) ++slower;
  }
  if (judged.empty())
    return "no claim about time: nothing here was timed against this machine's limits\n"
           "for that: quantbench --profile=quick, on an idle machine\n";
  std::string text = near_the_limit(judged) + "\nin the geometric mean";
  if (!speedups.empty())
    text += format(" %.1f times as fast as plain loops", geometric_mean(speedups));
  if (!vs_peers.empty()) {
    text += format(speedups.empty() ? " %.2f times" : ", %.2f times", geometric_mean(vs_peers)) +
            " as fast as the best peer (slower in " + std::to_string(slower) + " of " +
            std::to_string(vs_peers.size()) + ")";
  }
  if (speedups.empty() && vs_peers.empty()) text += ": nothing to compare with was run";
  return text + "\n";
}

}  // namespace qb::bench
