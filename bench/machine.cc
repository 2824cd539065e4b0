// SPDX-License-Identifier: Apache-2.0
#include "machine.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "build_info.h"
#include "core/isa.h"
#include "hardware.h"
#include "quantbench/version.h"
#include "threads.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace qb::bench {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// First value of `key` in /proc/cpuinfo, or empty.
std::string cpuinfo(const std::string& key) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(':');
    if (colon == line.npos || line.compare(0, key.size(), key) != 0) continue;
    if (line.find_first_not_of(" \t", key.size()) != colon) continue;
    const std::size_t value = line.find_first_not_of(" \t", colon + 1);
    return value == line.npos ? "" : line.substr(value);
  }
  return {};
}

/// "L1d 32K, L2 512K, L3 32768K" as the kernel tells it.
std::string sysfs_caches() {
  std::string list;
  for (int i = 0; i < 8; ++i) {
    const std::string dir = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(i);
    if (!std::filesystem::exists(dir)) break;
    const std::string type = first_line(dir + "/type");
    if (type == "Instruction") continue;
    if (!list.empty()) list += ", ";
    list += "L" + first_line(dir + "/level") + " " + first_line(dir + "/size");
  }
  return list.empty() ? "unknown" : list;
}

bool hypervisor() {
#if defined(__x86_64__)
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c >> 31 & 1);
#else
  return false;
#endif
}

}  // namespace

bool emulated() {
  if (const char* forced = std::getenv("QB_EMULATED"); forced && *forced == '1') return true;
#if defined(__x86_64__)
  unsigned a, b, c, d;
  __cpuid(0x40000000, a, b, c, d);
  char name[13] = {};
  std::memcpy(name, &b, 4);
  std::memcpy(name + 4, &c, 4);
  std::memcpy(name + 8, &d, 4);
  return hypervisor() && std::string(name) == "TCGTCGTCGTCG";
#else
  // qemu's user mode shows the host's /proc/cpuinfo: an x86 vendor on an ARM program.
  return !cpuinfo("vendor_id").empty();
#endif
}

std::map<std::string, std::string> machine_context() {
  std::map<std::string, std::string> c;
  c["cpu_name"] = isa::cpu_name();
  std::string flags = cpuinfo("flags");
  if (flags.empty()) flags = cpuinfo("Features");
  c["cpu_flags"] = flags;
  c["cpu_family_model_stepping"] =
      cpuinfo("cpu family") + "/" + cpuinfo("model") + "/" + cpuinfo("stepping");
  c["microcode"] = cpuinfo("microcode");
  c["arch"] = std::string(arch_name(kHostArch));
  c["isa_detected"] = isa::detected().to_string();
  c["isa_enabled"] = isa::enabled().to_string();
  c["isa_best_level"] = std::string(isa::best_level());
  for (const isa::Level& level : isa::levels()) {
    if (level.arch != Arch::any && level.arch != kHostArch) continue;
    if (const std::string why = isa::refusal(level.needs); !why.empty())
      c["isa_refused_" + std::string(level.name)] = why;
  }
  c["compiler"] = QB_COMPILER;
  c["compiler_flags"] = QB_COMPILER_FLAGS;
  c["build_type"] = QB_BUILD_TYPE;
  c["git_revision"] = QB_GIT_REVISION;
  c["git_dirty"] = QB_GIT_DIRTY;
  c["suite_version"] = QUANTBENCH_VERSION;
  const std::string governor = first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
  c["governor"] = governor.empty() ? "not exposed" : governor;
  c["huge_pages"] = first_line("/sys/kernel/mm/transparent_hugepage/enabled");
  c["affinity"] = affinity();
  const double quota = cpu_quota();
  c["cpu_quota"] = quota > 0 ? std::to_string(quota) : "none";
  c["caches_sysfs"] = sysfs_caches();
  const std::string no_counters = perf_counters_refusal();
  c["perf_counters"] = no_counters.empty() ? "libpfm" : "none: " + no_counters;
  c["energy"] = Energy().text();
  c["virtualised"] = hypervisor() ? "yes" : "no";
  c["emulated"] = emulated() ? "yes: timings mean nothing" : "no";
  return c;
}

void require_memory(std::size_t bytes) {
  // "MemAvailable:   12345678 kB"
  std::ifstream file("/proc/meminfo");
  double available = 0, own_pages = 0;
  for (std::string line; std::getline(file, line);)
    if (line.compare(0, 13, "MemAvailable:") == 0) available = 1024 * std::atof(line.c_str() + 13);
  std::ifstream statm("/proc/self/statm");
  statm >> own_pages >> own_pages;  // the second: what is resident
  if (available <= 0 || !statm) return;
  const double most = available + own_pages * double(sysconf(_SC_PAGESIZE));
  if (double(bytes) <= most) return;
  char message[96];
  std::snprintf(message, sizeof message, "out of memory: %.1f GiB are needed, %.1f can be had",
                double(bytes) / (1 << 30), most / (1 << 30));
  throw std::runtime_error(message);
}

void clear_upper_halves([[maybe_unused]] int threads) {
#if defined(__x86_64__)
  if (!isa::detected().has(Feature::avx2)) return;
#pragma omp parallel num_threads(threads)
  __asm__ volatile("vzeroupper");
#endif
}

}  // namespace qb::bench
