// SPDX-License-Identifier: Apache-2.0
// Instruction sets: what the CPU has, what the operating system saves, what the user allows.
//
// Detection is our own (CPUID + XGETBV + the AMX permission on x86, HWCAP on AArch64): the
// compilers' __builtin_cpu_supports knows neither AVX-VNNI nor AVX512-FP16 nor AMX on the oldest
// compilers supported here, and xsimd's does not ask the operating system.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace qb {

enum class Arch : std::uint8_t { any, x86_64, aarch64 };

#if defined(__x86_64__)
inline constexpr Arch kHostArch = Arch::x86_64;
#elif defined(__aarch64__)
inline constexpr Arch kHostArch = Arch::aarch64;
#else
inline constexpr Arch kHostArch = Arch::any;
#endif

std::string_view arch_name(Arch arch);

/// One CPUID or HWCAP feature.
enum class Feature : std::uint8_t {
  sse4_2,
  avx2,
  fma,
  f16c,
  avx_vnni,
  avx512f,
  avx512bw,
  avx512vl,
  avx512dq,
  avx512vnni,
  avx512vbmi,
  avx512bf16,
  avx512fp16,
  amx_tile,
  amx_int8,
  amx_bf16,
  asimd,
  fphp,
  dotprod,
  i8mm,
  bf16,
  sve,
  count
};

std::string_view feature_name(Feature feature);

/// A set of features.
struct FeatureSet {
  std::uint64_t bits = 0;

  constexpr FeatureSet with(Feature f) const { return {bits | std::uint64_t{1} << int(f)}; }
  constexpr FeatureSet operator|(FeatureSet o) const { return {bits | o.bits}; }
  constexpr FeatureSet operator&(FeatureSet o) const { return {bits & o.bits}; }
  constexpr FeatureSet minus(FeatureSet o) const { return {bits & ~o.bits}; }
  constexpr bool has(Feature f) const { return bits >> int(f) & 1; }
  constexpr bool contains(FeatureSet o) const { return (o.bits & ~bits) == 0; }
  constexpr bool empty() const { return bits == 0; }
  constexpr bool operator==(const FeatureSet&) const = default;
  /// Names joined by '+'; "none" if empty.
  std::string to_string() const;
};

constexpr FeatureSet features(auto... f) {
  return FeatureSet{((std::uint64_t{1} << int(f)) | ... | 0)};
}

/// The named levels: what a row of variants.inc may need and what QB_ISA may be capped at.
/// The flags that compile each of them stand in cmake/Isa.cmake; the two lists must agree.
namespace isa {
inline constexpr FeatureSet baseline{};
inline constexpr FeatureSet sse4_2 = features(Feature::sse4_2);
inline constexpr FeatureSet avx2 = sse4_2 | features(Feature::avx2, Feature::fma, Feature::f16c);
inline constexpr FeatureSet avxvnni = avx2 | features(Feature::avx_vnni);
inline constexpr FeatureSet avx512 =
    avx2 | features(Feature::avx512f, Feature::avx512bw, Feature::avx512vl, Feature::avx512dq);
inline constexpr FeatureSet avx512vnni = avx512 | features(Feature::avx512vnni);
/// With VBMI, which every CPU with BF16 has but Cooper Lake.
inline constexpr FeatureSet avx512bf16 =
    avx512vnni | features(Feature::avx512vbmi, Feature::avx512bf16);
inline constexpr FeatureSet avx512fp16 = avx512vnni | features(Feature::avx512fp16);
inline constexpr FeatureSet amx =
    avx512bf16 | features(Feature::amx_tile, Feature::amx_int8, Feature::amx_bf16);
inline constexpr FeatureSet neon = features(Feature::asimd);
inline constexpr FeatureSet neon_fp16 = neon | features(Feature::fphp);
inline constexpr FeatureSet neon_dotprod = neon | features(Feature::dotprod);
inline constexpr FeatureSet neon_i8mm = neon_dotprod | features(Feature::i8mm);
inline constexpr FeatureSet neon_bf16 = neon | features(Feature::bf16);
inline constexpr FeatureSet sve = neon_fp16 | neon_dotprod | features(Feature::sve);

struct Level {
  std::string_view name;
  Arch arch;
  FeatureSet needs;
};

/// Every level, weakest first within an architecture. A cap at a level allows it and all above it
/// in this list.
std::span<const Level> levels();

/// What the CPU has *and* the operating system lets a process use.
FeatureSet detected();
/// detected(), capped by the environment variable QB_ISA.
/// Throws std::invalid_argument if QB_ISA names no level of this architecture.
FeatureSet enabled();
/// Empty if `needs` may run; otherwise the reason: CPU, operating system, AMX permission, or cap.
std::string refusal(FeatureSet needs);
/// Union of the levels that QB_REQUIRE_ISA lists (comma-separated); a variant that needs no more
/// than these must run, and a test that would skip it fails. Throws as enabled() does.
FeatureSet required();
/// The CPU's own name: the CPUID brand string, or the implementer and part of the first core.
std::string cpu_name();
/// The strongest level whose needs are enabled, by name.
std::string_view best_level();
}  // namespace isa

}  // namespace qb
