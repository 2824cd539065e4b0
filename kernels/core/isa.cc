// SPDX-License-Identifier: Apache-2.0
#include "core/isa.h"

#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace qb {
namespace {

constexpr std::array<std::string_view, std::size_t(Feature::count)> kFeatureNames = {
    "sse4.2",     "avx2",     "fma",      "f16c",       "avx_vnni",   "avx512f",
    "avx512bw",   "avx512vl", "avx512dq", "avx512vnni", "avx512vbmi", "avx512bf16",
    "avx512fp16", "amx_tile", "amx_int8", "amx_bf16",   "asimd",      "fphp",
    "dotprod",    "i8mm",     "bf16",     "sve"};

constexpr std::array kLevels = {
    isa::Level{"baseline", Arch::any, isa::baseline},
    isa::Level{"sse4.2", Arch::x86_64, isa::sse4_2},
    isa::Level{"avx2", Arch::x86_64, isa::avx2},
    isa::Level{"avxvnni", Arch::x86_64, isa::avxvnni},
    isa::Level{"avx512", Arch::x86_64, isa::avx512},
    isa::Level{"avx512vnni", Arch::x86_64, isa::avx512vnni},
    isa::Level{"avx512bf16", Arch::x86_64, isa::avx512bf16},
    isa::Level{"avx512fp16", Arch::x86_64, isa::avx512fp16},
    isa::Level{"amx", Arch::x86_64, isa::amx},
    isa::Level{"neon", Arch::aarch64, isa::neon},
    isa::Level{"neon_fp16", Arch::aarch64, isa::neon_fp16},
    isa::Level{"neon_dotprod", Arch::aarch64, isa::neon_dotprod},
    isa::Level{"neon_i8mm", Arch::aarch64, isa::neon_i8mm},
    isa::Level{"neon_bf16", Arch::aarch64, isa::neon_bf16},
    isa::Level{"sve", Arch::aarch64, isa::sve},
};

/// What the hardware reports, and which of it the operating system withholds.
struct Detection {
  FeatureSet cpu;
  FeatureSet os_withholds;     // register state that is not saved on a context switch
  FeatureSet amx_not_granted;  // arch_prctl refused the tile state
};

#if defined(__x86_64__)
std::uint64_t xgetbv0() {
  std::uint32_t lo, hi;
  __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
  return std::uint64_t{hi} << 32 | lo;
}

Detection detect() {
  Detection found;
  unsigned a = 0, b = 0, c = 0, d = 0;
  auto set = [&](Feature f, unsigned reg, int bit) {
    if (reg >> bit & 1) found.cpu = found.cpu.with(f);
  };
  if (!__get_cpuid(1, &a, &b, &c, &d)) return found;
  const bool osxsave = c >> 27 & 1;
  set(Feature::sse4_2, c, 20);
  set(Feature::fma, c, 12);
  set(Feature::f16c, c, 29);
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
    set(Feature::avx2, b, 5);
    set(Feature::avx512f, b, 16);
    set(Feature::avx512dq, b, 17);
    set(Feature::avx512bw, b, 30);
    set(Feature::avx512vl, b, 31);
    set(Feature::avx512vbmi, c, 1);
    set(Feature::avx512vnni, c, 11);
    set(Feature::avx512fp16, d, 23);
    set(Feature::amx_bf16, d, 22);
    set(Feature::amx_tile, d, 24);
    set(Feature::amx_int8, d, 25);
    const unsigned max_subleaf = a;
    if (max_subleaf >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) {
      set(Feature::avx_vnni, a, 4);
      set(Feature::avx512bf16, a, 5);
    }
  }
  constexpr FeatureSet ymm =
      features(Feature::avx2, Feature::fma, Feature::f16c, Feature::avx_vnni);
  constexpr FeatureSet zmm =
      features(Feature::avx512f, Feature::avx512bw, Feature::avx512vl, Feature::avx512dq,
               Feature::avx512vnni, Feature::avx512vbmi, Feature::avx512bf16, Feature::avx512fp16);
  constexpr FeatureSet tmm = features(Feature::amx_tile, Feature::amx_int8, Feature::amx_bf16);
  const std::uint64_t xcr0 = osxsave ? xgetbv0() : 0;
  auto withhold = [&](FeatureSet registers, std::uint64_t mask) {
    if ((xcr0 & mask) != mask) found.os_withholds = found.os_withholds | (registers & found.cpu);
  };
  withhold(ymm, 0x6);
  withhold(zmm, 0xe6);
  withhold(tmm, 0x60000);
  if (found.cpu.has(Feature::amx_tile) && !found.os_withholds.has(Feature::amx_tile)) {
#if defined(__linux__)
    constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM
    if (syscall(SYS_arch_prctl, kRequestPermission, kTileData) != 0)
      found.amx_not_granted = tmm & found.cpu;
#else
    found.amx_not_granted = tmm & found.cpu;
#endif
  }
  return found;
}
#elif defined(__aarch64__) && defined(__linux__)
Detection detect() {
  // Bit numbers from the kernel's uapi/asm/hwcap.h: older headers lack the newer names.
  const unsigned long hwcap = getauxval(AT_HWCAP), hwcap2 = getauxval(AT_HWCAP2);
  Detection found;
  auto set = [&](Feature f, unsigned long word, int bit) {
    if (word >> bit & 1) found.cpu = found.cpu.with(f);
  };
  set(Feature::asimd, hwcap, 1);
  set(Feature::fphp, hwcap, 10);  // ASIMDHP: half arithmetic on vectors
  set(Feature::dotprod, hwcap, 20);
  set(Feature::sve, hwcap, 22);
  set(Feature::i8mm, hwcap2, 13);
  set(Feature::bf16, hwcap2, 14);
  return found;
}
#elif defined(__aarch64__) && defined(__APPLE__)
Detection detect() {
  Detection found;
  auto set = [&](Feature f, const char* key) {
    int value = 0;
    std::size_t size = sizeof value;
    if (sysctlbyname(key, &value, &size, nullptr, 0) == 0 && value) found.cpu = found.cpu.with(f);
  };
  found.cpu = features(Feature::asimd);  // every Apple core
  set(Feature::fphp, "hw.optional.arm.FEAT_FP16");
  set(Feature::dotprod, "hw.optional.arm.FEAT_DotProd");
  set(Feature::i8mm, "hw.optional.arm.FEAT_I8MM");
  set(Feature::bf16, "hw.optional.arm.FEAT_BF16");
  return found;
}
#else
Detection detect() { return {}; }
#endif

