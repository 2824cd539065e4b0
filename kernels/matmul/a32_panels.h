// Matmul with f32 sums, as every vector variant does it: packed panels, blocking, and the two ways
// through them. The variant's file brings the vectors (a class S) and how codes become floats.
//
// Packed weights: panels of kPanel = 2 vectors of outputs, each contiguous, k by k, so that a
// vector holds one k of neighbouring outputs and sums never leave their lanes. Codes of 4 bits, and
// of 8 where a codec wants it, stand eight or four k's of an output in a 32-bit lane, lowest k in
// the lowest bits. Group scales stand before their group's codes, channel scales before the
// panel's.
//
// Few rows (up to four, or to a tile where the registers suffice) decode codes in registers,
// multiply them, and forget them: reading and decoding the weights binds one row. More rows are
// bound by FMAs, and storing what is decoded would add to them: only then is it shared, S::kDepth
// k's of a panel are decoded into 8 or 16 KiB that stay in L1, and every tile of kRows rows is
// multiplied with them. The sums of kBlockRows x kBlockOutputs wait in L2, beside the block of
// activations that these panels share, until all of k has passed; so y is written once, and the
// activations are read from beyond L2 once for every kBlockOutputs outputs. Where all of them fit
// in L2 it is one panel at a time, and the weights are read in the order in which they lie.
//
// In an anonymous namespace on purpose: each translation unit owns its copy, so that no copy
// compiled for one instruction set can be linked into another's code (docs/decisions/0002-odr.md).
#pragma once

#include "matmul/a32_decode.h"

namespace qb::matmul {
namespace {

using std::size_t;
using Byte = std::uint8_t;  // std::byte's operators are functions, which would be shared weakly

template <int I>
struct Int {
  static constexpr int value = I;
};

/// f(Int<0>), ..., f(Int<N-1>), unrolled: indices are constants, so arrays become registers.
template <int N>
struct Unroll {
  template <class F>
  static inline __attribute__((always_inline)) void run(const F& f) {
    if constexpr (N > 0) {
      Unroll<N - 1>::run(f);
      f(Int<N - 1>{});
    }
  }
};

constexpr size_t kStep = 8;         // k's that are decoded together
constexpr size_t kBlockRows = 192;  // a multiple of every kRows
constexpr size_t kBlockOutputs = 128;
/// Bytes that the few-row kernels fetch ahead: the hardware's own prefetching stops at every page.
/// For one row, which memory binds, what is asked for much earlier costs bandwidth on a Zen 4
/// (docs/decisions/0006); f32 is read so fast that less than 512 comes too late.
constexpr size_t ahead_of(size_t bits, int rows) {
  return rows > 1 ? 1024 : bits == 32 ? 512 : 256;
}
/// Weights that need no decoding, fewer than so many bytes and so likely in cache, are faster left
/// to the hardware.
constexpr size_t kFar = size_t{16} << 20;

constexpr size_t padded(size_t k) { return (k + kStep - 1) / kStep * kStep; }
constexpr size_t least(size_t a, size_t b) { return a < b ? a : b; }
/// Cache lines that so many bytes begin, at the least one.
constexpr size_t lines(size_t bytes) { return bytes > 64 ? bytes / 64 : 1; }

enum class Scales { none, channel, group };

/// How weights are stored and read: how codes become vectors, from which canonical layout, what
/// they are scaled by. rounds: each dequantized weight is rounded to bf16, so that it must be
/// scaled before it is multiplied, and not the sum behind.
template <class Codes, class From, Scales scales, bool rounds = false>
struct Codec : Codes {
  using Source = From;
  static constexpr Scales kScales = scales;
  static constexpr bool kRounds = rounds;
};

/// f32 weights of the bf16 products, rounded as they are packed.
struct CanonicalBf16 {
  using Code = bf16;
  static void read(const Weights& w, size_t n, size_t k, size_t count, Code* to) {
    const float* from = static_cast<const float*>(w.values) + n * w.k + k;
    for (size_t i = 0; i < count; ++i) to[i] = f32_to_bf16(from[i]);
  }
};

inline float value_of(float code) { return code; }
inline float value_of(f16 code) { return f16_to_f32(code); }
inline float value_of(bf16 code) { return bf16_to_f32(code); }

/// Exchanges rows and columns of a square: 8 words of bytes, 4 of 16 bits, 2 of 32 bits; element 0
/// in the lowest bits.
template <size_t N>
inline __attribute__((always_inline)) void transpose(std::uint64_t (&row)[N]) {
  Unroll<N == 8   ? 3
         : N == 4 ? 2
                  : 1>::run([&](auto stage) {
    constexpr size_t half = N >> (stage.value + 1), shift = half * 64 / N;
    // Ones in the lower of each pair of `half` elements.
    constexpr std::uint64_t mask = ~std::uint64_t{0} / ((std::uint64_t{1} << shift) + 1);
    Unroll<int(N)>::run([&](auto i) {
      if constexpr ((i.value & half) == 0) {
        std::uint64_t &a = row[i.value], &b = row[i.value + half];
        const std::uint64_t t = (a >> shift ^ b) & mask;
        b ^= t;
        a ^= t << shift;
      }
    });
  });
}

template <class C>
constexpr size_t slack() {
  if constexpr (requires { C::kSlack; })
    return C::kSlack;
  else
    return 0;
}

/// Codes of 8 bits in 32-bit lanes, and as such: code + 128.
template <class C>
constexpr bool unsigned_bytes() {
  return requires { requires C::kUnsignedBytes; };
}

/// 32 codes from k as C stores them in 32-bit lanes, lowest k in the lowest bits; `count` are
/// there, the others 0.
template <class C>
constexpr size_t kWordsOf32 = C::kBits;
template <class C>
inline void words_of_32(const Weights& w, size_t n, size_t k, size_t count,
                        std::uint32_t (&to)[kWordsOf32<C>]) {
  if constexpr (C::kBits == 4) {
    C::Source::words(w, n, k, count, to);
  } else {
    std::int8_t codes[32] = {};
    C::Source::read(w, n, k, least(count, 32), codes);
    __builtin_memcpy(to, codes, sizeof to);
    for (std::uint32_t& word : to) word ^= 0x80808080u;
  }
}

/// Where things stand in the packed weights of codec C: Bits per code, Pads if k is filled up to
/// whole steps (with codes 0).
template <class S, class C>
struct Layout {
  static constexpr size_t kPanel = 2 * S::kLanes;
  static constexpr size_t kStepBytes = kPanel * C::kBits;  // kStep k's
  static constexpr bool kPads = C::kBits == 4 || unsigned_bytes<C>();
  /// Bytes behind the last panel that are read but do not count.
  static constexpr size_t kSlack = slack<C>();

