// SPDX-License-Identifier: Apache-2.0
// The threads that a run really gets: a row that says threads:2 must have had two, on two CPUs.
#pragma once

#include <string>
#include <vector>

namespace qb::bench {

/// Sees to it that a team of `threads` OpenMP threads can be had: the operating system makes so
/// many, and OpenMP gives them (OMP_THREAD_LIMIT). Otherwise throws std::runtime_error, which names
/// what stands in the way. To be called before any other parallel region, since libgomp ends the
/// program where a thread can't be made.
void require_team(int threads);

/// Sees to it that a team of `threads` threads may run on as many CPUs (taskset, OMP_PLACES, a
/// cgroup's quota), so that the threads don't share one. Otherwise throws std::runtime_error.
void require_cpus(int threads);

/// Pins the calling thread, and OpenMP thread t of the team to cpu + t.
/// Throws std::invalid_argument if the operating system refuses.
void pin_threads(int first_cpu, int threads);

/// Threads in a team that is asked to be `threads` large.
int team_size(int threads);

/// CPUs that the calling thread may run on, "0,1".
std::string affinity();

/// CPUs' worth of time that the process's cgroup and those above it may use; 0: no limit. `root` is
/// where cgroups are mounted, `membership` a file like /proc/self/cgroup.
double cpu_quota(const std::string& root = "/sys/fs/cgroup",
                 const std::string& membership = "/proc/self/cgroup");

}  // namespace qb::bench
