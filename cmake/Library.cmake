# lookback::lookback: the shared library liblookback.so with the headers of include/lookback, for programs that add this
# folder (add_subdirectory) or find what `cmake --install` copied (find_package). How both are used: docs/library.md.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# While the major version is 0, each minor version may break what was compiled for another: it is part of the soname.
set(soversion ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})

# The objects themselves: what comes from an archive is hidden (Toolchain.cmake).
add_library(lookback_library SHARED $<TARGET_OBJECTS:lookback_api>)
add_library(lookback::lookback ALIAS lookback_library)
target_link_libraries(lookback_library PRIVATE lookback_train lookback_generate lookback_ingest)
target_link_options(lookback_library PRIVATE LINKER:--version-script=${CMAKE_CURRENT_LIST_DIR}/exports.map)
target_include_directories(lookback_library INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                                      $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
# What LibTorch itself needs is its own affair, also where programs are linked.
target_link_options(lookback_library INTERFACE LINKER:--allow-shlib-undefined)
target_compile_features(lookback_library INTERFACE cxx_std_20)
set_target_properties(lookback_library PROPERTIES
  OUTPUT_NAME lookback  EXPORT_NAME lookback  VERSION ${PROJECT_VERSION}  SOVERSION ${soversion}
  LINKER_LANGUAGE CXX  LINK_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/exports.map)

if(NOT LOOKBACK_INSTALL)
  set_target_properties(lookback_library PROPERTIES EXCLUDE_FROM_ALL ON)
  return()
endif()

# Beside each other, and LibTorch where it was when they were built.
set(libtorch_folder "${TORCH_WHEEL_ROOT}/torch/lib")
set_target_properties(lookback_library PROPERTIES INSTALL_RPATH "$ORIGIN;${libtorch_folder}")
set_target_properties(lookback PROPERTIES INSTALL_RPATH "${libtorch_folder}")
install(TARGETS lookback_library EXPORT lookback LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS lookback DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/lookback DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN *.h)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/lookback)
install(EXPORT lookback DESTINATION ${package_folder} NAMESPACE lookback:: FILE lookback-targets.cmake)
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/lookback-config.cmake.in ${PROJECT_BINARY_DIR}/lookback-config.cmake
                              INSTALL_DESTINATION ${package_folder} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/lookback-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/lookback-config.cmake ${PROJECT_BINARY_DIR}/lookback-config-version.cmake
        DESTINATION ${package_folder})
