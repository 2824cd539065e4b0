# SPDX-License-Identifier: Apache-2.0
# Tests that run whole programs.

# What NumPy and gguf say, and the notebook's demonstration.
target_include_directories(test_fixtures PRIVATE ${PROJECT_SOURCE_DIR}/examples)
target_link_libraries(test_peers PRIVATE quantbench_suite)
target_link_libraries(test_caches PRIVATE quantbench_suite)
target_link_libraries(test_benchmark_compat PRIVATE quantbench_suite)
target_include_directories(test_isa_flags PRIVATE ${CMAKE_CURRENT_BINARY_DIR})
target_compile_definitions(test_isa_flags PRIVATE QB_CI_SCRIPT="${PROJECT_SOURCE_DIR}/.ci/run")
target_link_libraries(test_gate PRIVATE quantbench_suite)
target_link_libraries(test_figure PRIVATE quantbench_suite)
target_link_libraries(test_suite PRIVATE quantbench_suite)
target_link_libraries(test_threads PRIVATE quantbench_suite)
target_link_libraries(test_notebook PRIVATE qb_notebook)

# program_test(<name> <target> [RC <n>] [STDOUT <file>] [ARGS <...>] [MATCH <regex...>]
# [JSON <file>]): the program's exit code and output; check_program.cmake explains the rest.
function(program_test name target)
  cmake_parse_arguments(arg "REPRODUCE" "RC;STDOUT;JSON" "ARGS;MATCH;ENVIRONMENT" ${ARGN})
  if(NOT DEFINED arg_RC)
    set(arg_RC 0)
  endif()
  add_test(NAME ${name}
           COMMAND ${CMAKE_COMMAND} -DPROGRAM=$<TARGET_FILE:${target}> -DRC=${arg_RC}
                   "-DEMULATOR=${CMAKE_CROSSCOMPILING_EMULATOR}" "-DARGS=${arg_ARGS}"
                   "-DSTDOUT=${arg_STDOUT}" "-DJSON=${arg_JSON}" "-DMATCH=${arg_MATCH}" -DREPRODUCE=${arg_REPRODUCE}
                   "-DENVIRONMENT=${arg_ENVIRONMENT}"
                   -P ${PROJECT_SOURCE_DIR}/tests/check_program.cmake)
  set_tests_properties(${name} PROPERTIES LABELS program)
endfunction()

set(transcript ${CMAKE_CURRENT_SOURCE_DIR}/fixtures/quantization_demo.txt)
program_test(quantization_demo.prints_the_notebook quantization_demo STDOUT ${transcript})
program_test(quantization_demo.scalar quantization_demo ARGS --variant scalar STDOUT ${transcript})
program_test(quantization_demo.unknown_variant quantization_demo RC 2 ARGS --variant abacus
             MATCH "no variant 'abacus'" "variants that run the notebook here: scalar autovec")
program_test(quantization_demo.capped_variant quantization_demo RC 2 ENVIRONMENT QB_ISA=baseline
             ARGS --variant avx2 MATCH "variants that run the notebook here: scalar autovec.$")
program_test(quantization_demo.unknown_cap quantization_demo RC 2 ENVIRONMENT QB_ISA=avx3
             MATCH "QB_ISA: no instruction set named 'avx3'")
program_test(quantization_demo.unknown_option quantization_demo RC 2 ARGS --varaint avx2
             MATCH "--varaint")
program_test(quantization_demo.help quantization_demo ARGS --help MATCH "--variant NAME")

# A variant that can't run is skipped, unless QB_REQUIRE_ISA asks for it.
if("avx2" IN_LIST QB_ISAS)
  set(required avx2)
elseif("neon" IN_LIST QB_ISAS)
  set(required neon)
endif()
if(required)
  program_test(require_isa.skips test_absmax ENVIRONMENT QB_ISA=baseline QB_REQUIRE_ISA=
               MATCH "SKIPPED.*capped by QB_ISA=baseline|capped by QB_ISA=baseline.*SKIPPED")
  program_test(require_isa.fails test_absmax RC 1
               ENVIRONMENT QB_ISA=baseline QB_REQUIRE_ISA=${required}
               MATCH "absmax_f32/${required} is required by QB_REQUIRE_ISA but ")
endif()
