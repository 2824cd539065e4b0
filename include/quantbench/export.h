// SPDX-License-Identifier: Apache-2.0
/* What the shared library shows. All else in it is hidden. C and C++. */
#ifndef QUANTBENCH_EXPORT_H
#define QUANTBENCH_EXPORT_H

#if defined(__GNUC__)
#define QUANTBENCH_API __attribute__((visibility("default")))
#else
#define QUANTBENCH_API
#endif

#endif
