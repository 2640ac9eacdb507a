# Installs BUILD_DIR below DIR, then configures, builds and runs the outside project against what was installed:
# cmake -DBUILD_DIR= -DDIR= -DGENERATOR= -DCOMPILER= -DFLAGS= -DBUILD_TYPE= -P run.cmake
cmake_minimum_required(VERSION 3.25)

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

file(REMOVE_RECURSE ${DIR})
run(${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${DIR}/prefix)
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
