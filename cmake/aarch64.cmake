# Toolchain of preset aarch64: Debian's cross compiler, libraries in .deps/aarch64 (tools/setup.sh unpacks them there), and
# QEMU's user emulation to run the tests.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
# The C++ runtime comes with the cross compiler, in a folder of its own.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)

get_filename_component(_libraries "${CMAKE_CURRENT_LIST_DIR}/../.deps/aarch64" ABSOLUTE)
set(CMAKE_CXX_FLAGS_INIT "-isystem ${_libraries}/usr/include -isystem ${_libraries}/usr/include/aarch64-linux-gnu")
# Libraries and what CMake knows of them from there alone; headers without a library serve every processor.
set(CMAKE_FIND_ROOT_PATH ${_libraries} /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
