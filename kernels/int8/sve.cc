// Int8 quantization, SVE.
//
//   quantize    FMUL; FADD of a number so large that the sum keeps no fraction: it rounds to the
//               nearest integer, ties to even, and the integer is its low byte, which UZP1 gathers
//               (FCVT has half the rate of FADD or less). q8_0 rounds by FRINTA first.
//   f16         the same in half arithmetic, whose product is the notebook's f16(x*inv)
//   dequantize  the same sum backwards: integer ADD, FSUB, FMUL
//   f16 back    division by FMUL with the reciprocal and one FMLS, FMLA step
//
// No clip is written anywhere: |x| <= absmax makes |x*inv| at most 127 and two roundings, which is
// 127 after rounding to an integer. (A non-finite input gives some code or other.)
#include "core/sve.h"
#include "int8/kernels.h"

namespace qb::int8 {
namespace {

constexpr std::int32_t kMagicBits = 0x4b400000;
constexpr std::int16_t kHalfMagicBits = 0x6600;

struct HalfToEven {
  static svfloat32_t round(svfloat32_t v) { return v; }
};
/// q8_0's.
struct HalfAway {
  static svfloat32_t round(svfloat32_t v) { return svrinta_f32_x(svptrue_b32(), v); }
};

using qb::code;  // not hidden by this one
template <class Rounding>
inline svint32_t code(svbool_t p, const float* x, svfloat32_t inv) {
  return code(Rounding::round(svmul_f32_x(svptrue_b32(), svld1_f32(p, x), inv)));
}

template <class Rounding>
inline void codes(const float* x, std::size_t len, svfloat32_t inv, std::int8_t* q) {
  const std::size_t lanes = svcntw();
  const svbool_t all = svptrue_b8();
  std::size_t j = 0;
  for (; len - j >= 4 * lanes; j += 4 * lanes) {
    const float* const at = x + j;
    const svint16_t a = both(code<Rounding>(all, at, inv), code<Rounding>(all, at + lanes, inv));
    const svint16_t b =
        both(code<Rounding>(all, at + 2 * lanes, inv), code<Rounding>(all, at + 3 * lanes, inv));
    svst1_s8(all, q + j, both(a, b));
  }
  for (; j < len; j += lanes) {
    const svbool_t p = lanes32(j, len);
    svst1b_s32(p, q + j, code<Rounding>(p, x + j, inv));
  }
}

inline void codes(const f16* x, std::size_t len, svfloat16_t inv, std::int8_t* q) {
  const std::size_t lanes = svcnth();
  const svbool_t all = svptrue_b8();
  std::size_t j = 0;
  for (; len - j >= 4 * lanes; j += 4 * lanes) {
    const f16* const at = x + j;
    svst1_s8(all, q + j, both(code(all, at, inv), code(all, at + lanes, inv)));
    svst1_s8(all, q + j + 2 * lanes,
             both(code(all, at + 2 * lanes, inv), code(all, at + 3 * lanes, inv)));
  }
  for (; j < len; j += lanes) {
    const svbool_t p = lanes16(j, len);
    svst1b_s16(p, q + j, code(p, x + j, inv));
  }
}

struct Codes {
  static constexpr float kMost = 127;
  static std::size_t bytes(std::size_t len) { return len; }
  static void encode(const float* x, std::size_t len, svfloat32_t inv, std::int8_t* q) {
    codes<HalfToEven>(x, len, inv, q);
  }
};

// ---- back

inline svfloat32_t value32(svbool_t p, const std::int8_t* q) {
  const svbool_t all = svptrue_b32();
  const svint32_t sum = svadd_n_s32_x(all, svld1sb_s32(p, q), kMagicBits);
  return svsub_n_f32_x(all, svreinterpret_f32_s32(sum), kMagic);
}

inline svfloat16_t value16(svbool_t p, const std::int8_t* q) {
  const svbool_t all = svptrue_b16();
  const svint16_t sum = svadd_n_s16_x(all, svld1sb_s16(p, q), kHalfMagicBits);
  return svsub_n_f16_x(all, svreinterpret_f16_s16(sum), kHalfMagic);
}

/// Stores a vector of q times the factor, rounded to the type of y.
inline void step(svbool_t p, const std::int8_t* q, svfloat32_t factor, float* y) {
  svst1_f32(p, y, svmul_f32_x(svptrue_b32(), value32(p, q), factor));
}
inline void step(svbool_t p, const std::int8_t* q, svfloat32_t factor, f16* y) {
  const svfloat32_t v = svmul_f32_x(svptrue_b32(), value32(p, q), factor);
  svst1h_u32(p, words(y), svreinterpret_u32_f16(svcvt_f16_f32_x(svptrue_b32(), v)));
}

template <class Y>
inline void back(const std::int8_t* q, std::size_t len, svfloat32_t factor, Y* y) {
  const std::size_t lanes = svcntw();
  const svbool_t all = svptrue_b32();
  std::size_t j = 0;
  for (; len - j >= 4 * lanes; j += 4 * lanes) {
    step(all, q + j, factor, y + j);
    step(all, q + j + lanes, factor, y + j + lanes);
    step(all, q + j + 2 * lanes, factor, y + j + 2 * lanes);
    step(all, q + j + 3 * lanes, factor, y + j + 3 * lanes);
  }
  for (; j < len; j += lanes) step(lanes32(j, len), q + j, factor, y + j);
}

/// q/inv rounded once: the remainder of the first quotient is exact, and with it the second one is
/// right. Not below 2^-8, where q/inv may overflow on the way, nor above 2^14, where the reciprocal
/// loses bits.
inline void quotients(svbool_t p, const std::int8_t* q, svfloat16_t inv, svfloat16_t reciprocal,
                      f16* y) {
  const svbool_t all = svptrue_b16();
  const svfloat16_t v = value16(p, q), first = svmul_f16_x(all, v, reciprocal);
  const svfloat16_t rest = svmls_f16_x(all, v, first, inv);
  svst1_u16(p, words(y), svreinterpret_u16_f16(svmla_f16_x(all, first, rest, reciprocal)));
}

inline void quotients(const std::int8_t* q, std::size_t len, f16 divisor, f16* y) {
  const std::size_t lanes = svcnth();
  const svbool_t all = svptrue_b16();
  const svfloat16_t inv = splat(divisor);
  const svfloat16_t reciprocal = splat(narrowed(1.0f / widened(divisor)));
  std::size_t j = 0;
  for (; len - j >= 2 * lanes; j += 2 * lanes) {
    quotients(all, q + j, inv, reciprocal, y + j);
    quotients(all, q + j + lanes, inv, reciprocal, y + j + lanes);
  }
  for (; j < len; j += lanes) quotients(lanes16(j, len), q + j, inv, reciprocal, y + j);
}

}  // namespace

void quantize_f32_s8_sve(const float* x, std::size_t groups, std::size_t len, std::int8_t* q,
                         float* scale) {
  quantize<Codes>(x, groups, len, q, scale);
}

void quantize_f32_s8g_sve(const float* x, std::size_t groups, std::size_t len, std::int8_t* q,
                          f16* scale) {
  quantize<Codes>(x, groups, len, q, scale);
}

void quantize_f16_s8_sve(const f16* x, std::size_t groups, std::size_t len, std::int8_t* q,
                         f16* inv) {
  for (std::size_t i = 0; i < groups; ++i, x += len, q += len) {
    inv[i] = inverse_scale(x, len, Codes::kMost);
    codes(x, len, splat(inv[i]), q);
  }
}

void dequantize_s8_f32_sve(const std::int8_t* q, std::size_t groups, std::size_t len,
                           const float* scale, float* y) {
  for (std::size_t i = 0; i < groups; ++i, q += len, y += len)
    back(q, len, svdup_n_f32(scale[i]), y);
}

void dequantize_s8g_f32_sve(const std::int8_t* q, std::size_t groups, std::size_t len,
                            const f16* scale, float* y) {
  for (std::size_t i = 0; i < groups; ++i, q += len, y += len)
    back(q, len, svdup_n_f32(widened(scale[i])), y);
}

void dequantize_s8_f16_sve(const std::int8_t* q, std::size_t groups, std::size_t len,
                           const f16* inv, f16* y) {
  for (std::size_t i = 0; i < groups; ++i, q += len, y += len) {
    const float divisor = widened(inv[i]);
    if (divisor > 0x1p-8f && divisor <= 0x1p14f) {
      quotients(q, len, inv[i], y);
    } else if (divisor == 0.0f) {
      for (std::size_t j = 0; j < len; j += svcnth())
        svst1_u16(lanes16(j, len), words(y + j), svdup_n_u16(0));
    } else {
      // A product with the reciprocal rounds to the same f16 as the quotient. With q = Q, inv = I
      // and a rounding boundary M as integers of 7, 11 and 12 bits, q/inv is never on a boundary (M
      // would divide Q) and differs from it by more than 2^-23 of itself; the product is nearer.
      back(q, len, svdup_n_f32(1.0f / divisor), y);
    }
  }
}

void quantize_f32_q8_0_sve(const float* x, std::size_t blocks, BlockQ8_0* y) {
  for (; blocks >= 4; blocks -= 4) {
    const svbool_t four = first4();
    const svfloat32_t d = svdiv_n_f32_x(four, absmax_of_4(x, kBlock), 127.0f);
    const svfloat32_t id = finite_or_zero(svdiv_f32_x(four, svdup_n_f32(1.0f), d));
    f16 stored[4];
    store4(stored, d);
    for (std::uint32_t i = 0; i < 4; ++i, x += kBlock, ++y) {
      y->d = stored[i];
      codes<HalfAway>(x, kBlock, svdup_lane_f32(id, i), y->qs);
    }
  }
  for (; blocks; --blocks, x += kBlock, ++y) {
    const float d = absmax_of_1(x, kBlock) / 127.0f, id = 1.0f / d;
    y->d = narrowed(d);
    codes<HalfAway>(x, kBlock, svdup_n_f32(finite_or_zero(id)), y->qs);
  }
}

void dequantize_q8_0_f32_sve(const BlockQ8_0* x, std::size_t blocks, float* y) {
  const svbool_t p = lanes32(0, kBlock);  // a block is a number of vectors, or part of one
  for (std::size_t i = 0; i < blocks; ++i, y += kBlock) {
    const svfloat32_t d = svdup_n_f32(widened(x[i].d));
    for (std::size_t j = 0; j < kBlock; j += svcntw()) step(p, x[i].qs + j, d, y + j);
  }
}

}  // namespace qb::int8
