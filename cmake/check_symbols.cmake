# SPDX-License-Identifier: Apache-2.0
# Fails on any symbol of a variant's objects that the linker could merge with another instruction
# set's copy (docs/decisions/0002-odr.md), and on code that would run before main().
#
#   cmake -DNM=<nm> -DLIST=<file> -P check_symbols.cmake
#
# Each line of LIST is <room> <variant> <object> of one object. Allowed are
#   - a kernel, or a constant record of kernels: qb::<room>::<anything>_<variant>, strong
#   - weak symbols that have the namespace xsimd_<isa> in their name, in the variant xsimd_<isa>
#   - DW.ref.__gxx_personality_v0, a pointer and no code
# Names are compared mangled, where a namespace is its length and its name.
cmake_minimum_required(VERSION 3.22)

file(STRINGS ${LIST} lines)
list(LENGTH lines objects)
if(objects EQUAL 0)
  message(FATAL_ERROR "${LIST} lists no object: nothing was checked")
endif()

set(kernels 0)
set(bad)
foreach(line IN LISTS lines)
  if(NOT line MATCHES "^([^ ]+) ([^ ]+) (.+)$")
    message(FATAL_ERROR "${LIST}: not '<room> <variant> <object>': ${line}")
  endif()
  set(room ${CMAKE_MATCH_1})
  set(variant ${CMAKE_MATCH_2})
  set(object ${CMAKE_MATCH_3})
  execute_process(COMMAND ${NM} -P --defined-only ${object}
                  OUTPUT_VARIABLE output RESULT_VARIABLE result ERROR_VARIABLE error)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${NM} ${object}: ${error}")
  endif()
  string(LENGTH "${room}" room_length)
  string(LENGTH "${variant}" variant_length)
  string(REPLACE "[" "(" output "${output}")  # brackets and semicolons would confuse CMake's lists
  string(REPLACE "]" ")" output "${output}")
  string(REGEX REPLACE "[\r\n]+" ";" output "${output}")
  foreach(symbol IN LISTS output)
    if(NOT symbol MATCHES "^([^ ]+) ([A-Za-z])")
      continue()
    endif()
    set(name ${CMAKE_MATCH_1})
    set(type ${CMAKE_MATCH_2})
    set(complaint)
    if(type MATCHES "[tbrdan]")
      if(name MATCHES "^_GLOBAL__|__cxx_global_var_init")
        set(complaint "runs before main()")
      endif()
    elseif(type MATCHES "[TRD]")
      if(name MATCHES "^_ZN2qb${room_length}${room}[0-9]+[a-z][a-zA-Z0-9_]*_${variant}E")
        math(EXPR kernels "${kernels} + 1")
      else()
        set(complaint "is no kernel of variant '${variant}' in namespace qb::${room}, yet global")
      endif()
    elseif(name STREQUAL "DW.ref.__gxx_personality_v0" OR name STREQUAL "__clang_call_terminate")
      # A pointer, and two calls, which are the same for every instruction set.
    elseif(type MATCHES "[WVu]" AND variant MATCHES "^xsimd_" AND
           name MATCHES "[^0-9]${variant_length}${variant}")
    elseif(type MATCHES "[WVu]")
      set(complaint "is weak: the linker may keep another instruction set's copy")
    else()
      set(complaint "is of unexpected type '${type}'")
    endif()
    if(complaint)
      string(APPEND bad "\n  ${room}/${variant}: ${name} ${complaint}")
    endif()
  endforeach()
endforeach()

if(bad)
  find_program(filt NAMES c++filt llvm-cxxfilt)
  if(filt)
    file(WRITE ${LIST}.bad "${bad}\n")
    execute_process(COMMAND ${filt} INPUT_FILE ${LIST}.bad OUTPUT_VARIABLE bad)
  endif()
  message(FATAL_ERROR "symbols of variants (docs/decisions/0002-odr.md):${bad}")
endif()
message(STATUS "${objects} objects of variants export ${kernels} kernels and nothing else")
