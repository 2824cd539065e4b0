# SPDX-License-Identifier: Apache-2.0
# The only list of instruction sets, with their flags, and the rule that turns a room's files into
# targets.
#
# A source named <isa>.cc or <anything>_<isa>.cc is compiled with that instruction set's flags,
# once; scalar.cc and xsimd.cc are compiled once per variant below. Every variant is an OBJECT
# library, so that the symbol check can look at its objects. The tests IsaFlags.* compare this list
# with the levels of kernels/core/isa.h.

if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(qb_arch x86_64)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  set(qb_arch aarch64)
else()
  set(qb_arch any)
endif()

set(QB_LEVELS)        # every instruction set of every architecture, weakest first within one
set(QB_ISAS)          # those of this architecture
set(QB_XSIMD_ISAS)    # of these: what xsimd.cc is compiled for
set(QB_AUTOVEC_ISAS)  # of these: what scalar.cc is compiled for besides the baseline

# qb_isa(<name> <architecture> [XSIMD] [AUTOVEC] [FLAGS <flags...>])
macro(qb_isa name arch)
  cmake_parse_arguments(isa "XSIMD;AUTOVEC" "" "FLAGS" ${ARGN})
  list(APPEND QB_LEVELS ${name})
  set(QB_ARCH_${name} ${arch})
  set(QB_FLAGS_${name} ${isa_FLAGS})
  if(qb_arch STREQUAL "${arch}")
    list(APPEND QB_ISAS ${name})
    if(isa_XSIMD)
      list(APPEND QB_XSIMD_ISAS ${name})
    endif()
    if(isa_AUTOVEC)
      list(APPEND QB_AUTOVEC_ISAS ${name})
    endif()
  endif()
endmacro()

