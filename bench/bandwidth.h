// SPDX-License-Identifier: Apache-2.0
// The bandwidth that the best of many streaming loops reaches over a working set.
#pragma once

#include <cstddef>
#include <map>
#include <tuple>
#include <vector>

#include "data.h"
#include "limits_kernels.h"
#include "suite.h"

namespace qb::bench {

class Bandwidth {
 public:
  /// A share of reads and writes, as the loops have it.
  struct Pattern {
    int reads, writes;
    std::size_t index;  ///< into the loops of every instruction set
  };
  /// The pattern whose share of writes is nearest to that of `pass`.
  Pattern nearest(const Pass& pass) const;

  /// Bytes per second, read and written together, of the fastest loop. The working set is divided
  /// among the threads. The first call for a pattern, a size class (a factor of two) and a number
  /// of threads tries every loop, as does a call with `search`; later calls try only the best few.
  double measure(const Pattern& pattern, std::size_t working_set, int threads, bool search);

  /// The same on one thread, by one loop that is good on every CPU, over the set three times. For
  /// sets so large that trying all loops takes seconds.
  double glance(const Pattern& pattern, std::size_t working_set);

 private:
  struct Candidate {
    limits::StreamFn* run;
    std::size_t vector;  ///< bytes
  };
  using Key = std::tuple<std::size_t, int, int>;  ///< pattern, size class, threads

  struct Timed {
    Candidate candidate;
    double rate = 0;
  };

  /// Makes room for a working set, of which each thread has the same share.
  void provide(std::size_t working_set, int threads);
  /// Improves timed.rate by one or two batches; the arrays must be there.
  void time(Timed& timed, const Pattern& pattern, std::size_t working_set, int threads);
  std::vector<Candidate> all_candidates(const Pattern& pattern, std::size_t working_set) const;

  std::map<Key, std::vector<Candidate>> best_;
  std::vector<Bytes> arenas_;  ///< one per thread
};

}  // namespace qb::bench
