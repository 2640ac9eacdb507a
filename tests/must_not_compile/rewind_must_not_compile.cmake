# rewind_must_not_compile(name file expected_message)
# Adds the test must_not_compile/<name>. `file` compiles as it is, as part of the build, and with -DMUST_NOT_COMPILE has to
# be refused with a message that matches the regular expression (one that fits both g++ and clang). So the file shows what
# is right beside what is wrong, and a misspelt include does not pass for a refusal. With ONE_LINE the message is the only error, and what
# the compiler says around it is short.
function(rewind_must_not_compile name file expected_message)
  cmake_parse_arguments(PARSE_ARGV 3 arg "ONE_LINE" "" "")
  cmake_path(ABSOLUTE_PATH file BASE_DIRECTORY ${PROJECT_SOURCE_DIR})
  if(NOT TARGET must_compile)
    add_library(must_compile OBJECT)
    target_link_libraries(must_compile PRIVATE rewind::rewind)
  endif()
  target_sources(must_compile PRIVATE ${file})
  add_test(NAME must_not_compile/${name}
           COMMAND ${CMAKE_COMMAND} -DCOMPILER=${CMAKE_CXX_COMPILER} -DINCLUDE=${include_dir} -DFILE=${file}
                   -DEXPECTED=${expected_message} -DONE_LINE=${arg_ONE_LINE} -P ${PROJECT_SOURCE_DIR}/tests/must_not_compile/run.cmake)
endfunction()
