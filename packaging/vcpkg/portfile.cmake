# An overlay port of the checkout that it lies in: vcpkg install rewind --overlay-ports=packaging/vcpkg
cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH packaging)
cmake_path(GET packaging PARENT_PATH source)
vcpkg_cmake_configure(SOURCE_PATH ${source}
                      OPTIONS -DREWIND_TESTS=OFF -DREWIND_TOOLS=OFF -DREWIND_EXAMPLES=OFF)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(PACKAGE_NAME rewind CONFIG_PATH lib/cmake/rewind)
vcpkg_fixup_pkgconfig()
file(REMOVE_RECURSE ${CURRENT_PACKAGES_DIR}/debug/include)
vcpkg_install_copyright(FILE_LIST ${source}/LICENSE)
