// SPDX-License-Identifier: Apache-2.0
// CPUs of threads that libraries start.
#pragma once

#include <sched.h>

namespace qb::bench::peers {
namespace {

/// Gives the calling thread the CPUs of all of OpenMP's threads, which may be bound to one each:
/// threads that a library starts meanwhile inherit them.
class AllCpus {
 public:
  AllCpus() {
    sched_getaffinity(0, sizeof before_, &before_);
    cpu_set_t all = before_;
#pragma omp parallel
    {
      cpu_set_t own;
      if (sched_getaffinity(0, sizeof own, &own) == 0) {
#pragma omp critical
        CPU_OR(&all, &all, &own);
      }
    }
    sched_setaffinity(0, sizeof all, &all);
  }
  ~AllCpus() { sched_setaffinity(0, sizeof before_, &before_); }
  AllCpus(const AllCpus&) = delete;

 private:
  cpu_set_t before_;
};

}  // namespace
}  // namespace qb::bench::peers
