// SPDX-License-Identifier: Apache-2.0
// What the symbol check must catch, one violation per compilation, and what it must let pass.
#if defined(QB_VIOLATION_portable)  // as xsimd in a build that inlines little
namespace xsimd_sse4_2 {
template <class T>
__attribute__((noinline)) T twice(T x) {
  return x + x;
}
}  // namespace xsimd_sse4_2
#endif

namespace qb::demo {

#if defined(QB_VIOLATION_portable)
int kernel_xsimd_sse4_2(int x);
int kernel_xsimd_sse4_2(int x) { return xsimd_sse4_2::twice(x); }

#elif defined(QB_VIOLATION_weak)  // a template outside an anonymous namespace
template <class T>
__attribute__((noinline)) T twice(T x) {
  return x + x;
}
int kernel_demo(int x);
int kernel_demo(int x) { return twice(x); }

#elif defined(QB_VIOLATION_stray)  // a helper with external linkage
int helper(int x);
int helper(int x) { return x + 1; }

#elif defined(QB_VIOLATION_early)  // code that runs before main()
int read_clock();
static int started = read_clock();
int kernel_demo();
int kernel_demo() { return started; }

#else  // none
namespace {
__attribute__((noinline)) int twice(int x) { return x + x; }
}  // namespace
int kernel_demo(int x);
int kernel_demo(int x) { return twice(x); }
#endif

}  // namespace qb::demo
