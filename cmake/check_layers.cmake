# SPDX-License-Identifier: Apache-2.0
# Fails if a source includes from a room that it must not know: what stands below knows nothing of
# what stands above.
#
#   cmake -DKERNELS=<kernels/> -P check_layers.cmake
#
#   core/                 knows core/, and of the public headers (include/quantbench/) those of types
#                         and formats
#   a room                knows these, itself, and of other rooms what they offer: <room>/<room>.h,
#                         quantbench/<room>.h
#   catalog.*, tuning.*   span the rooms: no folder knows them
cmake_minimum_required(VERSION 3.22)

file(GLOB folders LIST_DIRECTORIES true RELATIVE ${KERNELS} ${KERNELS}/*/)
set(bad)
set(checked 0)
foreach(folder IN LISTS folders)
  if(NOT IS_DIRECTORY ${KERNELS}/${folder})
    continue()
  endif()
  set(known "(${folder}|core)/|quantbench/(types|error|export|blocks|weights|formats|version)[.]")
  file(GLOB_RECURSE sources ${KERNELS}/${folder}/*.cc ${KERNELS}/${folder}/*.h ${KERNELS}/${folder}/*.inc)
  foreach(source IN LISTS sources)
    math(EXPR checked "${checked} + 1")
    file(STRINGS ${source} includes REGEX "^ *# *include *\"")
    foreach(include IN LISTS includes)
      set(offered FALSE)
      if(NOT folder STREQUAL "core" AND include MATCHES "\"([a-z]+)/([a-z]+)[.]h\"")
        if("${CMAKE_MATCH_1}" MATCHES "^(quantbench|${CMAKE_MATCH_2})$")
          set(offered TRUE)
        endif()
      endif()
      if(NOT offered AND NOT include MATCHES "\"(${known})")
        file(RELATIVE_PATH name ${KERNELS} ${source})
        string(REGEX REPLACE "^[^\"]*\"([^\"]*)\".*" "\\1" include "${include}")
        string(APPEND bad "\n  ${name} includes ${include}")
      endif()
    endforeach()
  endforeach()
endforeach()

if(checked EQUAL 0)
  message(FATAL_ERROR "no source in ${KERNELS}: nothing was checked")
endif()
if(bad)
  message(FATAL_ERROR "kernels/ includes what stands above or beside:${bad}")
endif()
message(STATUS "${checked} sources of kernels/ include only what stands below")
