# SPDX-License-Identifier: Apache-2.0
# The same by clang, with the headers and libraries of Debian's cross compiler. Debian installs
# clang's OpenMP library for one architecture at a time: here libgomp is linked instead, for which
# clang compiles parallel regions as one thread's.
include(${CMAKE_CURRENT_LIST_DIR}/toolchain-aarch64.cmake)
set(CMAKE_C_COMPILER clang)
set(CMAKE_CXX_COMPILER clang++)
set(CMAKE_C_COMPILER_TARGET aarch64-linux-gnu)
set(CMAKE_CXX_COMPILER_TARGET aarch64-linux-gnu)
set(OpenMP_CXX_FLAGS -fopenmp=libgomp)
set(OpenMP_CXX_LIB_NAMES gomp)
set(OpenMP_gomp_LIBRARY gomp)
