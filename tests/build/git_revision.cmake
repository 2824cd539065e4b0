# SPDX-License-Identifier: Apache-2.0
# The revision that a build records is the sources' own, never that of a repository around them:
#   cmake -DSCRIPT=<GitRevision.cmake> -DWORK=<scratch folder> -P git_revision.cmake
find_program(GIT git REQUIRED)

function(git)
  execute_process(COMMAND ${GIT} -c user.name=test -c user.email=test@example.org ${ARGN}
                  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE error
                  OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "git ${ARGN}: ${error}")
  endif()
  set(output ${output} PARENT_SCOPE)
endfunction()

# expect(<source folder> <revision> <dirty>)
function(expect source revision dirty)
  execute_process(COMMAND ${CMAKE_COMMAND} -DSOURCE=${source} -DOUTPUT=${WORK}/revision.h -P ${SCRIPT}
                  RESULT_VARIABLE result ERROR_VARIABLE error)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${SCRIPT} for ${source}: ${error}")
  endif()
  file(READ ${WORK}/revision.h text)
  set(wanted "#define QB_GIT_REVISION \"${revision}\"\n#define QB_GIT_DIRTY \"${dirty}\"\n")
  if(NOT text STREQUAL wanted)
    message(FATAL_ERROR "${source}: recorded\n${text}instead of\n${wanted}")
  endif()
endfunction()

file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK}/project/unpacked)
file(WRITE ${WORK}/project/unpacked/file.txt "sources\n")

# Sources from a tarball, in no repository and then in somebody else's.
expect(${WORK}/project/unpacked unknown unknown)
git(init -q ${WORK}/project)
git(-C ${WORK}/project add .)
git(-C ${WORK}/project commit -q -m all)
git(-C ${WORK}/project rev-parse --short=12 HEAD)
set(revision ${output})
expect(${WORK}/project/unpacked unknown unknown)

# A repository of its own, unchanged and changed; a new results file is no change.
expect(${WORK}/project ${revision} no)
file(WRITE ${WORK}/project/results/new.json "{}\n")
expect(${WORK}/project ${revision} no)
file(APPEND ${WORK}/project/unpacked/file.txt "changed\n")
expect(${WORK}/project ${revision} yes)

# A work tree, whose .git is a file.
git(-C ${WORK}/project worktree add -q ${WORK}/worktree HEAD)
expect(${WORK}/worktree ${revision} no)
