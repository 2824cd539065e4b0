// SPDX-License-Identifier: Apache-2.0
/* Bring your own kernel: what a shared library must offer so that
 *
 *   quantbench --kernels=./mine.so
 *
 * verifies its kernels, and times them beside the ones that quantbench has. In C or C++:
 *
 *   #include <quantbench/plugin.h>
 *
 *   static void absmax(const float* x, size_t groups, size_t len, float* out) { ... }
 *
 *   static const quantbench_plugin_variant variants[] = {
 *       QUANTBENCH_VARIANT(absmax_f32, "mine", "avx2", absmax),
 *   };
 *   QUANTBENCH_PLUGIN(variants)
 *
 * This header is all that a plugin needs: nothing is linked. What each operation must compute
 * stands in quantbench's docs/contract.md, and how a plugin is built in docs/your-own-kernel.md.
 *
 * For every kernel: no byte outside its arrays is touched, whatever their alignment and length;
 * arrays are aligned as their elements, and outputs overlap nothing; several threads may call it at
 * once, for different parts. f16, bf16, e4m3 and e5m2 are passed as their bits.
 */
#ifndef QUANTBENCH_PLUGIN_H
#define QUANTBENCH_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#define QUANTBENCH_PLUGIN_VERSION 1

#ifdef __cplusplus
extern "C" {
#endif

/* ---- array operations: a function for each, of the type quantbench_<operation>_fn */

/* y[i] = x[i] converted, i < n. */
typedef void quantbench_convert_f16_f32_fn(const uint16_t* x, size_t n, float* y);
typedef void quantbench_convert_bf16_f32_fn(const uint16_t* x, size_t n, float* y);
typedef void quantbench_convert_f32_f16_fn(const float* x, size_t n, uint16_t* y);
typedef void quantbench_convert_f32_bf16_fn(const float* x, size_t n, uint16_t* y);
typedef void quantbench_convert_e4m3_f32_fn(const uint8_t* x, size_t n, float* y);
typedef void quantbench_convert_e5m2_f32_fn(const uint8_t* x, size_t n, float* y);
typedef void quantbench_convert_f32_e4m3_fn(const float* x, size_t n, uint8_t* y);
typedef void quantbench_convert_f32_e5m2_fn(const float* x, size_t n, uint8_t* y);

/* out[i] = max |x[i*len + j]|, j < len, for i < groups; NaN if one of them is, 0 if len is 0. */
typedef void quantbench_absmax_f32_fn(const float* x, size_t groups, size_t len, float* out);
typedef void quantbench_absmax_f16_fn(const uint16_t* x, size_t groups, size_t len, float* out);

/* `groups` runs of `len` elements, each with a scale: s8 a code a byte, s4 two, the low nibble
 * first; s8g and s4g with f16 scales. The f16 operations store the inverse scale. */
typedef void quantbench_quantize_f32_s8_fn(const float* x, size_t groups, size_t len, int8_t* q,
                                           float* scale);
typedef void quantbench_quantize_f32_s4_fn(const float* x, size_t groups, size_t len, uint8_t* q,
                                           float* scale);
typedef void quantbench_quantize_f32_s8g_fn(const float* x, size_t groups, size_t len, int8_t* q,
                                            uint16_t* scale);
typedef void quantbench_quantize_f32_s4g_fn(const float* x, size_t groups, size_t len, uint8_t* q,
                                            uint16_t* scale);
typedef void quantbench_quantize_f16_s8_fn(const uint16_t* x, size_t groups, size_t len, int8_t* q,
                                           uint16_t* inverse_scale);
typedef void quantbench_quantize_f16_s4_fn(const uint16_t* x, size_t groups, size_t len, uint8_t* q,
                                           uint16_t* inverse_scale);
typedef void quantbench_dequantize_s8_f32_fn(const int8_t* q, size_t groups, size_t len,
                                             const float* scale, float* y);
typedef void quantbench_dequantize_s4_f32_fn(const uint8_t* q, size_t groups, size_t len,
                                             const float* scale, float* y);
typedef void quantbench_dequantize_s8g_f32_fn(const int8_t* q, size_t groups, size_t len,
                                              const uint16_t* scale, float* y);
typedef void quantbench_dequantize_s4g_f32_fn(const uint8_t* q, size_t groups, size_t len,
                                              const uint16_t* scale, float* y);
typedef void quantbench_dequantize_s8_f16_fn(const int8_t* q, size_t groups, size_t len,
                                             const uint16_t* inverse_scale, uint16_t* y);
typedef void quantbench_dequantize_s4_f16_fn(const uint8_t* q, size_t groups, size_t len,
                                             const uint16_t* inverse_scale, uint16_t* y);

/* Groups of 32, 64 or 128 with codes from 0 to 15, two a byte, the low nibble first, and a zero
 * point each, two a byte, or null: 8. u4f has f32 scales, u4h f16 ones. */
typedef void quantbench_quantize_f32_u4f_fn(const float* x, size_t groups, size_t len, uint8_t* q,
                                            float* scale, uint8_t* zero);
typedef void quantbench_quantize_f32_u4h_fn(const float* x, size_t groups, size_t len, uint8_t* q,
                                            uint16_t* scale, uint8_t* zero);
typedef void quantbench_dequantize_u4f_f32_fn(const uint8_t* q, size_t groups, size_t len,
                                              const float* scale, const uint8_t* zero, float* y);
typedef void quantbench_dequantize_u4h_f32_fn(const uint8_t* q, size_t groups, size_t len,
                                              const uint16_t* scale, const uint8_t* zero, float* y);

/* Two codes of [-8, 7] a byte, and back. */
typedef void quantbench_pack_s4_fn(const int8_t* q, size_t n, uint8_t* packed);
typedef void quantbench_unpack_s4_fn(const uint8_t* packed, size_t n, int8_t* q);

/* `blocks` blocks of a GGUF format: quantize_f32_<format> and dequantize_<format>_f32. */
typedef void quantbench_quantize_blocks_fn(const float* x, size_t blocks, void* y);
typedef void quantbench_dequantize_blocks_fn(const void* x, size_t blocks, float* y);

/* ---- products: y[m,n] = sum_k x[m,k]*w[n,k], a record of functions for each
 *
 * The operations are matmul_<arithmetic>_<format>: a32 (f32 activations), a8 (activations quantized
 * to int8 in prepare), abf16 (both factors rounded to bf16), and matmul_f16_f16. */

/* The weights as they are stored, the k of an output one after the other. */
typedef struct quantbench_plugin_weights {
  const void* values;   /* f32, f16, int8, two codes a byte (s4; u4h: 0 to 15), or blocks */
  const void* scales;   /* s8, s4: float[n]; s8g, s4g: f16[n, k/group];
                           u4h: f16[n, k/scale_group]; else unused */
  size_t n;             /* outputs */
  size_t k;             /* inputs */
  size_t group;         /* s8g, s4g: 32, 64 or 128; u4h and blocks: 32, except q6_K and
                           nvfp4: 16, and tq2_0: 128; all others: k */
  const uint8_t* zeros; /* u4h: zero points, a row's in (k/scale_group+1)/2 bytes, or null: 8 */
  size_t scale_group;   /* u4h: what shares a scale and a zero point */
} quantbench_plugin_weights;

/* A product is computed in three steps, each of which may be called for parts by several threads:
 *
 *   pack     once, not timed: the weights in the order in which run reads them
 *   prepare  the activations, as run reads them, into the workspace
 *   run      columns [n0, n1) of y
 *
 * Only run must be there. Packed weights and the workspace are aligned to 64 bytes. */
typedef struct quantbench_plugin_product {
  /* Parts of pack and run start at a multiple of n_step outputs, those of prepare at one of m_step
   * rows. 0 stands for 1. */
  size_t n_step;
  size_t m_step;
  /* Bytes of the packed weights. Null or 0: run reads the weights as they are, and pack and unpack
   * are null. */
  size_t (*packed_bytes)(size_t n, size_t k, size_t group);
  void (*pack)(const quantbench_plugin_weights* w, size_t n0, size_t n1, void* packed);
  /* The inverse, to prove that packing loses nothing: the codes of outputs [n0, n1) into
   * codes[n,k]: int8, for f32 and f16 weights float. A nibble of q4_0 is its value less 8; an index
   * of a table is the table's value. */
  void (*unpack)(const void* packed, size_t n, size_t k, size_t group, size_t n0, size_t n1,
                 void* codes);
  /* Bytes of the workspace for m rows. Null: 0. */
  size_t (*workspace_bytes)(size_t m, size_t n, size_t k, size_t group);
  /* Rows [m0, m1) of x[m,k], f32 (f16 in the f16 product), into the workspace. */
  void (*prepare)(const void* x, size_t m, size_t k, size_t group, size_t m0, size_t m1,
                  void* workspace);
  /* y is float[m,n] (f16 in the f16 product). x is null if there is a prepare; packed is null if
   * nothing is packed. */
  void (*run)(const quantbench_plugin_weights* w, const void* packed, const void* x,
              const void* workspace, size_t m, size_t n0, size_t n1, void* y);
} quantbench_plugin_product;

/* ---- what the library says of itself */

typedef void quantbench_plugin_function(void);

/* One kernel. Either `function`, of the operation's type, or for a product `product` is set. */
typedef struct quantbench_plugin_variant {
  const char* operation; /* "absmax_f32": the first column of quantbench --list */
  const char* name;      /* "mine": letters, digits, '_', '-' and '.' */
  /* Instruction sets without which it can't run, joined by '+': "avx2", "avx512+avx512vbmi". An
   * instruction set's name stands for all that quantbench --list shows of that name: avx2 for
   * sse4.2, avx2, fma and f16c. Null or "": none. */
  const char* needs;
  quantbench_plugin_function* function;
  const quantbench_plugin_product* product;
} quantbench_plugin_variant;

typedef struct quantbench_plugin {
  uint32_t version; /* QUANTBENCH_PLUGIN_VERSION */
  size_t count;
  const quantbench_plugin_variant* variants;
} quantbench_plugin;

#if defined(__GNUC__)
#define QUANTBENCH_PLUGIN_EXPORT __attribute__((visibility("default")))
#else
#define QUANTBENCH_PLUGIN_EXPORT
#endif

/* What quantbench looks for in the library. */
QUANTBENCH_PLUGIN_EXPORT const quantbench_plugin* quantbench_plugin_entry(void);

#ifdef __cplusplus
}
#endif

