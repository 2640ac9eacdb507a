# Runs a task with --quick, compiled and, in the long form, eager, and with an option that it does not have:
# cmake -DTASK=<program> -P run.cmake
cmake_minimum_required(VERSION 3.25)

set(ways "")
if(NOT "$ENV{REWIND_FULL}" STREQUAL "")
  set(ways --eager)
endif()
foreach(way "" ${ways})
  execute_process(COMMAND ${TASK} --quick ${way} OUTPUT_VARIABLE out ERROR_VARIABLE err RESULT_VARIABLE status)
  string(REGEX MATCH "[^\n]*\n$" last "${out}")
  if(NOT status EQUAL 0 OR NOT last MATCHES "^result: ")
    message(FATAL_ERROR "${way}: status ${status}; the last line should begin with 'result: ':\n${out}${err}")
  endif()
endforeach()

execute_process(COMMAND ${TASK} --no-such-option 1 OUTPUT_VARIABLE out ERROR_VARIABLE err RESULT_VARIABLE status)
if(NOT status EQUAL 2 OR NOT err MATCHES "no-such-option: the options are --quick, --eager, ")
  message(FATAL_ERROR "status ${status}; it should have listed the options:\n${out}${err}")
endif()
