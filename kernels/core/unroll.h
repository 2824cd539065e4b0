// QB_UNROLL before a loop of a constant number of rounds unrolls it whole, so that arrays that its
// counter indexes become registers. Included by every instruction set's translation unit: a macro.
#pragma once

#if defined(__clang__)
#define QB_UNROLL _Pragma("unroll")
#else
#define QB_UNROLL _Pragma("GCC unroll 16")
#endif
