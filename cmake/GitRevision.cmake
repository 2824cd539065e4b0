# SPDX-License-Identifier: Apache-2.0
# Script mode, at every build: writes OUTPUT with the revision and whether the tree differs from it.
# Untouched if nothing changed, so that nothing is rebuilt.
#
#   cmake -DSOURCE=<source folder> -DOUTPUT=<header> -P GitRevision.cmake
#
# git looks for a repository in the folders above as well: sources unpacked from a tarball, or
# copied into another project, would be given that project's revision. So the folder itself must be
# a repository.
set(failed YES)
if(EXISTS ${SOURCE}/.git)
  execute_process(COMMAND git -C ${SOURCE} rev-parse --short=12 HEAD
                  OUTPUT_VARIABLE revision OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET
                  RESULT_VARIABLE failed)
endif()
if(failed)
  set(revision unknown)
  set(dirty unknown)
else()
  # Results are outputs of the suite: a new results file does not make its sources differ.
  execute_process(COMMAND git -C ${SOURCE} status --porcelain -- . ":!results"
                  OUTPUT_VARIABLE changes OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(changes)
    set(dirty yes)
  else()
    set(dirty no)
  endif()
endif()
set(text "#define QB_GIT_REVISION \"${revision}\"\n#define QB_GIT_DIRTY \"${dirty}\"\n")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} old)
endif()
if(NOT "${old}" STREQUAL "${text}")
  file(WRITE ${OUTPUT} "${text}")
endif()
