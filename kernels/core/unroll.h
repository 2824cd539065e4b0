// SPDX-License-Identifier: Apache-2.0
// QB_UNROLL before a loop of a constant number of rounds unrolls it whole, so that arrays that its
// counter indexes become registers. QB_ROLLED keeps a short one a loop, which compilers vectorise
// better than what they have unrolled. Included by every instruction set's translation unit:
// macros.
#pragma once

#if defined(__clang__)
#define QB_UNROLL _Pragma("unroll")
#else
#define QB_UNROLL _Pragma("GCC unroll 16")
#endif

#define QB_ROLLED _Pragma("GCC unroll 1")
