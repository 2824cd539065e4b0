// SPDX-License-Identifier: Apache-2.0
// What stands under a finished run: the best row of every operation and size, and a conclusion.
#pragma once

#include <string>
#include <vector>

#include "figure.h"
#include "runner.h"

namespace qb::bench {

/// A row's medians. 0 where the row has no such figure.
struct RowFigures {
  const Case* c;
  Figure time;               ///< of a call, seconds
  double bytes, items, ops;  ///< a second
  double percent;            ///< of the limit
  double speedup;
  Ratio vs_peer;
  bool over;  ///< faster than its limit: a measuring error
  std::string error_name;
  std::string rival;  ///< the peer that `vs_peer` is about
  Ratio vs_own;       ///< of a loaded kernel
  std::string own;    ///< our variant that `vs_own` is about
};

/// "12.3 Gop/s" of a product, otherwise "12.3 GB/s".
std::string speed_text(const RowFigures& row);

/// "1.23x", with a ~ before it where that is a tie.
std::string ratio_text(const Ratio& ratio);

/// The fastest of our variants and of the peers per operation, format, size class and thread count,
/// by the rule of docs/results-rules.md.
struct BestRow {
  std::string key, size;
  const RowFigures *own = nullptr, *peer = nullptr;
  std::vector<const RowFigures*> tying;  ///< others of ours that can't be told from the fastest
};

/// In order of first row; `rows` must outlive it. Array operations are grouped by the cache level
/// that their working set fits into.
std::vector<BestRow> best_rows(const std::vector<RowFigures>& rows, const Runner& runner);

/// The table, without columns that the terminal has no room for.
void print_table(const std::vector<BestRow>& best, bool with_peers);

/// The rows of loaded kernels beside the best of ours; nothing if there are none.
void print_loaded(const std::vector<RowFigures>& rows);

/// Two lines: how near the limits, and how fast beside scalar code and peers.
std::string conclusion(const std::vector<BestRow>& best);

}  // namespace qb::bench