const Detection& detection() {
  static const Detection found = detect();
  return found;
}

const isa::Level& find_level(const char* variable, std::string_view name) {
  std::string known;
  for (const isa::Level& level : kLevels) {
    if (level.arch != Arch::any && level.arch != kHostArch) continue;
    if (level.name == name) return level;
    if (!known.empty()) known += ", ";
    known += level.name;
  }
  throw std::invalid_argument(std::string(variable) + ": no instruction set named '" +
                              std::string(name) + "' on " + std::string(arch_name(kHostArch)) +
                              "; there are: " + known);
}

/// What QB_ISA allows: everything if unset.
FeatureSet allowed() {
  const char* cap = std::getenv("QB_ISA");
  if (!cap || !*cap) return {~std::uint64_t{0}};
  const isa::Level& top = find_level("QB_ISA", cap);
  FeatureSet set;
  for (const isa::Level& level : kLevels) {
    if (level.arch == Arch::any || level.arch == kHostArch) set = set | level.needs;
    if (&level == &top) break;
  }
  return set;
}

}  // namespace

std::string_view arch_name(Arch arch) {
  switch (arch) {
    case Arch::x86_64:
      return "x86-64";
    case Arch::aarch64:
      return "AArch64";
    case Arch::any:
      break;
  }
  return "any CPU";
}

std::string_view feature_name(Feature feature) { return kFeatureNames[std::size_t(feature)]; }

std::string FeatureSet::to_string() const {
  std::string names;
  for (int f = 0; f < int(Feature::count); ++f) {
    if (!has(Feature(f))) continue;
    if (!names.empty()) names += '+';
    names += feature_name(Feature(f));
  }
  return names.empty() ? "none" : names;
}

namespace isa {

std::span<const Level> levels() { return kLevels; }

FeatureSet detected() {
  const Detection& d = detection();
  return d.cpu.minus(d.os_withholds | d.amx_not_granted);
}

FeatureSet enabled() { return detected() & allowed(); }

std::string refusal(FeatureSet needs) {
  const Detection& d = detection();
  if (const FeatureSet missing = needs.minus(d.cpu); !missing.empty())
    return "the CPU lacks " + missing.to_string();
  if (const FeatureSet hidden = needs & d.os_withholds; !hidden.empty())
    return "the operating system does not save the registers of " + hidden.to_string();
  if (const FeatureSet tiles = needs & d.amx_not_granted; !tiles.empty())
    return "the operating system did not grant " + tiles.to_string();
  if (const FeatureSet capped = needs.minus(allowed()); !capped.empty())
    return std::string("capped by QB_ISA=") + std::getenv("QB_ISA");
  return {};
}

FeatureSet required() {
  FeatureSet set;
  const char* list = std::getenv("QB_REQUIRE_ISA");
  std::string_view rest = list ? list : "";
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    set = set | find_level("QB_REQUIRE_ISA", rest.substr(0, comma)).needs;
    rest = comma == rest.npos ? std::string_view{} : rest.substr(comma + 1);
  }
  return set;
}

std::string cpu_name() {
#if defined(__x86_64__)
  unsigned words[12] = {}, a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(0x80000000u, &a, &b, &c, &d) && a >= 0x80000004u)
    for (unsigned i = 0; i < 3; ++i)
      __get_cpuid(0x80000002u + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2],
                  &words[4 * i + 3]);
  char text[sizeof words + 1] = {};
  std::memcpy(text, words, sizeof words);
  std::string name = text;
  while (!name.empty() && name.back() == ' ') name.pop_back();
  name.erase(0, name.find_first_not_of(' '));
  return name.empty() ? "unknown" : name;
#elif defined(__APPLE__)
  char name[128] = {};
  std::size_t size = sizeof name - 1;
  return sysctlbyname("machdep.cpu.brand_string", name, &size, nullptr, 0) == 0 && *name
             ? name
             : "unknown";
#else
  // The main identification register: implementer in bits 31-24, part in 15-4.
  std::ifstream file("/sys/devices/system/cpu/cpu0/regs/identification/midr_el1");
  std::string midr;
  file >> midr;
  return midr.empty() ? "unknown" : "MIDR " + midr;
#endif
}

std::string_view best_level() {
  const FeatureSet have = enabled();
  std::string_view best = "baseline";
  for (const Level& level : kLevels)
    if ((level.arch == Arch::any || level.arch == kHostArch) && have.contains(level.needs))
      best = level.name;
  return best;
}

}  // namespace isa
}  // namespace qb
