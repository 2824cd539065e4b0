// SPDX-License-Identifier: Apache-2.0
#include "threads.h"

#include <omp.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <latch>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace qb::bench {
namespace {

namespace fs = std::filesystem;

/// How many threads, up to `wanted` and the calling one included, can exist at a time.
int threads_to_be_had(int wanted) {
  std::latch all_made(1);
  std::vector<std::thread> threads;
  threads.reserve(std::size_t(wanted));
  try {
    for (int t = 1; t < wanted; ++t) threads.emplace_back([&] { all_made.wait(); });
  } catch (const std::system_error&) {  // the operating system makes no more
  }
  all_made.count_down();
  const int count = int(threads.size()) + 1;
  for (std::thread& thread : threads) thread.join();
  return count;
}

/// Different CPUs that the threads of a team may run on, all of them together.
int cpus_of_team(int threads) {
  cpu_set_t all;
  CPU_ZERO(&all);
#pragma omp parallel num_threads(threads)
  {
    cpu_set_t mine;
    if (sched_getaffinity(0, sizeof mine, &mine) == 0) {
#pragma omp critical
      CPU_OR(&all, &all, &mine);
    }
  }
  return CPU_COUNT(&all);
}

std::string asked(int threads) { return "--threads=" + std::to_string(threads) + ": "; }

/// "OMP_THREAD_LIMIT=1" for a message, or what else it may be.
std::string set_to(const char* variable, const std::string& otherwise) {
  const char* value = std::getenv(variable);
  return value ? std::string(variable) + "=" + value : otherwise;
}

/// CPUs that one cgroup's folder allows; 0: no limit. The files are those of versions 2 and 1.
double quota_in(const fs::path& folder) {
  double quota = 0, period = 0;
  if (std::ifstream v2(folder / "cpu.max"); v2 && v2 >> quota >> period && period > 0)
    return quota / period;
  std::ifstream v1_quota(folder / "cpu.cfs_quota_us"), v1_period(folder / "cpu.cfs_period_us");
  if (v1_quota >> quota && v1_period >> period && quota > 0 && period > 0) return quota / period;
  return 0;
}

/// The smaller of two limits, where 0 is none.
double stricter(double a, double b) { return a == 0 ? b : b == 0 ? a : std::min(a, b); }

}  // namespace

double cpu_quota(const std::string& root, const std::string& membership) {
  double quota = 0;
  std::ifstream file(membership);
  // "0::/user.slice/x.scope" or "1:cpu,cpuacct:/docker/4711"
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == line.npos || second == line.npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    fs::path mount(root);
    if (controllers != ",,") {
      if (controllers.find(",cpu,") == controllers.npos) continue;
      mount /= fs::exists(mount / "cpu") ? "cpu" : "cpu,cpuacct";
    }
    // In a container the path may be one that only the host sees: then the root counts alone.
    const fs::path path = fs::path(line.substr(second + 1)).relative_path();
    for (fs::path below = path; !below.empty(); below = below.parent_path())
      quota = stricter(quota, quota_in(mount / below));
    quota = stricter(quota, quota_in(mount));
  }
  return quota;
}

int team_size(int threads) {
  int size = 1;
#pragma omp parallel num_threads(threads)
#pragma omp single
  size = omp_get_num_threads();
  return size;
}

void require_team(int threads) {
  // Inputs are made by as many threads as there are CPUs, whatever --threads says.
  const int helpers = omp_get_max_threads();
  const int made = threads_to_be_had(std::max(threads, helpers));
  if (made < threads)
    throw std::runtime_error(asked(threads) + "the operating system makes only " +
                             std::to_string(made) + " (see ulimit -u and the cgroup's pids.max)");
  omp_set_num_threads(std::min(helpers, made));
  omp_set_dynamic(0);  // OMP_DYNAMIC=true makes teams smaller where the machine is busy
  if (const int size = team_size(threads); size < threads)
    throw std::runtime_error(asked(threads) + "OpenMP gives a team of " + std::to_string(size) +
                             " (" + set_to("OMP_THREAD_LIMIT", "its limit") + ")");
}

void require_cpus(int threads) {
  if (threads == 1) return;
  if (const int cpus = cpus_of_team(threads); cpus < threads)
    throw std::runtime_error(asked(threads) + "they may run on " + std::to_string(cpus) + " CPU" +
                             (cpus == 1 ? "" : "s") + " only (allowed: " + affinity() +
                             "; see taskset, " + set_to("OMP_PLACES", "OMP_PLACES") + ")");
  if (const double quota = cpu_quota(); quota > 0 && quota < threads) {
    std::ostringstream message;
    message << asked(threads) << "the cgroup's quota is " << quota << " CPUs";
    throw std::runtime_error(message.str());
  }
}

std::string affinity() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return "unknown";
  std::string list;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &set)) list += (list.empty() ? "" : ",") + std::to_string(cpu);
  return list;
}

void pin_threads(int first_cpu, int threads) {
  std::string problem;
#pragma omp parallel num_threads(threads)
  {
    const int cpu = first_cpu + omp_get_thread_num();
    cpu_set_t set;
    CPU_ZERO(&set);
    if (cpu >= 0 && cpu < CPU_SETSIZE) CPU_SET(cpu, &set);
    if (cpu < 0 || cpu >= CPU_SETSIZE || sched_setaffinity(0, sizeof set, &set) != 0) {
      const int error = errno;
#pragma omp critical
      problem = "can't pin to CPU " + std::to_string(cpu) + ": " +
                (cpu < 0 || cpu >= CPU_SETSIZE ? "no such number" : std::strerror(error)) +
                " (allowed: " + affinity() + ")";
    }
  }
  if (!problem.empty()) throw std::invalid_argument(problem);
}

}  // namespace qb::bench
