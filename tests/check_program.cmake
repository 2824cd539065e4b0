# SPDX-License-Identifier: Apache-2.0
# Runs a program and checks what it did:
#   cmake -DPROGRAM=<path> [-DARGS=<list>] [-DEMULATOR=<list>] [-DRC=<n>] [-DSTDOUT=<file>]
#         [-DMATCH=<list>] [-DJSON=<file>] [-DREPRODUCE=ON] [-DENVIRONMENT=<list of NAME=value>]
#         -P check_program.cmake
# RC: the exit code, 0 unless given. STDOUT: a file that standard output must equal. MATCH: regular
# expressions that both outputs together must match. JSON: a results file that must appear, complete,
# with a verified row at the least and no other. REPRODUCE: the command that a failed row of the
# benchmark names must fail in the same way.
if(NOT DEFINED RC)
  set(RC 0)
endif()

function(check_output text)
  foreach(regex IN LISTS MATCH)
    if(NOT text MATCHES "${regex}")
      message(FATAL_ERROR "no '${regex}' in the output:\n${text}")
    endif()
  endforeach()
endfunction()

if(JSON)
  file(REMOVE ${JSON})
endif()
execute_process(COMMAND ${CMAKE_COMMAND} -E env ${ENVIRONMENT} ${EMULATOR} ${PROGRAM} ${ARGS}
                RESULT_VARIABLE rc OUTPUT_VARIABLE out ERROR_VARIABLE err)
if(NOT rc STREQUAL RC)
  message(FATAL_ERROR "exit code ${rc}, expected ${RC}\n${out}${err}")
endif()
if(STDOUT)
  file(READ ${STDOUT} expected)
  if(NOT out STREQUAL expected)
    message(FATAL_ERROR "standard output differs from ${STDOUT}:\n${out}")
  endif()
endif()
check_output("${out}${err}")

if(JSON)
  file(READ ${JSON} text)
  string(JSON complete GET "${text}" context complete)
  string(JSON rows LENGTH "${text}" benchmarks)
  if(NOT complete OR rows LESS 1)
    message(FATAL_ERROR "${JSON}: complete ${complete}, ${rows} rows")
  endif()
  math(EXPR last "${rows} - 1")
  foreach(i RANGE ${last})
    string(JSON name GET "${text}" benchmarks ${i} name)
    string(JSON mismatches ERROR_VARIABLE none GET "${text}" benchmarks ${i} mismatches)
    if(none OR NOT mismatches EQUAL 0)
      message(FATAL_ERROR "${JSON}: row ${name} has mismatches '${mismatches}'")
    endif()
  endforeach()
endif()

if(REPRODUCE)
  if(NOT out MATCHES "FAILED[^\n]*reproduce: quantbench ([^\n]*)")
    message(FATAL_ERROR "no command that reproduces the failure:\n${out}")
  endif()
  set(command ${CMAKE_MATCH_1})
  list(JOIN EMULATOR " " emulator)
  execute_process(COMMAND sh -c "${emulator} ${PROGRAM} --profile=smoke ${command}"
                  RESULT_VARIABLE rc OUTPUT_VARIABLE out ERROR_VARIABLE err)
  list(GET MATCH 0 MATCH)  # the failed row; the command runs no other
  if(NOT rc STREQUAL RC)
    message(FATAL_ERROR "'${command}' has exit code ${rc}, expected ${RC}\n${out}${err}")
  endif()
  check_output("${out}${err}")
endif()
