// SPDX-License-Identifier: Apache-2.0
/* The version of these headers; CMakeLists.txt and pyproject.toml read it here. Of the library that
 * a program was linked with: quantbench_version() in quantbench.h. C and C++.
 *
 *   #if QUANTBENCH_VERSION_MAJOR == 0 && QUANTBENCH_VERSION_MINOR >= 1
 */
#ifndef QUANTBENCH_VERSION_H
#define QUANTBENCH_VERSION_H

#define QUANTBENCH_VERSION_MAJOR 0
#define QUANTBENCH_VERSION_MINOR 1
#define QUANTBENCH_VERSION_PATCH 0

#define QUANTBENCH_VERSION_TEXT_(x) #x
#define QUANTBENCH_VERSION_JOIN_(major, minor, patch) \
  QUANTBENCH_VERSION_TEXT_(major)                     \
  "." QUANTBENCH_VERSION_TEXT_(minor) "." QUANTBENCH_VERSION_TEXT_(patch)

/* "0.1.0" */
#define QUANTBENCH_VERSION                                                     \
  QUANTBENCH_VERSION_JOIN_(QUANTBENCH_VERSION_MAJOR, QUANTBENCH_VERSION_MINOR, \
                           QUANTBENCH_VERSION_PATCH)

#endif
