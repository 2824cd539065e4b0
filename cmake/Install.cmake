# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts into a prefix: the library, its public headers, a CMake package and a
# pkg-config file. The static library, or with BUILD_SHARED_LIBS the shared one, of whose symbols
# only what the public headers declare is to be seen.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

option(QUANTBENCH_INSTALL "Rules that install the library" ${PROJECT_IS_TOP_LEVEL})
if(NOT QUANTBENCH_INSTALL OR QUANTBENCH_STATIC OR QUANTBENCH_PYTHON)
  return()
endif()

# The static library's objects, all of them.
add_library(quantbench_shared SHARED $<TARGET_OBJECTS:quantbench_kernels>)
foreach(variant IN LISTS variants)
  target_sources(quantbench_shared PRIVATE $<TARGET_OBJECTS:${variant}>)
endforeach()
set_target_properties(quantbench_shared PROPERTIES LINKER_LANGUAGE CXX)
target_compile_features(quantbench_shared INTERFACE cxx_std_20)
target_link_libraries(quantbench_shared PRIVATE OpenMP::OpenMP_CXX)
target_link_options(quantbench_shared PRIVATE
                    -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/exports.map)
set_target_properties(quantbench_shared PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0
                      LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/exports.map)
set_target_properties(quantbench_kernels quantbench_shared PROPERTIES OUTPUT_NAME quantbench
                      EXPORT_NAME kernels)

# qb_install(<kind> <library> <excluded> <libraries for pkg-config...>): a component of that name,
# which the default installation leaves out if `excluded` is EXCLUDE_FROM_ALL.
function(qb_install kind library excluded)
  set(static_libraries ${ARGN})
  set(generated ${CMAKE_CURRENT_BINARY_DIR}/${kind})
  target_include_directories(${library} INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  install(TARGETS ${library} EXPORT quantbench_${kind}
          ARCHIVE COMPONENT ${kind} ${excluded}
          LIBRARY COMPONENT ${kind} ${excluded})
  # Of a plugin (quantbench --kernels): the headers alone, as quantbench::plugin.
  add_library(quantbench_plugin_${kind} INTERFACE)
  set_target_properties(quantbench_plugin_${kind} PROPERTIES EXPORT_NAME plugin)
  target_include_directories(quantbench_plugin_${kind} INTERFACE
                             $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  install(TARGETS quantbench_plugin_${kind} EXPORT quantbench_${kind})
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/quantbench
          DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT ${kind} ${excluded})

  set(package ${CMAKE_INSTALL_LIBDIR}/cmake/quantbench)
  install(EXPORT quantbench_${kind} NAMESPACE quantbench:: FILE quantbench_${kind}.cmake
          DESTINATION ${package} COMPONENT ${kind} ${excluded})
  configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/quantbenchConfig.cmake.in
                                ${generated}/quantbenchConfig.cmake INSTALL_DESTINATION ${package})
  write_basic_package_version_file(${generated}/quantbenchConfigVersion.cmake
                                   COMPATIBILITY SameMinorVersion)
  install(FILES ${generated}/quantbenchConfig.cmake ${generated}/quantbenchConfigVersion.cmake
          DESTINATION ${package} COMPONENT ${kind} ${excluded})

  file(RELATIVE_PATH from_pkgconfig /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  string(REGEX REPLACE "/$" "" from_pkgconfig "${from_pkgconfig}")
  configure_file(${PROJECT_SOURCE_DIR}/cmake/quantbench.pc.in ${generated}/quantbench.pc @ONLY)
  install(FILES ${generated}/quantbench.pc
          DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT ${kind} ${excluded})
endfunction()

set(excluded_static)
set(excluded_shared EXCLUDE_FROM_ALL)
if(BUILD_SHARED_LIBS)
  set(excluded_static EXCLUDE_FROM_ALL)
  set(excluded_shared)
endif()
# A static library names what it needs itself.
list(JOIN OpenMP_CXX_FLAGS " " openmp)
qb_install(static quantbench_kernels "${excluded_static}" "${openmp} -lstdc++ -lm")
qb_install(shared quantbench_shared "${excluded_shared}" "")
