// SPDX-License-Identifier: Apache-2.0
// How the limits are timed: batches of calls, on one thread or on several at once.
#pragma once

#include <omp.h>

#include <chrono>

namespace qb::bench {

inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Seconds that body(t) takes for t < threads, each on a thread of its own, all begun together.
template <class Body>
double batch_seconds(int threads, const Body& body) {
  if (threads == 1) {
    const double begin = now();
    body(0);
    return now() - begin;
  }
  double begin = 0, end = 0;
#pragma omp parallel num_threads(threads)
  {
    const int t = omp_get_thread_num();
#pragma omp barrier
#pragma omp master
    begin = now();
    body(t);
#pragma omp barrier
#pragma omp master
    end = now();
  }
  return end - begin;
}

}  // namespace qb::bench