  static size_t depth(size_t k) { return kPads ? padded(k) : k; }
  static size_t code_bytes(size_t k) { return depth(k) * kPanel * C::kBits / 8; }
  static size_t group_bytes(size_t group) { return kPanel * sizeof(f16) + code_bytes(group); }
  static size_t panel_bytes(size_t k, size_t group) {
    if (C::kScales == Scales::group) return k / group * group_bytes(group);
    return (C::kScales == Scales::channel ? kPanel * sizeof(float) : 0) + code_bytes(k);
  }
  /// Where k's codes (a group's first: its scales) stand in a panel.
  static size_t offset(size_t k, size_t group) {
    if (C::kScales == Scales::group) return k / group * group_bytes(group);
    return panel_bytes(0, 1) + k * kPanel * C::kBits / 8;
  }
  static size_t packed_bytes(size_t n, size_t k, size_t group) {
    const size_t panels = (n + kPanel - 1) / kPanel * panel_bytes(k, group);
    return panels ? panels + kSlack : 0;
  }

  /// Code (k, column) of the codes at p.
  static typename C::Code get(const Byte* p, size_t k, size_t column) {
    if constexpr (kPads) {
      constexpr size_t in_lane = 32 / C::kBits;
      const Byte* lane = p + (k / in_lane * kPanel + column) * 4;
      if constexpr (C::kBits == 4) return static_cast<std::int8_t>(nibble(lane, k % in_lane));
      return static_cast<std::int8_t>(lane[k % in_lane] ^ 0x80);
    } else {
      typename C::Code code;
      __builtin_memcpy(&code, p + (k * kPanel + column) * sizeof code, sizeof code);
      return code;
    }
  }

