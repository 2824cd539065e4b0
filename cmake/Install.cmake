# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts into a prefix: the library, its C header, a CMake package and a
# pkg-config file. The static library, or with BUILD_SHARED_LIBS the shared one, of whose symbols
# only the C interface's are to be seen.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

option(QUANTBENCH_INSTALL "Rules that install the library" ${PROJECT_IS_TOP_LEVEL})
if(NOT QUANTBENCH_INSTALL OR QUANTBENCH_STATIC OR QUANTBENCH_PYTHON)
  return()
endif()

add_library(quantbench_shared SHARED c_interface.cc)
target_compile_definitions(quantbench_shared PRIVATE QB_VERSION="${PROJECT_VERSION}")
target_link_libraries(quantbench_shared PRIVATE quantbench_kernels $<BUILD_INTERFACE:qb_options>)
target_link_options(quantbench_shared PRIVATE
                    -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/exports.map)
set_target_properties(quantbench_shared PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0
                      LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/exports.map)
if(BUILD_SHARED_LIBS)
  set(library quantbench_shared)
else()
  set(library quantbench_kernels)
endif()
set_target_properties(quantbench_kernels quantbench_shared PROPERTIES OUTPUT_NAME quantbench)
set_target_properties(${library} PROPERTIES EXPORT_NAME kernels)
target_include_directories(${library} INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

install(TARGETS ${library} EXPORT quantbench COMPONENT library)
install(FILES ${PROJECT_SOURCE_DIR}/include/quantbench/quantbench.h
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/quantbench COMPONENT library)

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/quantbench)
install(EXPORT quantbench NAMESPACE quantbench:: FILE quantbenchTargets.cmake
        DESTINATION ${package} COMPONENT library)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/quantbenchConfig.cmake.in
                              quantbenchConfig.cmake INSTALL_DESTINATION ${package})
write_basic_package_version_file(quantbenchConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/quantbenchConfig.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/quantbenchConfigVersion.cmake
        DESTINATION ${package} COMPONENT library)

# A static library names what it needs itself.
if(NOT BUILD_SHARED_LIBS)
  list(JOIN OpenMP_CXX_FLAGS " " openmp)
  set(static_libraries "${openmp} -lstdc++ -lm")
endif()
file(RELATIVE_PATH from_pkgconfig /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" from_pkgconfig "${from_pkgconfig}")
configure_file(${PROJECT_SOURCE_DIR}/cmake/quantbench.pc.in quantbench.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/quantbench.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT library)
