# Installs BUILD_DIR below DIR, moves it, then configures, builds and runs the outside project against what was installed,
# by CMake and by pkg-config. And configures a project that has ours as a part, by add_subdirectory and by FetchContent:
# cmake -DSOURCE_DIR= -DBUILD_DIR= -DDIR= -DGENERATOR= -DCOMPILER= -DFLAGS= -DBUILD_TYPE= -P run.cmake
cmake_minimum_required(VERSION 3.25)

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

file(REMOVE_RECURSE ${DIR})
run(${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${DIR}/first)
file(RENAME ${DIR}/first ${DIR}/prefix)
file(GLOB_RECURSE stray ${DIR}/prefix/include/*/cli/* ${DIR}/prefix/include/*/bench/* ${DIR}/prefix/include/*/detail/*
     ${DIR}/prefix/include/*/compile/*/* ${DIR}/prefix/include/*.cpp)
if(stray)
  message(FATAL_ERROR "these should not be installed: ${stray}")
endif()
# Every header that was installed finds what it includes: none needs one that stayed behind.
file(GLOB_RECURSE headers ${DIR}/prefix/include/rewind/*.h)
foreach(header ${headers})
  file(STRINGS ${header} lines REGEX "^#include <rewind/")
  foreach(line ${lines})
    string(REGEX REPLACE ".*<(.*)>.*" "\\1" included "${line}")
    if(NOT EXISTS ${DIR}/prefix/include/${included})
      message(FATAL_ERROR "${header} includes ${included}, which is not installed")
    endif()
  endforeach()
endforeach()
run(${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR} -B ${DIR}/build -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${COMPILER}
    -DCMAKE_CXX_FLAGS=${FLAGS} -DCMAKE_BUILD_TYPE=${BUILD_TYPE} -DCMAKE_PREFIX_PATH=${DIR}/prefix)
run(${CMAKE_COMMAND} --build ${DIR}/build)
run(${DIR}/build/app)
if(EXISTS ${DIR}/prefix/bin/rewind)
  run(${DIR}/prefix/bin/rewind --help)
endif()

find_program(pkg_config pkg-config)
file(GLOB_RECURSE pc ${DIR}/prefix/*/rewind.pc)
cmake_path(GET pc PARENT_PATH pc_dir)
if(pkg_config AND NOT BUILD_TYPE STREQUAL "None")
  execute_process(COMMAND ${CMAKE_COMMAND} -E env PKG_CONFIG_PATH=${pc_dir} ${pkg_config} --cflags --libs rewind
                  OUTPUT_VARIABLE flags OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  separate_arguments(flags)
  cmake_path(GET pc_dir PARENT_PATH lib_dir)
  run(cc ${CMAKE_CURRENT_LIST_DIR}/main.c -o ${DIR}/c_app ${flags} -Wl,-rpath,${lib_dir})
  run(${DIR}/c_app)
endif()

foreach(way add_subdirectory FetchContent)
  run(${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/part -B ${DIR}/${way} -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${COMPILER}
      -DREWIND_SOURCE=${SOURCE_DIR} -DWAY=${way})
endforeach()