qb_isa(sse4_2 x86_64 XSIMD FLAGS -msse4.2)
qb_isa(avx2 x86_64 XSIMD AUTOVEC FLAGS ${QB_FLAGS_sse4_2} -mavx2 -mfma -mf16c)
qb_isa(avxvnni x86_64 FLAGS ${QB_FLAGS_avx2} -mavxvnni)
qb_isa(avx512 x86_64 FLAGS ${QB_FLAGS_avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq
       -mprefer-vector-width=512)
qb_isa(avx512vnni x86_64 FLAGS ${QB_FLAGS_avx512} -mavx512vnni)
qb_isa(avx512bf16 x86_64 FLAGS ${QB_FLAGS_avx512vnni} -mavx512vbmi -mavx512bf16)
qb_isa(avx512fp16 x86_64 FLAGS ${QB_FLAGS_avx512vnni} -mavx512fp16)
qb_isa(amx x86_64 FLAGS ${QB_FLAGS_avx512bf16} -mamx-tile -mamx-int8 -mamx-bf16)
qb_isa(neon aarch64 XSIMD)
qb_isa(neon_fp16 aarch64 FLAGS -march=armv8.2-a+fp16)
qb_isa(neon_dotprod aarch64 FLAGS -march=armv8.2-a+dotprod)
qb_isa(neon_i8mm aarch64 FLAGS -march=armv8.2-a+dotprod+i8mm)
qb_isa(neon_bf16 aarch64 FLAGS -march=armv8.2-a+bf16)
qb_isa(sve aarch64 FLAGS -march=armv8.2-a+fp16+dotprod+sve)  # +sve implies half arithmetic

list(JOIN QB_LEVELS "|" QB_ANY_LEVEL)  # as a regular expression

if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  set(QB_FLAGS_no_vectorize -fno-vectorize -fno-slp-vectorize)
else()
  set(QB_FLAGS_no_vectorize -fno-tree-vectorize -fno-tree-slp-vectorize)
endif()
# Of the loops that compilers are compared by. gcc as clang by default: nobody reads the exception
# flags that arithmetic sets, so that a lane may compute what a condition then discards; no result
# depends on it. And loops begin where no other function's size moves them.
set(QB_FLAGS_plain -fno-trapping-math -falign-functions=64 -falign-loops=32)

# qb_variant(<room> <variant> <flags...> SOURCES <file...>)
function(qb_variant room variant)
  cmake_parse_arguments(arg "" "" "SOURCES;FLAGS;DEFINITIONS" ${ARGN})
  set(target qb_${room}_${variant})
  add_library(${target} OBJECT ${arg_SOURCES})
  target_link_libraries(${target} PRIVATE qb_options)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/kernels)
  target_compile_options(${target} PRIVATE ${arg_FLAGS})
  target_compile_definitions(${target} PRIVATE QB_VARIANT_NAME=${variant} ${arg_DEFINITIONS})
  # gcc 12 takes the AVX-512 headers' deliberately undefined vectors for forgotten ones.
  if(variant MATCHES "^(avx512|amx)" AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    target_compile_options(${target} PRIVATE -Wno-uninitialized -Wno-maybe-uninitialized)
  endif()
  set_target_properties(${target} PROPERTIES QB_ROOM ${room} QB_VARIANT ${variant})
  # Checks of every index multiply the compile time of unrolled kernels, which the tests run
  # between guard pages anyway.
  if(CMAKE_CXX_FLAGS MATCHES "-fsanitize=[a-z,-]*(bounds|undefined)")
    target_compile_options(${target} PRIVATE -fno-sanitize=bounds)
  endif()
  set_property(GLOBAL APPEND PROPERTY QB_VARIANT_TARGETS ${target})
endfunction()

# qb_variant_options(<room> <regex of variants> <options...>): options of some of a room's variants. For
# <room>/flags.cmake, which qb_room includes.
function(qb_variant_options room variants)
  get_property(targets GLOBAL PROPERTY QB_VARIANT_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(its_room ${target} QB_ROOM)
    get_target_property(its_variant ${target} QB_VARIANT)
    if(its_room STREQUAL room AND its_variant MATCHES "${variants}")
      target_compile_options(${target} PRIVATE ${ARGN})
    endif()
  endforeach()
endfunction()

# The same for gcc alone.
function(qb_gcc_options)
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    qb_variant_options(${ARGV})
  endif()
endfunction()

# qb_room(<room>): the checked entries (sources that belong to no variant) and every variant.
# Sources stand in <room>/ and in its folders, <room>/*/.
function(qb_room room)
  set(here ${CMAKE_CURRENT_SOURCE_DIR}/${room})
  file(GLOB sources CONFIGURE_DEPENDS ${here}/*.cc ${here}/*/*.cc)
  set(entries)
  foreach(isa IN LISTS QB_LEVELS ITEMS scalar xsimd)
    set(sources_${isa})
  endforeach()
  foreach(source IN LISTS sources)
    get_filename_component(stem ${source} NAME_WE)
    if(stem MATCHES "^(.*_)?(${QB_ANY_LEVEL}|scalar|xsimd)$")
      list(APPEND sources_${CMAKE_MATCH_2} ${source})
    else()
      list(APPEND entries ${source})
    endif()
  endforeach()

  if(sources_scalar)
    qb_variant(${room} scalar SOURCES ${sources_scalar}
               FLAGS ${QB_FLAGS_plain} ${QB_FLAGS_no_vectorize})
    qb_variant(${room} autovec SOURCES ${sources_scalar} FLAGS -O3 ${QB_FLAGS_plain})
    foreach(isa IN LISTS QB_AUTOVEC_ISAS)
      qb_variant(${room} autovec_${isa} SOURCES ${sources_scalar} FLAGS -O3 ${QB_FLAGS_plain} ${QB_FLAGS_${isa}})
    endforeach()
  endif()
  if(sources_xsimd)
    foreach(isa IN LISTS QB_XSIMD_ISAS)
      qb_variant(${room} xsimd_${isa} SOURCES ${sources_xsimd} FLAGS ${QB_FLAGS_${isa}}
                 DEFINITIONS QB_XSIMD_${isa} xsimd=xsimd_${isa})
      target_include_directories(qb_${room}_xsimd_${isa} SYSTEM PRIVATE ${QB_XSIMD_INCLUDE_DIR})
    endforeach()
  endif()
  foreach(isa IN LISTS QB_ISAS)
    if(sources_${isa})
      qb_variant(${room} ${isa} SOURCES ${sources_${isa}} FLAGS ${QB_FLAGS_${isa}})
    endif()
  endforeach()
  target_sources(quantbench_kernels PRIVATE ${entries})
  include(${here}/flags.cmake OPTIONAL)
endfunction()
