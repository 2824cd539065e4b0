# The only home of instruction-set flags, and of the rule that turns a room's files into targets.
#
# A source named <isa>.cc or <anything>_<isa>.cc is compiled with that instruction set's flags, once;
# scalar.cc and xsimd.cc are compiled once per variant below. Every variant is an OBJECT library, so
# that the symbol check can look at its objects. The flags must agree with kernels/core/isa.h.

set(QB_FLAGS_sse4_2 -msse4.2)
set(QB_FLAGS_avx2 ${QB_FLAGS_sse4_2} -mavx2 -mfma -mf16c)
set(QB_FLAGS_avxvnni ${QB_FLAGS_avx2} -mavxvnni)
set(QB_FLAGS_avx512 ${QB_FLAGS_avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq -mprefer-vector-width=512)
set(QB_FLAGS_avx512vnni ${QB_FLAGS_avx512} -mavx512vnni)
set(QB_FLAGS_avx512bf16 ${QB_FLAGS_avx512vnni} -mavx512vbmi -mavx512bf16)
set(QB_FLAGS_avx512fp16 ${QB_FLAGS_avx512vnni} -mavx512fp16)
set(QB_FLAGS_amx ${QB_FLAGS_avx512bf16} -mamx-tile -mamx-int8 -mamx-bf16)
set(QB_FLAGS_neon)
set(QB_FLAGS_neon_fp16 -march=armv8.2-a+fp16)
set(QB_FLAGS_neon_dotprod -march=armv8.2-a+dotprod)
set(QB_FLAGS_neon_i8mm -march=armv8.2-a+dotprod+i8mm)
set(QB_FLAGS_neon_bf16 -march=armv8.2-a+bf16)
set(QB_FLAGS_sve -march=armv8.2-a+fp16+dotprod+sve)  # SVE has half arithmetic: +sve implies it

if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  set(QB_FLAGS_no_vectorize -fno-vectorize -fno-slp-vectorize)
else()
  set(QB_FLAGS_no_vectorize -fno-tree-vectorize -fno-tree-slp-vectorize)
endif()
# Of the loops that compilers are compared by. gcc as clang by default: nobody reads the exception
# flags that arithmetic sets, so that a lane may compute what a condition then discards; no result
# depends on it. And loops begin where no other function's size moves them.
set(QB_FLAGS_plain -fno-trapping-math -falign-functions=64 -falign-loops=32)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(QB_ISAS sse4_2 avx2 avxvnni avx512 avx512vnni avx512bf16 avx512fp16 amx)
  set(QB_XSIMD_ISAS sse4_2 avx2)
  set(QB_AUTOVEC_ISAS avx2)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  set(QB_ISAS neon neon_fp16 neon_dotprod neon_i8mm neon_bf16 sve)
  set(QB_XSIMD_ISAS neon)
  set(QB_AUTOVEC_ISAS)
else()
  set(QB_ISAS)
  set(QB_XSIMD_ISAS)
  set(QB_AUTOVEC_ISAS)
endif()

# qb_variant(<room> <variant> <flags...> SOURCES <file...>)
function(qb_variant room variant)
  cmake_parse_arguments(arg "" "" "SOURCES;FLAGS;DEFINITIONS" ${ARGN})
  set(target qb_${room}_${variant})
  add_library(${target} OBJECT ${arg_SOURCES})
  target_link_libraries(${target} PRIVATE qb_options)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/kernels)
  target_compile_options(${target} PRIVATE ${arg_FLAGS})
  target_compile_definitions(${target} PRIVATE QB_VARIANT_NAME=${variant} ${arg_DEFINITIONS})
  # gcc schedules before it allocates registers, by default on AArch64 only: tiles that fill the
  # registers then spill.
  if(room STREQUAL matmul AND NOT variant MATCHES "^(scalar|autovec)" AND
     CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    target_compile_options(${target} PRIVATE -fno-schedule-insns)
    # Nor afterwards where the order written is the one that fills Zen 4's four pipes.
    if(variant STREQUAL avx512vnni)
      target_compile_options(${target} PRIVATE -fno-schedule-insns2)
    endif()
  endif()
  # gcc 12 takes the AVX-512 headers' deliberately undefined vectors for forgotten ones.
  if(variant MATCHES "^(avx512|amx)" AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    target_compile_options(${target} PRIVATE -Wno-uninitialized -Wno-maybe-uninitialized)
  endif()
  set_target_properties(${target} PROPERTIES QB_ROOM ${room} QB_VARIANT ${variant})
  # Checks of every index multiply the compile time of unrolled kernels, which the tests run
  # between guard pages anyway.
  if(CMAKE_CXX_FLAGS MATCHES "-fsanitize=[a-z,]*undefined")
    target_compile_options(${target} PRIVATE -fno-sanitize=bounds)
  endif()
  set_property(GLOBAL APPEND PROPERTY QB_VARIANT_TARGETS ${target})
endfunction()

# qb_room(<room>): the checked entries (<room>/*.cc that belong to no variant) and every variant.
function(qb_room room)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${room}/*.cc)
  set(entries)
  foreach(isa sse4_2 avx2 avxvnni avx512 avx512vnni avx512bf16 avx512fp16 amx
              neon neon_fp16 neon_dotprod neon_i8mm neon_bf16 sve scalar xsimd)
    set(sources_${isa})
  endforeach()
  foreach(source IN LISTS sources)
    get_filename_component(stem ${source} NAME_WE)
    if(stem MATCHES "^(.*_)?(sse4_2|avx2|avxvnni|avx512|avx512vnni|avx512bf16|avx512fp16|amx|neon|neon_fp16|neon_dotprod|neon_i8mm|neon_bf16|sve|scalar|xsimd)$")
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
endfunction()
