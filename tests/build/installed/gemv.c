// SPDX-License-Identifier: Apache-2.0
/* A matrix times a vector in every weight format there is, by the installed library: near to what
 * plain C makes of the weights that it decodes, and refusals that say why. */
#include <math.h>
#include <quantbench/quantbench.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kOutputs = 24, kInputs = 512 };

static void check(quantbench_status status, const char* what) {
  if (status == QUANTBENCH_OK) return;
  fprintf(stderr, "%s: %s\n", what, quantbench_last_error());
  exit(1);
}

static void check_refusal(quantbench_status status, const char* says) {
  if (status == QUANTBENCH_BAD_ARGUMENT && strstr(quantbench_last_error(), says)) return;
  fprintf(stderr, "status %d, \"%s\" and not \"%s\"\n", (int)status, quantbench_last_error(), says);
  exit(1);
}

static void multiply(const char* format, const float* w, const float* x) {
  static float decoded[kOutputs * kInputs], y[kOutputs];
  const size_t group = 32;
  size_t values_bytes, scales_bytes;
  check(quantbench_sizes(format, kOutputs, kInputs, group, &values_bytes, &scales_bytes), format);
  void* values = aligned_alloc(64, (values_bytes + 63) / 64 * 64);
  void* scales = aligned_alloc(64, scales_bytes / 64 * 64 + 64);
  check(quantbench_quantize(format, w, kOutputs, kInputs, group, values, values_bytes, scales,
                            scales_bytes),
        format);
  check(quantbench_dequantize(format, values, values_bytes, scales, scales_bytes, kOutputs, kInputs,
                              group, decoded),
        format);
  quantbench_weights* weights;
  check(quantbench_pack(format, values, values_bytes, scales, scales_bytes, kOutputs, kInputs, group,
                        "a32", NULL, 1, 1, &weights),
        format);
  check(quantbench_matmul(weights, x, 1, y, 1), format);
  for (int n = 0; n < kOutputs; ++n) {
    double product = 0, magnitude = 0;
    for (int k = 0; k < kInputs; ++k) {
      product += (double)x[k] * decoded[n * kInputs + k];
      magnitude += fabs((double)x[k] * decoded[n * kInputs + k]);
    }
    if (fabs(y[n] - product) > 1e-6 * magnitude) {
      fprintf(stderr, "%s/%s: y[%d] is %g, not %g\n", format, quantbench_variant(weights), n, y[n],
              product);
      exit(1);
    }
  }
  printf("%s/%s\n", format, quantbench_variant(weights));
  quantbench_free(weights);
  free(scales);
  free(values);
}

int main(void) {
  static float w[kOutputs * kInputs], x[kInputs];
  for (int i = 0; i < kOutputs * kInputs; ++i) w[i] = (float)sin(0.37 * i);
  for (int i = 0; i < kInputs; ++i) x[i] = (float)cos(0.11 * i);
  printf("quantbench %s\n", quantbench_version());
  for (size_t i = 0; i < quantbench_format_count(); ++i)
    multiply(quantbench_format_name(i), w, x);

  size_t values_bytes, scales_bytes;
  check_refusal(quantbench_sizes("q3", 1, 32, 0, &values_bytes, &scales_bytes), "no format 'q3'");
  check_refusal(quantbench_sizes("q4_0", 1, 33, 0, &values_bytes, &scales_bytes), "'k' = 33");
  check_refusal(quantbench_quantize("f32", NULL, 1, 1, 0, x, 4, NULL, 0), "'w' is NULL");
  check_refusal(quantbench_matmul(NULL, x, 1, w, 1), "'weights' is NULL");
  quantbench_free(NULL);
  return 0;
}
