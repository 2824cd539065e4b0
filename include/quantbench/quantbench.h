// SPDX-License-Identifier: Apache-2.0
/* The library for C and for languages that call C: quantize, dequantize, and products with packed
 * weights.
 *
 *   float w[N*K], x[M*K], y[M*N];                      // weights [N, K], activations [M, K]
 *   size_t values, scales;
 *   quantbench_sizes("q4_0", N, K, 0, &values, &scales);
 *   void* q = malloc(values);                          // q4_0 has no scales of its own
 *   quantbench_quantize("q4_0", w, N, K, 0, q, values, NULL, 0);
 *   quantbench_weights* packed;
 *   quantbench_pack("q4_0", q, values, NULL, 0, N, K, 0, "a8", NULL, 1, 1, &packed);
 *   quantbench_matmul(packed, x, M, y, 1);             // y = x * transpose(w)
 *   quantbench_free(packed);
 *
 * Every function that can fail returns a status, and leaves its outputs as they were unless it says
 * otherwise; quantbench_last_error() has the reason. No exception crosses this interface. Functions
 * may be called from several threads, but on one quantbench_weights by one thread at a time.
 */
#ifndef QUANTBENCH_H
#define QUANTBENCH_H

#include <stddef.h>

#include "quantbench/export.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum quantbench_status {
  QUANTBENCH_OK = 0,
  QUANTBENCH_BAD_ARGUMENT = 1, /* sizes, names, values that can't be quantized */
  QUANTBENCH_OUT_OF_MEMORY = 2,
  QUANTBENCH_FAILED = 3 /* anything else */
} quantbench_status;

/* "0.1.0" */
QUANTBENCH_API const char* quantbench_version(void);

/* Why the last call that failed on this thread did; "" if none has. Valid until the next failure.
 */
QUANTBENCH_API const char* quantbench_last_error(void);

/* The names of the weight formats, from 0 to quantbench_format_count() - 1; NULL beyond. */
QUANTBENCH_API size_t quantbench_format_count(void);
QUANTBENCH_API const char* quantbench_format_name(size_t index);

/* How many bytes n rows of k weights take: their values, with the scales of the block formats, and
 * the scales that a format has in an array of its own, or 0; of u4h with the zero points, which
 * stand behind all rows' scales and may be left out. `group` is 32, 64 or 128 for s8g, s4g and u4h,
 * and not looked at for the others. */
QUANTBENCH_API quantbench_status quantbench_sizes(const char* format, size_t n, size_t k,
                                                  size_t group, size_t* values_bytes,
                                                  size_t* scales_bytes);

/* The weights w [n, k] into `values` and `scales`, of exactly the sizes that quantbench_sizes()
 * tells and aligned to 4 bytes (`scales` may be NULL where there are none); no array overlaps
 * another. A row that can't be quantized, for a value that is not finite or a scale that overflows
 * f16, leaves the rows before it written; the message names it. */
QUANTBENCH_API quantbench_status quantbench_quantize(const char* format, const float* w, size_t n,
                                                     size_t k, size_t group, void* values,
                                                     size_t values_bytes, void* scales,
                                                     size_t scales_bytes);

/* Back to w [n, k]. */
QUANTBENCH_API quantbench_status quantbench_dequantize(const char* format, const void* values,
                                                       size_t values_bytes, const void* scales,
                                                       size_t scales_bytes, size_t n, size_t k,
                                                       size_t group, float* w);

/* Weights made ready for products. */
typedef struct quantbench_weights quantbench_weights;

/* Packs on `threads` threads, from 1 to 4096; GNU OpenMP ends the process if the system has not so
 * many for it. `arithmetic` is "a32" (f32), "a8" (activations quantized to int8) or "abf16"
 * (factors rounded to bf16); a8 takes no f32 and f16 weights, abf16 no f16 ones. `variant` names
 * one, or is NULL for this CPU's best for products of `expected_m` rows; quantbench_matmul() takes
 * any number of rows all the same. `values` and `scales`, aligned to 4 bytes, must stay where and
 * as they are until quantbench_free(): some variants read them. */
QUANTBENCH_API quantbench_status quantbench_pack(const char* format, const void* values,
                                                 size_t values_bytes, const void* scales,
                                                 size_t scales_bytes, size_t n, size_t k,
                                                 size_t group, const char* arithmetic,
                                                 const char* variant, int threads,
                                                 size_t expected_m, quantbench_weights** weights);

/* The name of the variant that quantbench_matmul() runs; valid as long as `weights`. */
QUANTBENCH_API const char* quantbench_variant(const quantbench_weights* weights);

/* y [m, n] = x [m, k] times the transpose of the weights, on `threads` threads. y overlaps nothing
 * else. Under a8, refuses an x that is not finite or, but for s8 and s4, too large for a block's
 * f16 scale (from 8,321,040 up). */
QUANTBENCH_API quantbench_status quantbench_matmul(quantbench_weights* weights, const float* x,
                                                   size_t m, float* y, int threads);

/* NULL is fine. */
QUANTBENCH_API void quantbench_free(quantbench_weights* weights);

#ifdef __cplusplus
}
#endif

#endif
