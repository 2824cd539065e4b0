// SPDX-License-Identifier: Apache-2.0
// A plugin that can't be loaded, for the reason that CMakeLists.txt defines.
#include <quantbench/plugin.h>
#include <stdlib.h>

static void absmax(const float* x, size_t groups, size_t len, float* out) {
  (void)x, (void)len;
  for (size_t i = 0; i < groups; ++i) out[i] = 0;
}

#if !defined(OPERATION)
#define OPERATION "absmax_f32"
#endif
#if !defined(NAME)
#define NAME "refused"
#endif
#if !defined(NEEDS)
#define NEEDS NULL
#endif
#if !defined(VERSION)
#define VERSION QUANTBENCH_PLUGIN_VERSION
#endif
#if !defined(COUNT)
#define COUNT 1
#endif

#if defined(CRASH)
__attribute__((constructor)) static void crash(void) { abort(); }
#endif

#if defined(EXIT)
__attribute__((constructor)) static void leave(void) { exit(0); }
#endif

#if defined(NO_ENTRY)
void absmax_alone(float* out) { absmax(NULL, 1, 0, out); }
#else
static const quantbench_plugin_variant variants[2] = {
    {OPERATION, NAME, NEEDS, (quantbench_plugin_function*)absmax, NULL},
    {OPERATION, NAME, NEEDS, (quantbench_plugin_function*)absmax, NULL},
};

QUANTBENCH_PLUGIN_ENTRY const quantbench_plugin* quantbench_plugin_entry(void) {
  static const quantbench_plugin plugin = {VERSION, COUNT, variants};
  return &plugin;
}
#endif
