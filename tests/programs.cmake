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
target_link_libraries(test_hardware PRIVATE quantbench_suite)
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
program_test(quantization_demo.prints_the_notebook quantization_demo ARGS --verbatim STDOUT ${transcript})
program_test(quantization_demo.scalar quantization_demo ARGS --variant scalar --verbatim STDOUT ${transcript})
program_test(quantization_demo.says_int4 quantization_demo
             ARGS --sizes 2x64x16 --inputs 20 --format q4_0,s4 --granularity tensor,32
             MATCH "Int4 Weights: . 7 -4  2 -1." "INT4 Error: [0-2]," "format +a scale for"
                   "of 2 +of 20" "s4 +tensor +4.004" "s4 +32 +4.5" "q4_0 +block of 32 +4.5")
program_test(quantization_demo.seed quantization_demo ARGS --seed 7 --sizes 1x8x8 --format s8
             MATCH "FP16 Prediction: .[0-7]." "not tried: s8 32: hidden size 8 is not a multiple of 32")
program_test(quantization_demo.unknown_variant quantization_demo RC 2 ARGS --variant abacus
             MATCH "no variant 'abacus'" "variants that run the notebook here: scalar autovec")
program_test(quantization_demo.capped_variant quantization_demo RC 2 ENVIRONMENT QB_ISA=baseline
             ARGS --variant avx2 MATCH "variants that run the notebook here: scalar autovec.$")
program_test(quantization_demo.unknown_cap quantization_demo RC 2 ENVIRONMENT QB_ISA=avx3
             MATCH "QB_ISA: no instruction set named 'avx3'")
program_test(quantization_demo.unknown_option quantization_demo RC 2 ARGS --varaint avx2
             MATCH "--varaint")
program_test(quantization_demo.help quantization_demo ARGS --help MATCH "--variant NAME")
program_test(quantization_demo.no_sizes quantization_demo RC 2 ARGS --sizes 12x512
             MATCH "--sizes: '12x512' is not like 12x512x4096")
program_test(quantization_demo.large_sizes quantization_demo RC 2 ARGS --sizes 12x512x4000000
             MATCH "'12x512x4000000' has a matrix of more than")
program_test(quantization_demo.overflowing_sizes quantization_demo RC 2
             ARGS --sizes 1x99999999999999999999x1 MATCH "is not like 12x512x4096")
program_test(quantization_demo.unknown_format quantization_demo RC 2 ARGS --format q9_0
             MATCH "no format 'q9_0'; there are: s8, s4, u4h, q8_0")
program_test(quantization_demo.no_granularity quantization_demo RC 2 ARGS --format q4_0
             --granularity 32 MATCH "only s8, s4, u4h have a granularity to choose, not q4_0")
program_test(quantization_demo.no_such_granularity quantization_demo RC 2 ARGS --format u4h
             --granularity tensor MATCH "u4h has no granularity tensor")
program_test(quantization_demo.too_many_inputs quantization_demo RC 2 ARGS --sizes 1x8192x16
             --inputs 1048576 MATCH "--inputs 1048576 of hidden size 8192 are more than")
program_test(quantization_demo.verbatim_alone quantization_demo RC 2 ARGS --verbatim --format q4_0
             MATCH "--verbatim excludes --format|--format excludes --verbatim")

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