/* A kernel of an array operation; the compiler compares its type with the operation's. */
#define QUANTBENCH_VARIANT(operation, name, needs, kernel) \
  { #operation, name, needs, QUANTBENCH_CHECKED(quantbench_##operation##_fn, kernel), NULL }

/* Of quantize_f32_<format> and dequantize_<format>_f32 for a block format. */
#define QUANTBENCH_BLOCK_QUANTIZER(format, name, needs, kernel)         \
  {                                                                     \
    "quantize_f32_" #format, name, needs,                               \
        QUANTBENCH_CHECKED(quantbench_quantize_blocks_fn, kernel), NULL \
  }
#define QUANTBENCH_BLOCK_DEQUANTIZER(format, name, needs, kernel)         \
  {                                                                       \
    "dequantize_" #format "_f32", name, needs,                            \
        QUANTBENCH_CHECKED(quantbench_dequantize_blocks_fn, kernel), NULL \
  }

/* A product, of which `record` points to a quantbench_plugin_product. */
#define QUANTBENCH_PRODUCT(operation, name, needs, record) \
  { #operation, name, needs, NULL, record }

#define QUANTBENCH_CHECKED(type, kernel) ((quantbench_plugin_function*)(1 ? (kernel) : (type*)NULL))

/* The entry of a library whose kernels are the array `variants`. Once, without a semicolon. */
#define QUANTBENCH_PLUGIN(variants)                                                               \
  QUANTBENCH_PLUGIN_ENTRY const quantbench_plugin* quantbench_plugin_entry(void) {                \
    static const quantbench_plugin plugin = {QUANTBENCH_PLUGIN_VERSION,                           \
                                             sizeof(variants) / sizeof((variants)[0]), variants}; \
    return &plugin;                                                                               \
  }
#ifdef __cplusplus
#define QUANTBENCH_PLUGIN_ENTRY extern "C" QUANTBENCH_PLUGIN_EXPORT
#else
#define QUANTBENCH_PLUGIN_ENTRY QUANTBENCH_PLUGIN_EXPORT
#endif

#endif
