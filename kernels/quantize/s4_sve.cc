// SPDX-License-Identifier: Apache-2.0
// s4, SVE.
//
//   quantize    FMUL; FADD of a number so large that the sum keeps no fraction. The sum rounds to
//   the
//               nearest integer, ties to even; the code is its low nibble. UZP1 gathers bytes of
//               one code each; two neighbours join as x | x >> 4 in 16-bit lanes.
//   dequantize  Bytes into 32-bit lanes; nibble ^ 8 in the low bits of 2^23; FSUB 2^23 + 8; FMUL.
//   f16 back    Sixteen results at most: TBL looks up their low and high bytes.
//
// No clip is written: |x| <= absmax makes |x*inv| at most 7 and two roundings, which is 7 after
// rounding to an integer. (Input that is not finite gives unspecified codes.)
#include "quantize/s4_sve.h"
#include "quantize/groups_sve.h"
#include "quantize/kernels.h"

namespace qb::quantize {
namespace {

// ---- codes

/// Two codes a byte, from bytes of one code each, in the low bytes of 16-bit lanes.
inline svuint16_t joined(svint8_t codes) {
  const svbool_t all = svptrue_b16();
  const svuint16_t v = svand_n_u16_x(all, svreinterpret_u16_s8(codes), 0x0f0f);
  return svorr_u16_x(all, v, svlsr_n_u16_x(all, v, 4));
}

/// The codes of len elements at most of a vector of bytes; absent elements give code 0.
inline svint8_t codes(const float* x, std::size_t len, svfloat32_t inv) {
  const std::size_t lanes = svcntw();
  const auto of = [=](std::size_t j) { return lanes32(j, len); };
  return both(
      both(code(of(0), x, inv), code(of(lanes), x + lanes, inv)),
      both(code(of(2 * lanes), x + 2 * lanes, inv), code(of(3 * lanes), x + 3 * lanes, inv)));
}
inline svint8_t codes(const f16* x, std::size_t len, svfloat16_t inv) {
  const std::size_t lanes = svcnth();
  return both(code(lanes16(0, len), x, inv), code(lanes16(lanes, len), x + lanes, inv));
}

/// The same of a whole vector of bytes.
inline svint8_t codes(const float* x, svfloat32_t inv) {
  const std::size_t lanes = svcntw();
  const svbool_t all = svptrue_b32();
  return both(both(code(all, x, inv), code(all, x + lanes, inv)),
              both(code(all, x + 2 * lanes, inv), code(all, x + 3 * lanes, inv)));
}
inline svint8_t codes(const f16* x, svfloat16_t inv) {
  const svbool_t all = svptrue_b16();
  return both(code(all, x, inv), code(all, x + svcnth(), inv));
}

template <class T, class V>
inline void encode(const T* x, std::size_t len, V inv, std::uint8_t* q) {
  const std::size_t step = svcntb();
  std::size_t j = 0;
  for (; len - j >= step; j += step)
    svst1b_u16(svptrue_b16(), q + j / 2, joined(codes(x + j, inv)));
  if (j < len)
    svst1b_u16(lanes16(0, (len - j + 1) / 2), q + j / 2, joined(codes(x + j, len - j, inv)));
}

struct Codes {
  static constexpr float kMost = 7;
  static std::size_t bytes(std::size_t len) { return (len + 1) / 2; }
  static void encode(const float* x, std::size_t len, svfloat32_t inv, std::uint8_t* q) {
    quantize::encode(x, len, inv, q);
  }
};

// ---- back

/// Codes of the bytes in the lanes of p; p0 and p1 are the lanes of the two vectors that come out.
inline void decode(svbool_t p, svbool_t p0, svbool_t p1, const std::uint8_t* q, svfloat32_t scale,
                   float* y) {
  const svbool_t all = svptrue_b32();
  const svuint32_t pair = svld1ub_u32(p, q), flip = svdup_n_u32(0x4b000008);
  const svuint32_t low = svand_n_u32_x(all, pair, 15), high = svlsr_n_u32_x(all, pair, 4);
  const svfloat32_t even = scaled(sveor_u32_x(all, low, flip), scale);
  const svfloat32_t odd = scaled(sveor_u32_x(all, high, flip), scale);
  svst1_f32(p0, y, svzip1_f32(even, odd));
  svst1_f32(p1, y + svcntw(), svzip2_f32(even, odd));
}

inline void decode(const std::uint8_t* q, std::size_t len, svfloat32_t scale, float* y) {
  const std::size_t lanes = svcntw();
  const svbool_t all = svptrue_b32();
  std::size_t j = 0;
  for (; len - j >= 2 * lanes; j += 2 * lanes) decode(all, all, all, q + j / 2, scale, y + j);
  if (j < len)
    decode(lanes32(0, (len - j + 1) / 2), lanes32(j, len), lanes32(j + lanes, len), q + j / 2,
           scale, y + j);
}

/// The sixteen results f16(code / inv), by nibble.
inline void quotients(f16 inv, f16 (&result)[16]) {
  static constexpr std::int16_t kCodes[16] = {0,  1,  2,  3,  4,  5,  6,  7,
                                              -8, -7, -6, -5, -4, -3, -2, -1};
  const svfloat16_t divisor = splat(inv);
  const svbool_t p = lanes16(0, 16), used = svcmpne_n_f16(p, divisor, float16_t(0));
  for (std::size_t n = 0; n < 16; n += svcnth()) {
    const svfloat16_t v = svcvt_f16_s16_x(p, svld1_s16(p, kCodes + n));
    svst1_u16(p, words(result + n), svreinterpret_u16_f16(svdiv_f16_z(used, v, divisor)));
  }
}

/// A vector of codes, the nibbles of which are the indices; p0 and p1 as above.
inline void look_up(svuint8_t nibbles, svbool_t p0, svbool_t p1, svuint8_t low, svuint8_t high,
                    f16* y) {
  const svuint8_t a = svtbl_u8(low, nibbles), b = svtbl_u8(high, nibbles);
  svst1_u16(p0, words(y), svreinterpret_u16_u8(svzip1_u8(a, b)));
  svst1_u16(p1, words(y) + svcnth(), svreinterpret_u16_u8(svzip2_u8(a, b)));
}

inline void decode(const std::uint8_t* q, std::size_t len, f16 inv, f16* y) {
  f16 result[16];
  quotients(inv, result);
  const svuint8x2_t planes =
      svld2_u8(svptrue_pat_b8(SV_VL16), reinterpret_cast<const std::uint8_t*>(result));
  const svuint8_t low = svget2_u8(planes, 0), high = svget2_u8(planes, 1);
  const svbool_t all = svptrue_b8();
  const std::size_t lanes = svcnth();
  for (std::size_t j = 0; j < len; j += 4 * lanes) {
    const svuint8_t pairs = svld1_u8(lanes8(j / 2, (len + 1) / 2), q + j / 2);
    const svuint8_t even = svand_n_u8_x(all, pairs, 15), odd = svlsr_n_u8_x(all, pairs, 4);
    look_up(svzip1_u8(even, odd), lanes16(j, len), lanes16(j + lanes, len), low, high, y + j);
    look_up(svzip2_u8(even, odd), lanes16(j + 2 * lanes, len), lanes16(j + 3 * lanes, len), low,
            high, y + j + 2 * lanes);
  }
}

}  // namespace

void quantize_f32_s4_sve(const float* x, std::size_t groups, std::size_t len, std::uint8_t* q,
                         float* scale) {
  quantize_groups<Codes>(x, groups, len, q, scale);
}

void quantize_f32_s4g_sve(const float* x, std::size_t groups, std::size_t len, std::uint8_t* q,
                          f16* scale) {
  quantize_groups<Codes>(x, groups, len, q, scale);
}

void quantize_f16_s4_sve(const f16* x, std::size_t groups, std::size_t len, std::uint8_t* q,
                         f16* inv) {
  for (std::size_t i = 0; i < groups; ++i, x += len, q += (len + 1) / 2) {
    inv[i] = inverse_scale(x, len, Codes::kMost);
    encode(x, len, splat(inv[i]), q);
  }
}

void dequantize_s4_f32_sve(const std::uint8_t* q, std::size_t groups, std::size_t len,
                           const float* scale, float* y) {
  for (std::size_t i = 0; i < groups; ++i)
    decode(q + i * ((len + 1) / 2), len, svdup_n_f32(scale[i]), y + i * len);
}

void dequantize_s4g_f32_sve(const std::uint8_t* q, std::size_t groups, std::size_t len,
                            const f16* scale, float* y) {
  for (std::size_t i = 0; i < groups; ++i)
    decode(q + i * ((len + 1) / 2), len, svdup_n_f32(widened(scale[i])), y + i * len);
}

void dequantize_s4_f16_sve(const std::uint8_t* q, std::size_t groups, std::size_t len,
                           const f16* inv, f16* y) {
  for (std::size_t i = 0; i < groups; ++i)
    decode(q + i * ((len + 1) / 2), len, inv[i], y + i * len);
}

void pack_s4_sve(const std::int8_t* q, std::size_t n, std::uint8_t* packed) {
  const std::size_t lanes = svcntb();
  const svbool_t all = svptrue_b8();
  std::size_t j = 0;
  for (; n - j >= 2 * lanes; j += 2 * lanes) {
    const svuint16_t a = joined(svld1_s8(all, q + j)), b = joined(svld1_s8(all, q + j + lanes));
    svst1_u8(all, packed + j / 2, svuzp1_u8(svreinterpret_u8_u16(a), svreinterpret_u8_u16(b)));
  }
  for (; j < n; j += lanes)
    svst1b_u16(lanes16(j / 2, (n + 1) / 2), packed + j / 2, joined(svld1_s8(lanes8(j, n), q + j)));
}

void unpack_s4_sve(const std::uint8_t* packed, std::size_t n, std::int8_t* q) {
  const std::size_t lanes = svcntb();
  const svbool_t all = svptrue_b8();
  for (std::size_t j = 0; j < n; j += 2 * lanes) {
    const svint8_t pairs =
        svreinterpret_s8_u8(svld1_u8(lanes8(j / 2, (n + 1) / 2), packed + j / 2));
    const svint8_t even = svasr_n_s8_x(all, svlsl_n_s8_x(all, pairs, 4), 4);
    const svint8_t odd = svasr_n_s8_x(all, pairs, 4);
    svst1_s8(lanes8(j, n), q + j, svzip1_s8(even, odd));
    svst1_s8(lanes8(j + lanes, n), q + j + lanes, svzip2_s8(even, odd));
  }
}

}  // namespace qb::quantize
