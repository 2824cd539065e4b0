# SPDX-License-Identifier: Apache-2.0
# Compiler options of the products' vector loops, most of them for gcc alone.

# gcc on AArch64 schedules instructions before it allocates registers, by default. Tiles that fill
# the registers then spill.
qb_gcc_options(matmul "^(${QB_ANY_LEVEL}|xsimd_.*)$" -fno-schedule-insns)
# The order written is the one that fills Zen 4's four pipes: gcc must not reorder it afterwards.
qb_gcc_options(matmul "^avx512vnni$" -fno-schedule-insns2)
# Checked by sanitizers, the largest sources would take minutes and gigabytes to compile. AVX2's are
# the same templates, and checked; these run between the tests' guard pages all the same.
if(CMAKE_CXX_FLAGS MATCHES "-fsanitize=")
  qb_variant_options(matmul "^(avx512|xsimd_.*)$" -fno-sanitize=all)
endif()
