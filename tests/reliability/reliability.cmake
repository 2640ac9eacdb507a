# What is promised in docs/reliability.md, tried in seconds: faults at file calls, allocations that fail, the readers'
# corpus, mistakes in the use of the library. The long forms: tools/torture --minutes N, and the fuzzer (REWIND_FUZZ).
option(REWIND_FUZZ "Build the fuzzer of the readers, fuzz_readers (clang)" OFF)
find_package(Python3 COMPONENTS Interpreter)
set(reliability ${CMAKE_CURRENT_LIST_DIR})

# Runs are compared with each other, which shows nothing more under sanitizers; and the library of faults stands before
# all others, where a sanitizer has to.
if(TARGET rewind_cli AND Python3_FOUND AND NOT CMAKE_BUILD_TYPE STREQUAL "None")
  add_test(NAME reliability/distributed COMMAND Python3::Interpreter ${PROJECT_SOURCE_DIR}/tools/distributed --quick
                                                --build ${PROJECT_BINARY_DIR})
  set_tests_properties(reliability/distributed PROPERTIES TIMEOUT 900 COST 100 SKIP_REGULAR_EXPRESSION "^skipped: ")
  add_test(NAME reliability/bits COMMAND Python3::Interpreter ${PROJECT_SOURCE_DIR}/tools/same-bits --quick
                                         ${PROJECT_BINARY_DIR})
  add_test(NAME reliability/torture COMMAND Python3::Interpreter ${PROJECT_SOURCE_DIR}/tools/torture --quick
                                            --build ${PROJECT_BINARY_DIR})
  set_tests_properties(reliability/bits reliability/torture PROPERTIES TIMEOUT 300)
endif()

if(CMAKE_BUILD_TYPE STREQUAL "Release")  # sanitizers have a malloc of their own
  add_executable(test_allocations ${reliability}/allocations.cpp)
  target_link_libraries(test_allocations PRIVATE rewind::rewind rewind_flags)
  add_test(NAME reliability/allocations COMMAND test_allocations)
endif()

add_executable(test_misuse ${reliability}/../misuse/mistakes.cpp)
target_link_libraries(test_misuse PRIVATE rewind::rewind rewind_flags)
target_compile_options(test_misuse PRIVATE $<$<CONFIG:Release>:-O1> $<$<CONFIG:None>:-O0>)
add_test(NAME misuse COMMAND test_misuse ${reliability}/../misuse/lines.txt)

if(TARGET rewind_cli_parts)
  add_executable(fuzz_replay ${reliability}/fuzz/readers.cpp ${reliability}/fuzz/replay.cpp)
  target_link_libraries(fuzz_replay PRIVATE rewind_cli_parts)
  add_test(NAME reliability/corpus COMMAND fuzz_replay ${reliability}/fuzz/corpus)
  if(REWIND_FUZZ)  # the readers themselves are compiled for coverage, the rest of the library as it is
    set(readers core/shown.cpp models/weights/serialize.cpp models/weights/file.cpp models/weights/match_arrays.cpp
        models/text/char_model.cpp models/text/text.cpp autograd/program/parse.cpp autograd/program/dump.cpp
        autograd/text_reader.cpp tools/cli/trainer_state.cpp tools/cli/train_options.cpp
        tools/cli/numbers.cpp)
    if(REWIND_HAS_ONNX)
      list(APPEND readers tools/export/onnx/load/parse.cpp tools/export/onnx/load/tensor.cpp)
    endif()
    list(TRANSFORM readers PREPEND ${PROJECT_SOURCE_DIR}/)
    add_executable(fuzz_readers ${reliability}/fuzz/readers.cpp ${readers})
    target_link_libraries(fuzz_readers PRIVATE rewind_cli_parts $<TARGET_NAME_IF_EXISTS:rewind_onnx_schema>)
    target_compile_options(fuzz_readers PRIVATE -O1 -g1 -fsanitize=fuzzer,address)
    # Of two definitions the first, for coverage, is taken: with REWIND_UNITY a group of the library's sources has its own.
    target_link_options(fuzz_readers PRIVATE -fsanitize=fuzzer,address LINKER:--allow-multiple-definition)
  endif()
endif()