  /// Codes [k0, k1) of a panel's outputs, from n on. A cache line of each output at a time.
  static void put_codes(const Weights& w, size_t n, size_t k0, size_t k1, Byte* p) {
    const size_t outputs = least(kPanel, w.n - n);
    if constexpr (kPads) {
      constexpr size_t run = 512 / C::kBits, in_lane = 32 / C::kBits;
      for (size_t k = k0; k < k1; k += run, p += run / in_lane * kPanel * 4) {
        const size_t stop = least(k + run, depth(k1));
        for (size_t column = 0; column < kPanel; ++column) {
          Byte* to = p + column * 4;
          for (size_t i = k; i < stop; i += 32) {
            std::uint32_t word[kWordsOf32<C>] = {};
            if (column < outputs && i < k1) words_of_32<C>(w, n + column, i, k1 - i, word);
            for (size_t j = 0; j < kWordsOf32<C> && i + j * in_lane < stop; ++j, to += kPanel * 4)
              __builtin_memcpy(to, &word[j], sizeof word[j]);
          }
        }
      }
    } else {
      using Code = typename C::Code;
      constexpr size_t side = 8 / sizeof(Code), run = 64 / sizeof(Code);
      constexpr size_t row = kPanel * sizeof(Code);
      for (size_t k = k0; k < k1; k += run, p += run * row) {
        const size_t count = least(run, k1 - k);
        for (size_t column = 0; column < kPanel; column += side) {
          Code from[side][run] = {};
          for (size_t c = 0; c < side; ++c) {
            if (column + c >= outputs) continue;
            if (count == run)
              C::Source::read(w, n + column + c, k, run, from[c]);
            else
              C::Source::read(w, n + column + c, k, count, from[c]);
          }
          Byte* to = p + column * sizeof(Code);
          size_t i = 0;
          for (; i + side <= count; i += side, to += side * row) {
            std::uint64_t word[side];
            Unroll<int(side)>::run([&](auto c) {
              __builtin_memcpy(&word[c.value], &from[c.value][i], sizeof word[c.value]);
            });
            transpose(word);
            Unroll<int(side)>::run([&](auto c) {
              __builtin_memcpy(to + c.value * row, &word[c.value], sizeof word[c.value]);
            });
          }
          for (; i < count; ++i, to += row)
            for (size_t c = 0; c < side; ++c)
              __builtin_memcpy(to + c * sizeof(Code), &from[c][i], sizeof(Code));
        }
      }
    }
  }

  /// Scale g of a panel's outputs, from n on.
  static Byte* put_scales(const Weights& w, size_t n, size_t g, Byte* p) {
    using Scale = decltype(C::Source::scale(w, n, g));
    const size_t outputs = least(kPanel, w.n - n);
    for (size_t column = 0; column < kPanel; ++column, p += sizeof(Scale)) {
      const Scale scale = column < outputs ? C::Source::scale(w, n + column, g) : Scale{};
      __builtin_memcpy(p, &scale, sizeof scale);
    }
    return p;
  }

  static void pack(const Weights& weights, size_t n0, size_t n1, void* packed) {
    const Weights w = weights;  // a copy: bytes that are stored may not be it
    const size_t bytes = panel_bytes(w.k, w.group);
    for (size_t n = n0; n < n1; n += kPanel) {
      Byte* p = static_cast<Byte*>(packed) + n / kPanel * bytes;
      if constexpr (C::kScales == Scales::group) {
        for (size_t k = 0, g = 0; k < w.k; k += w.group, ++g) {
          p = put_scales(w, n, g, p);
          put_codes(w, n, k, k + w.group, p);
          p += code_bytes(w.group);
        }
      } else {
        if constexpr (C::kScales == Scales::channel) p = put_scales(w, n, 0, p);
        put_codes(w, n, 0, w.k, p);
      }
    }
    if (n1 >= w.n && panel_bytes(w.k, w.group))
      for (size_t i = 0; i < kSlack; ++i)
        static_cast<Byte*>(packed)[packed_bytes(w.n, w.k, w.group) - kSlack + i] = 0;
  }

