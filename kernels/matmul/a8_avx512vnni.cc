// Products of int8 activations, AVX512-VNNI: the panels of a8_vnni.h, 16 outputs to a register.
//
// Two vpdpbusd a cycle on Intel's cores (ports 0 and 5), two loads. What binds, by ports counted:
//
//   one row, s8    a load and a prefetch for each 64 bytes, a broadcast for 256: 57 bytes a cycle
//   one row, s4    and + vpdpbusd for each nibble: 32 bytes a cycle; q4_0 and its scales 25
//   tiles, s8 s4   12 rows x 2 panels: 24 vpdpbusd for 14 loads, nothing else on their ports
//   tiles, blocks  6 x 2: for each 8 vpdpbusd a convert, a multiply and an FMA: 72 % of the peak
//
// so that one row waits for the third cache (8 bytes a cycle there) or memory. llvm-mca
// (sapphirerapids, whose model has one port for vpdpbusd of this width) gives a dword's products
// exactly their vpdpbusd: 192 cycles for a tile's 192, 132 for 96 with scales; 64, 31, 49 and 24
// bytes a cycle for one row of s8, s4, q8_0 and q4_0. gcc spills no vector in any of these loops.
#include "matmul/a8_vnni.h"

#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512VL__) || \
    !defined(__AVX512DQ__) || !defined(__AVX512VNNI__)
#error "compile with the flags of cmake/Isa.cmake for avx512vnni"
#endif

namespace qb::matmul {
namespace {

struct Zmm {
  using Int = __m512i;
  using Float = __m512;
  static constexpr size_t kLanes = 16;
  static constexpr size_t kFew = 4;     ///< rows that take the weights as they stream by
  static constexpr int kTileRows = 12;  ///< 24 sums
  static constexpr bool kSixteenfold = true;
  static constexpr int vectors(int rows) { return rows <= 2 ? 4 : 2; }

  static Int zero() { return _mm512_setzero_si512(); }
  static Int load(const void* p) { return _mm512_loadu_si512(p); }
  static Int broadcast(const void* p) {
    int word;
    __builtin_memcpy(&word, p, sizeof word);
    return _mm512_set1_epi32(word);
  }
  static void store(Byte* p, Int v) { _mm512_storeu_si512(p, v); }
  static Int dot(Int sum, Int w, Int x) { return _mm512_dpbusd_epi32(sum, w, x); }
  static Int add(Int a, Int b) { return _mm512_add_epi32(a, b); }
  static Int sixteenth(Int v) { return _mm512_srai_epi32(v, 4); }
  static Int low(Int v) { return _mm512_and_si512(v, _mm512_set1_epi8(15)); }
  static Int high(Int v) { return low(_mm512_srli_epi16(v, 4)); }
  static Int high_sixteenfold(Int v) {
    return _mm512_and_si512(v, _mm512_set1_epi8(static_cast<char>(0xf0)));
  }

  static Float zero_float() { return _mm512_setzero_ps(); }
  static Float load_float(const void* p) { return _mm512_loadu_ps(p); }
  static Float broadcast_float(const void* p) {
    float value;
    __builtin_memcpy(&value, p, sizeof value);
    return _mm512_set1_ps(value);
  }
  static Float from_half(const void* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
  }
  static Float to_float(Int v) { return _mm512_cvtepi32_ps(v); }
  static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static void store(float* p, Float v) { _mm512_storeu_ps(p, v); }
  static void store(float* p, Float v, size_t count) {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1), v);
  }
};

}  // namespace

constexpr Kernel matmul_a8_s8_avx512vnni = kernel_of<Zmm, S8>();
constexpr Kernel matmul_a8_s4_avx512vnni = kernel_of<Zmm, S4>();
constexpr Kernel matmul_a8_s8g_avx512vnni = kernel_of<Zmm, S8g>();
constexpr Kernel matmul_a8_s4g_avx512vnni = kernel_of<Zmm, S4g>();
constexpr Kernel matmul_a8_q8_0_avx512vnni = kernel_of<Zmm, Q8_0>();
constexpr Kernel matmul_a8_q4_0_avx512vnni = kernel_of<Zmm, Q4_0>();

}  // namespace qb::matmul
