# SPDX-License-Identifier: Apache-2.0
# What the suite stands on. Installed packages are used, but sources given by
# FETCHCONTENT_SOURCE_DIR_<PACKAGE> come first; with QUANTBENCH_FETCH_DEPS=ON what is missing is
# fetched. Otherwise everything missing is named at once, with how to get it. The library of kernels
# alone needs nlohmann-json, xsimd and OpenMP.
include(FetchContent)

set(qb_missing)

# Static libraries only, of OpenMP too. No distribution packages Google Benchmark's, so it is built
# here: from FETCHCONTENT_SOURCE_DIR_BENCHMARK (scripts/library-source.sh), or else fetched.
if(QUANTBENCH_STATIC)
  set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
  set(BUILD_SHARED_LIBS OFF)
  add_link_options(-static)
  set(BENCHMARK_ENABLE_INSTALL OFF CACHE INTERNAL "")
  set(BENCHMARK_INSTALL_DOCS OFF CACHE INTERNAL "")
  set(CMAKE_DISABLE_FIND_PACKAGE_benchmark ON)
endif()

# Warnings are about our own code, not about headers that are built along with it.
set(qb_system)
if(CMAKE_VERSION VERSION_GREATER_EQUAL 3.25)
  set(qb_system SYSTEM)
endif()

# qb_dependency(<package> <version> <debian package> <git url> <git tag>)
macro(qb_dependency package version debian url tag)
  string(TOUPPER ${package} qb_upper)
  set(qb_given "${FETCHCONTENT_SOURCE_DIR_${qb_upper}}")
  if(NOT qb_given)
    find_package(${package} ${version} QUIET)
  endif()
  if(qb_given OR NOT ${package}_FOUND)
    if(QUANTBENCH_FETCH_DEPS OR qb_given)
      message(STATUS "building ${package}, ${tag} if it must be fetched")
      FetchContent_Declare(${package} GIT_REPOSITORY ${url} GIT_TAG ${tag} GIT_SHALLOW ON
                           ${qb_system})
      FetchContent_MakeAvailable(${package})
    else()
      string(APPEND qb_missing "\n  ${package} >= ${version}: package ${debian}, or ${url}")
    endif()
  endif()
endmacro()

# The pins are the newest releases of August 2026.
qb_dependency(nlohmann_json 3.11 nlohmann-json3-dev https://github.com/nlohmann/json.git v3.12.0)
if(QUANTBENCH_SUITE)
  set(BENCHMARK_ENABLE_TESTING OFF CACHE INTERNAL "")
  set(BENCHMARK_ENABLE_GTEST_TESTS OFF CACHE INTERNAL "")
  set(BENCHMARK_ENABLE_WERROR OFF CACHE INTERNAL "")
  set(INSTALL_GTEST OFF CACHE INTERNAL "")
  set(CLI11_BUILD_TESTS OFF CACHE INTERNAL "")
  qb_dependency(benchmark 1.7.1 libbenchmark-dev https://github.com/google/benchmark.git v1.9.5)
  qb_dependency(CLI11 2.1 libcli11-dev https://github.com/CLIUtils/CLI11.git v2.7.2)
  if(NOT QUANTBENCH_STATIC)
    qb_dependency(GTest 1.12 "libgtest-dev libgmock-dev" https://github.com/google/googletest.git
                  v1.18.0)
  endif()
endif()

# xsimd's CMake target drags in xtl: only its include directory is used.
if(FETCHCONTENT_SOURCE_DIR_XSIMD)
  set(QB_XSIMD_INCLUDE_DIR ${FETCHCONTENT_SOURCE_DIR_XSIMD}/include CACHE PATH "" FORCE)
endif()
find_path(QB_XSIMD_INCLUDE_DIR xsimd/xsimd.hpp)
if(NOT QB_XSIMD_INCLUDE_DIR)
  if(QUANTBENCH_FETCH_DEPS)
    FetchContent_Declare(xsimd GIT_REPOSITORY https://github.com/xtensor-stack/xsimd.git
                         GIT_TAG 14.3.0 GIT_SHALLOW ON)
    FetchContent_MakeAvailable(xsimd)
    set(QB_XSIMD_INCLUDE_DIR ${xsimd_SOURCE_DIR}/include CACHE PATH "" FORCE)
  else()
    string(APPEND qb_missing
           "\n  xsimd >= 8.1: package libxsimd-dev, or https://github.com/xtensor-stack/xsimd.git")
  endif()
endif()

find_package(OpenMP QUIET COMPONENTS CXX)
if(NOT OpenMP_CXX_FOUND)
  string(APPEND qb_missing "\n  OpenMP for this compiler (clang: package libomp-dev)")
endif()

if(qb_missing)
  message(FATAL_ERROR "missing dependencies:${qb_missing}\n"
          "On Debian and Ubuntu scripts/install-deps.sh installs them; elsewhere install them with "
          "your package manager, or configure with -DQUANTBENCH_FETCH_DEPS=ON to fetch the "
          "libraries.")
endif()
