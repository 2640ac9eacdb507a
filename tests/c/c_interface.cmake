# librewind.so, as programs in other languages take it.
enable_language(C)
set(golden ${PROJECT_SOURCE_DIR}/tests/golden/v0.2/model.safetensors)
find_package(Python3 COMPONENTS Interpreter)

add_executable(test_c ${CMAKE_CURRENT_LIST_DIR}/interface.c)
set_target_properties(test_c PROPERTIES C_STANDARD 99 C_EXTENSIONS ON)
target_compile_options(test_c PRIVATE -Wall -Wextra -Wpedantic $<$<BOOL:${REWIND_WERROR}>:-Werror>)
target_link_libraries(test_c PRIVATE rewind::c Threads::Threads m)
if(CMAKE_BUILD_TYPE STREQUAL "None")  # with the sanitizers of the C++ compiler
  set_target_properties(test_c PROPERTIES LINKER_LANGUAGE CXX)
endif()
add_test(NAME c/interface COMMAND test_c ${golden})

if(Python3_FOUND AND NOT CMAKE_BUILD_TYPE STREQUAL "None")  # a sanitizer must be there from the start of a process
  add_test(NAME c/python COMMAND Python3::Interpreter ${CMAKE_CURRENT_LIST_DIR}/python.py $<TARGET_FILE:rewind_c> ${golden})
  set_tests_properties(c/python PROPERTIES SKIP_REGULAR_EXPRESSION "^skipped: ")
  add_test(NAME c/abi COMMAND Python3::Interpreter ${CMAKE_CURRENT_LIST_DIR}/abi.py $<TARGET_FILE:rewind_c>)
  set_tests_properties(c/abi PROPERTIES SKIP_REGULAR_EXPRESSION "^skipped: ")
endif()