  static void unpack(const void* packed, size_t n, size_t k, size_t group, size_t n0, size_t n1,
                     void* codes) {
    constexpr bool grouped = C::kScales == Scales::group;
    constexpr size_t header = kPanel * (grouped                         ? sizeof(f16)
                                        : C::kScales == Scales::channel ? sizeof(float)
                                                                        : 0);
    const size_t bytes = panel_bytes(k, group), run = grouped ? group : k;
    for (size_t i = n0; i < n1 && i < n; ++i) {
      const Byte* p = static_cast<const Byte*>(packed) + i / kPanel * bytes + header;
      for (size_t j0 = 0; j0 < k; j0 += run, p += header + code_bytes(run))
        for (size_t j = 0; j < run; ++j) {
          const auto code = get(p, j, i % kPanel);
          if constexpr (C::kBits >= 16)
            static_cast<float*>(codes)[i * k + j0 + j] = value_of(code);
          else
            static_cast<std::int8_t*>(codes)[i * k + j0 + j] = code;
        }
    }
  }
};

// Workspace: for every S::kDepth k's, tiles of kRows rows (the last may be lower), in each k by k
// the rows side by side. k is filled up with zeros to whole steps.

inline size_t workspace_bytes(size_t m, size_t, size_t k, size_t) {
  return m * padded(k) * sizeof(float);
}

template <class S, class T, bool rounds = false>
void prepare(const void* activations, size_t m, size_t k, size_t, size_t m0, size_t m1,
             void* workspace) {
  constexpr size_t rows_of_tile = S::kRows, kDepth = S::kDepth;
  const T* x = static_cast<const T*>(activations);
  for (size_t k0 = 0; k0 < k; k0 += kDepth) {
    const size_t depth = least(kDepth, padded(k) - k0), there = least(depth, k - k0);
    float* block = static_cast<float*>(workspace) + k0 * m;
    for (size_t row = m0; row < m1; ++row) {
      const size_t first = row / rows_of_tile * rows_of_tile;
      const size_t rows = least(rows_of_tile, m - first);
      float* out = block + first * depth + (row - first);
      float widened[kDepth];
      const float* in;
      if constexpr (sizeof(T) == sizeof(f16)) {
        S::widen(x + row * k + k0, there, widened);
        in = widened;
      } else if constexpr (rounds) {
        in = x + row * k + k0;
        for (size_t i = 0; i < there; ++i) widened[i] = bf16_to_f32(f32_to_bf16(in[i]));
        in = widened;
      } else {
        in = x + row * k + k0;
      }
      if (rows == 1) {
        __builtin_memcpy(out, in, there * sizeof(float));
      } else {
        for (size_t i = 0; i < there; ++i) out[i * rows] = in[i];
      }
      for (size_t i = there; i < depth; ++i) out[i * rows] = 0;
    }
  }
}

/// One row of a panel's sums to y; the last panel may have fewer outputs than columns.
template <class S>
inline void write(const float* sums, size_t outputs, float* y) {
  if (outputs == 2 * S::kLanes) {
    S::store(y, S::load(sums));
    S::store(y + S::kLanes, S::load(sums + S::kLanes));
  } else if constexpr (requires { S::store_first(y, outputs, S::zero()); }) {
    const size_t first = least(outputs, S::kLanes);
    S::store_first(y, first, S::load(sums));
    S::store_first(y + first, outputs - first, S::load(sums + S::kLanes));
  } else {
    for (size_t j = 0; j < outputs; ++j) y[j] = sums[j];
  }
}
template <class S>
inline void write(const float* sums, size_t outputs, f16* y) {
  S::narrow(sums, outputs, y);
}

/// A scaled code, rounded to bf16.
template <class S, class C>
inline __attribute__((always_inline)) typename S::V rounded(typename S::V v) {
  if constexpr (C::kScales == Scales::group) {
    // f16 scales make neither subnormal products nor such as overflow when 65536 times as large,
    // and the sum of v and 65536 times v's power of two has bf16's last place as its own.
    const typename S::V power = S::power(v), large = S::all(65536.0f);
    return S::nfma(power, large, S::fma(power, large, v));
  } else {
    return S::round_bf16(v);
  }
}

// ---- few rows: decode in registers ----

/// Whether R rows scale each weight. It must be done if weights are rounded then; sums of every
/// group would need registers of their own, which many rows' do not leave.
template <class C, int R>
constexpr bool kScalesWeights = C::kRounds || (C::kScales == Scales::group && R > 4);

/// Weight i of a step as the product of R rows takes it.
template <class S, class C, int R, int i, int half>
inline __attribute__((always_inline)) typename S::V weight(const Byte* p,
                                                           const typename S::V (&scale)[2]) {
  const typename S::V code = C::template get<i, half>(p);
  if constexpr (C::kRounds)
    return rounded<S, C>(S::mul(code, scale[half]));
  else if constexpr (kScalesWeights<C, R>)
    return S::mul(code, scale[half]);
  else
    return code;
}

/// acc[u][p][r][half] += the codes of `depth` k's times R rows of x, for P panels `stride` bytes
/// apart. k's take turns over U accumulators, which hide the latency of the sum. scale: of those
/// panels, where weights are scaled. ahead: what lies so many bytes on is fetched meanwhile.
template <class S, class C, int R, int P, int U>
inline __attribute__((always_inline)) void add_codes(const Byte* p, size_t stride, size_t ahead,
                                                     size_t depth, const float* x,
                                                     const typename S::V (&scale)[P][2],
                                                     typename S::V (&acc)[U][P][R][2]) {
  using V = typename S::V;
  constexpr size_t step_bytes = Layout<S, C>::kStepBytes;
  size_t k = 0;
  for (; k + kStep <= depth; k += kStep, p += step_bytes, x += kStep * R)
    Unroll<int(kStep)>::run([&](auto i) {
      constexpr int u = i.value % U;
      Unroll<P>::run([&](auto q) {
        constexpr size_t each = step_bytes / kStep, at = size_t(i.value) * each;
        if constexpr (at % 64 == 0)
          for (size_t line = 0; line < lines(each); ++line)
            S::prefetch(p + q.value * stride + at + line * 64 + ahead);
        const V w0 = weight<S, C, R, i.value, 0>(p + q.value * stride, scale[q.value]);
        const V w1 = weight<S, C, R, i.value, 1>(p + q.value * stride, scale[q.value]);
        Unroll<R>::run([&](auto r) {
          const V xr = S::set1(x + i.value * R + r.value);
          acc[u][q.value][r.value][0] = S::fma(xr, w0, acc[u][q.value][r.value][0]);
          acc[u][q.value][r.value][1] = S::fma(xr, w1, acc[u][q.value][r.value][1]);
        });
      });
    });
  if constexpr (!Layout<S, C>::kPads)
    for (; k < depth; ++k, p += step_bytes / kStep, x += R)
      Unroll<P>::run([&](auto q) {
        const V w0 = weight<S, C, R, 0, 0>(p + q.value * stride, scale[q.value]);
        const V w1 = weight<S, C, R, 0, 1>(p + q.value * stride, scale[q.value]);
        Unroll<R>::run([&](auto r) {
          const V xr = S::set1(x + r.value);
          acc[0][q.value][r.value][0] = S::fma(xr, w0, acc[0][q.value][r.value][0]);
          acc[0][q.value][r.value][1] = S::fma(xr, w1, acc[0][q.value][r.value][1]);
        });
      });
}

template <class S, int R, int P, int U>
inline __attribute__((always_inline)) void clear(typename S::V (&acc)[U][P][R][2]) {
  Unroll<U * P * R * 2>::run([&](auto i) {
    constexpr int j = i.value;
    acc[j / (P * R * 2)][j / (R * 2) % P][j / 2 % R][j % 2] = S::zero();
  });
}

/// acc[0] += the other turns' sums.
template <class S, int R, int P, int U>
inline __attribute__((always_inline)) void join(typename S::V (&acc)[U][P][R][2]) {
  Unroll<(U - 1) * P * R * 2>::run([&](auto i) {
    constexpr int j = i.value % (P * R * 2);
    auto& to = acc[0][j / (R * 2)][j / 2 % R][j % 2];
    to = S::add(to, acc[1 + i.value / (P * R * 2)][j / (R * 2)][j / 2 % R][j % 2]);
  });
}

/// R rows of P panels from outputs n, to y[m,n] of Out.
template <class S, class C, int R, int P, int U, class Out>
void fused(const Weights& w, const Byte* panel, size_t ahead, const float* x, size_t n, Out* y) {
  using V = typename S::V;
  using L = Layout<S, C>;
  const size_t stride = L::panel_bytes(w.k, w.group);
  V acc[U][P][R][2], scale[P][2];
  const auto load_scales = [&](const Byte* p) {
    Unroll<P * 2>::run([&](auto i) {
      constexpr int q = i.value / 2, half = i.value % 2;
      if constexpr (C::kScales == Scales::group)
        scale[q][half] = S::load_half(p + q * stride + half * S::kLanes * sizeof(f16));
      if constexpr (C::kScales == Scales::channel)
        scale[q][half] = S::load_bytes(p + q * stride + half * S::kLanes * sizeof(float));
    });
  };
  alignas(64) float sums[P][R][L::kPanel];
  if constexpr (C::kScales == Scales::group && !kScalesWeights<C, R>) {
    V total[1][P][R][2];
    clear<S, R, P, 1>(total);
    const Byte* p = panel;
    for (size_t k = 0; k < w.k; k += w.group, p += L::group_bytes(w.group)) {
      clear<S, R, P, U>(acc);
      add_codes<S, C, R, P, U>(p + L::kPanel * sizeof(f16), stride, ahead, w.group, x + k * R,
                               scale, acc);
      join<S, R, P, U>(acc);
      load_scales(p);
      Unroll<P * 2>::run([&](auto i) {
        constexpr int q = i.value / 2, half = i.value % 2;
        Unroll<R>::run([&](auto r) {
          total[0][q][r.value][half] =
              S::fma(scale[q][half], acc[0][q][r.value][half], total[0][q][r.value][half]);
        });
      });
    }
    Unroll<P * R * 2>::run([&](auto i) {
      constexpr int j = i.value;
      S::store(&sums[j / (R * 2)][j / 2 % R][j % 2 * int(S::kLanes)],
               total[0][j / (R * 2)][j / 2 % R][j % 2]);
    });
  } else {
    constexpr size_t header = C::kScales == Scales::channel ? L::kPanel * sizeof(float) : 0;
    clear<S, R, P, U>(acc);
    if constexpr (C::kScales == Scales::group) {
      const Byte* p = panel;
      for (size_t k = 0; k < w.k; k += w.group, p += L::group_bytes(w.group)) {
        load_scales(p);
        add_codes<S, C, R, P, U>(p + L::kPanel * sizeof(f16), stride, ahead, w.group, x + k * R,
                                 scale, acc);
      }
    } else {
      if constexpr (C::kRounds) load_scales(panel);
      add_codes<S, C, R, P, U>(panel + header, stride, ahead, L::depth(w.k), x, scale, acc);
    }
    join<S, R, P, U>(acc);
    Unroll<P * R * 2>::run([&](auto i) {
      constexpr int j = i.value, q = j / (R * 2), half = j % 2;
      V v = acc[0][q][j / 2 % R][half];
      if constexpr (C::kScales == Scales::channel && !C::kRounds)
        v = S::mul(v, S::load_bytes(panel + q * stride + half * S::kLanes * sizeof(float)));
      S::store(&sums[q][j / 2 % R][half * int(S::kLanes)], v);
    });
  }
  for (int q = 0; q < P; ++q)
    for (int r = 0; r < R; ++r) {
      const size_t first = n + size_t(q) * L::kPanel;
      write<S>(sums[q][r], least(L::kPanel, w.n - first), y + size_t(r) * w.n + first);
    }
}

/// Outputs [n0, n1) of R rows. P panels at a time, then one by one.
template <class S, class C, int R, int P, int U, class Out>
void fused_range(const Weights& w, const Byte* packed, const float* x, size_t n0, size_t n1,
                 Out* y) {
  using L = Layout<S, C>;
  const size_t bytes = L::panel_bytes(w.k, w.group);
  const bool left_alone = C::kBits >= 16 && L::packed_bytes(w.n, w.k, w.group) < kFar;
  const size_t ahead = left_alone ? 0 : ahead_of(C::kBits, R);
  size_t n = n0;
  if constexpr (P > 1)
    for (; n + (P - 1) * L::kPanel < n1; n += P * L::kPanel)
      fused<S, C, R, P, U>(w, packed + n / L::kPanel * bytes, ahead, x, n, y);
  for (; n < n1; n += L::kPanel)
    fused<S, C, R, 1, U>(w, packed + n / L::kPanel * bytes, ahead, x, n, y);
}

// ---- many rows: decode a panel's block once ----

/// depth k's from k0 (a multiple of S::kDepth) of a panel as f32[depth][kPanel], scaled; f32
/// weights are used where they are.
template <class S, class C>
inline const float* decode(const Weights& w, const Byte* panel, size_t k0, size_t depth,
                           float* out) {
  using V = typename S::V;
  using L = Layout<S, C>;
  const auto codes = [](const Byte* p, size_t count, V s0, V s1, float* to) {
    size_t k = 0;
    for (; k + kStep <= count; k += kStep, p += L::kStepBytes, to += kStep * L::kPanel)
      Unroll<int(kStep)>::run([&](auto i) {
        V w0 = C::template get<i.value, 0>(p), w1 = C::template get<i.value, 1>(p);
        if constexpr (C::kScales != Scales::none) {
          w0 = S::mul(w0, s0);
          w1 = S::mul(w1, s1);
        }
        if constexpr (C::kRounds) {
          w0 = rounded<S, C>(w0);
          w1 = rounded<S, C>(w1);
        }
        S::store(to + size_t(i.value) * L::kPanel, w0);
        S::store(to + size_t(i.value) * L::kPanel + S::kLanes, w1);
      });
    if constexpr (!L::kPads)
      for (; k < count; ++k, p += L::kStepBytes / kStep, to += L::kPanel) {
        V w0 = C::template get<0, 0>(p), w1 = C::template get<0, 1>(p);
        if constexpr (C::kScales != Scales::none) {
          w0 = S::mul(w0, s0);
          w1 = S::mul(w1, s1);
        }
        if constexpr (C::kRounds) {
          w0 = rounded<S, C>(w0);
          w1 = rounded<S, C>(w1);
        }
        S::store(to, w0);
        S::store(to + S::kLanes, w1);
      }
  };
  if constexpr (C::kBits == 32) {
    return reinterpret_cast<const float*>(panel + L::offset(k0, w.group));
  } else if constexpr (C::kScales == Scales::group) {
    const Byte* p = panel + L::offset(k0, w.group);
    for (size_t k = 0; k < depth; k += w.group, p += L::group_bytes(w.group))
      codes(p + L::kPanel * sizeof(f16), w.group, S::load_half(p),
            S::load_half(p + S::kLanes * sizeof(f16)), out + k * L::kPanel);
    return out;
  } else if constexpr (C::kScales == Scales::channel) {
    codes(panel + L::offset(k0, w.group), depth, S::load_bytes(panel),
          S::load_bytes(panel + S::kLanes * sizeof(float)), out);
    return out;
  } else {
    codes(panel + L::offset(k0, w.group), depth, S::zero(), S::zero(), out);
    return out;
  }
}

/// sums[R][kPanel] += x[depth][R] times b[depth][kPanel], in k order; `first`: starts at zero.
/// AheadBytes > 0: meanwhile fetches depth times as many bytes from `ahead`. Not inlined: the
/// caller's constants would push a sum out of the registers.
template <class S, int R, size_t AheadBytes = 0>
__attribute__((noinline)) void tile(const float* x, const float* b, size_t depth, bool first,
                                    float* sums, const Byte* ahead = nullptr) {
  using V = typename S::V;
  constexpr size_t panel = 2 * S::kLanes;
  V acc[R][2];
  Unroll<R>::run([&](auto r) {
    acc[r.value][0] = first ? S::zero() : S::load(sums + r.value * panel);
    acc[r.value][1] = first ? S::zero() : S::load(sums + r.value * panel + S::kLanes);
  });
  for (size_t k = 0; k < depth; ++k, x += R, b += panel) {
    if constexpr (AheadBytes > 0)
      for (size_t line = 0; line < lines(AheadBytes); ++line)
        S::prefetch_l2(ahead + k * AheadBytes + line * 64);
    S::template step<R>(acc, S::load(b), S::load(b + S::kLanes), x);
  }
  Unroll<R>::run([&](auto r) {
    S::store(sums + r.value * panel, acc[r.value][0]);
    S::store(sums + r.value * panel + S::kLanes, acc[r.value][1]);
  });
}

/// The last, lower tile: R rows or fewer.
template <class S, int R>
inline void low_tile(size_t rows, const float* x, const float* b, size_t depth, bool first,
                     float* sums) {
  if constexpr (R > 0) {
    if (rows == R) return tile<S, R>(x, b, depth, first, sums);
    low_tile<S, R - 1>(rows, x, b, depth, first, sums);
  }
}

template <class S, class C, class Out>
void blocked(const Weights& w, const Byte* packed, const float* x, size_t m, size_t n0, size_t n1,
             Out* y) {
  using L = Layout<S, C>;
  constexpr size_t panel = L::kPanel, rows_of_tile = S::kRows, kDepth = S::kDepth;
  const size_t bytes = L::panel_bytes(w.k, w.group);
  // Where all activations stay in L2 a panel can be read in one go, as it lies in memory.
  const size_t outputs_of_block =
      m * padded(w.k) * sizeof(float) <= S::kStaysInL2 ? panel : kBlockOutputs;
  alignas(64) float sums[kBlockRows * kBlockOutputs];
  alignas(64) float decoded[kDepth * panel];
  for (size_t m0 = 0; m0 < m; m0 += kBlockRows) {
    const size_t m1 = least(m0 + kBlockRows, m);
    for (size_t nb = n0; nb < n1; nb += outputs_of_block) {
      const size_t nb1 = least(nb + outputs_of_block, n1);
      if (w.k == 0) {
        for (float& v : sums) v = 0;
      }
      for (size_t k0 = 0; k0 < w.k; k0 += kDepth) {
        const size_t stride = least(kDepth, padded(w.k) - k0);  // of the workspace's tiles
        const size_t depth = L::kPads ? stride : least(kDepth, w.k - k0);
        for (size_t n = nb; n < nb1; n += panel) {
          const Byte* here = packed + n / panel * bytes;
          const float* b = decode<S, C>(w, here, k0, depth, decoded);
          float* to = sums + (n - nb) / panel * kBlockRows * panel;
          size_t row = m0;
          if constexpr (C::kBits >= 8) {
            // Weights this wide arrive in time only if asked for: the first tile asks for the block
            // that comes next.
            const Byte* next = n + panel < nb1
                                   ? here + bytes + L::offset(k0, w.group)
                                   : packed + nb / panel * bytes + L::offset(k0 + depth, w.group);
            if (row + rows_of_tile <= m1) {
              tile<S, int(rows_of_tile), panel * C::kBits / 8>(x + k0 * m + row * stride, b, depth,
                                                               k0 == 0, to, next);
              row += rows_of_tile;
            }
          }
          for (; row + rows_of_tile <= m1; row += rows_of_tile)
            tile<S, int(rows_of_tile)>(x + k0 * m + row * stride, b, depth, k0 == 0,
                                       to + (row - m0) * panel);
          low_tile<S, int(rows_of_tile) - 1>(m1 - row, x + k0 * m + row * stride, b, depth, k0 == 0,
                                             to + (row - m0) * panel);
        }
      }
      for (size_t row = m0; row < m1; ++row)
        for (size_t n = nb; n < nb1; n += panel)
          write<S>(sums + (n - nb) / panel * kBlockRows * panel + (row - m0) * panel,
                   least(panel, w.n - n), y + row * w.n + n);
    }
  }
}

/// How few rows go: panels at a time, and accumulators that k's take turns over.
struct Few {
  int panels, turns;
};

/// For 16 registers.
template <class C>
constexpr Few few_in_16(int rows) {
  // Memory binds the wider codes, and several streams of them arrive faster than one; decoding
  // binds those of 4 bits and what is rounded.
  const bool decoding = C::kBits == 4 || C::kRounds;
  if (rows == 1) return decoding ? Few{1, 4} : C::kBits == 8 ? Few{2, 2} : Few{4, 1};
  if (rows == 2) return decoding || C::kBits == 8 ? Few{1, 2} : Few{2, 1};
  return {1, 1};
}

template <class S, class C, int R>
void few_rows(const Weights& w, const Byte* packed, const float* x, size_t n0, size_t n1,
              float* y) {
  constexpr Few few = S::template few<C>(R);
  fused_range<S, C, R, few.panels, few.turns>(w, packed, x, n0, n1, y);
}

/// How many rows are few: as many as can be multiplied with a weight while it is in a register.
template <class S>
constexpr int most_few() {
  if constexpr (requires { S::kMostFew; })
    return S::kMostFew;
  else
    return 4;
}

template <class S, class C, int R>
inline void run_rows(const Weights& w, const Byte* packed, const float* x, size_t m, size_t n0,
                     size_t n1, float* y) {
  if (m > R) return blocked<S, C>(w, packed, x, m, n0, n1, y);
  if (m == R) return few_rows<S, C, R>(w, packed, x, n0, n1, y);
  if constexpr (R > 1) run_rows<S, C, R - 1>(w, packed, x, m, n0, n1, y);
}

template <class S, class C>
void run(const Weights& w, const void* packed, const void*, const void* workspace, size_t m,
         size_t n0, size_t n1, void* y) {
  run_rows<S, C, most_few<S>()>(w, static_cast<const Byte*>(packed),
                                static_cast<const float*>(workspace), m, n0, n1,
                                static_cast<float*>(y));
}

/// The notebook's product: every sum in k order, so only panels can hide the latency.
template <class S, class C, int R>
inline void run_f16_rows(const Weights& w, const Byte* packed, const float* x, size_t m, size_t n0,
                         size_t n1, f16* y) {
  constexpr int panels = R == 1 ? 4 : R == 2 ? 2 : 1;
  if (m > R) return blocked<S, C>(w, packed, x, m, n0, n1, y);
  if (m == R) return fused_range<S, C, R, panels, 1>(w, packed, x, n0, n1, y);
  if constexpr (R > 1) run_f16_rows<S, C, R - 1>(w, packed, x, m, n0, n1, y);
}

template <class S, class C>
void run_f16(const Weights& w, const void* packed, const void*, const void* workspace, size_t m,
             size_t n0, size_t n1, void* y) {
  run_f16_rows<S, C, most_few<S>()>(w, static_cast<const Byte*>(packed),
                                    static_cast<const float*>(workspace), m, n0, n1,
                                    static_cast<f16*>(y));
}

/// The record of codec C. A constant expression: no dynamic initialisation.
template <class S, class C>
constexpr Kernel kernel() {
  using L = Layout<S, C>;
  return {L::kPanel,       L::packed_bytes, L::pack,           L::unpack,
          workspace_bytes, S::kRows,        prepare<S, float>, run<S, C>};
}
/// Both factors rounded to bf16: their products are exact in f32.
template <class S, class C>
constexpr Kernel kernel_bf16() {
  using L = Layout<S, C>;
  return {L::kPanel, L::packed_bytes,         L::pack,  L::unpack, workspace_bytes,
          S::kRows,  prepare<S, float, true>, run<S, C>};
}
template <class S, class C>
constexpr Kernel kernel_f16() {
  using L = Layout<S, C>;
  return {L::kPanel,       L::packed_bytes, L::pack,         L::unpack,
          workspace_bytes, S::kRows,        prepare<S, f16>, run_f16<S, C>};
}

}  // namespace
}  // namespace qb::matmul
