# Tests of the project as a whole: its layers, its headers, its installation and the code in its pages.

set(scratch ${PROJECT_BINARY_DIR}/scratch)
add_test(NAME one_definition COMMAND ${CMAKE_COMMAND} -DROOT=${PROJECT_SOURCE_DIR} -P ${CMAKE_CURRENT_LIST_DIR}/layers/one_definition.cmake)
add_test(NAME layers COMMAND ${CMAKE_COMMAND} -DROOT=${PROJECT_SOURCE_DIR} -P ${CMAKE_CURRENT_LIST_DIR}/layers/check.cmake)
add_test(NAME layers/can_fail COMMAND ${CMAKE_COMMAND} -DDIR=${scratch}/layers
                                      -P ${CMAKE_CURRENT_LIST_DIR}/layers/check_the_check.cmake)

add_test(NAME install
         COMMAND ${CMAKE_COMMAND} -DSOURCE_DIR=${PROJECT_SOURCE_DIR} -DBUILD_DIR=${PROJECT_BINARY_DIR} -DDIR=${scratch}/install -DGENERATOR=${CMAKE_GENERATOR}
                 -DCOMPILER=${CMAKE_CXX_COMPILER} -DFLAGS=${CMAKE_CXX_FLAGS} -DBUILD_TYPE=${CMAKE_BUILD_TYPE}
                 -P ${CMAKE_CURRENT_LIST_DIR}/install/run.cmake)

rewind_must_not_compile(view_of_text tests/must_not_compile/view_of_text.cpp "constraint")
rewind_must_not_compile(copied_module tests/must_not_compile/copied_module.cpp "deleted")
rewind_must_not_compile(view_of_a_temporary tests/must_not_compile/view_of_a_temporary.cpp "deleted")
rewind_must_not_compile(op_with_a_wrong_rule tests/must_not_compile/op_with_a_wrong_rule.cpp "vjp must be")
rewind_must_not_compile(checkpoints_of_both_directions tests/must_not_compile/checkpoints_of_both_directions.cpp
                        "both ends of the sequence")
rewind_must_not_compile(largest_or_larger tests/must_not_compile/largest_or_larger.cpp "maximum")
rewind_must_not_compile(half_an_axis tests/must_not_compile/half_an_axis.cpp "whole number")
rewind_must_not_compile(softmax_of_half_an_axis tests/must_not_compile/softmax_of_half_an_axis.cpp "whole number")
rewind_must_not_compile(step_without_const tests/must_not_compile/step_without_const.cpp
                        "step is const: write State step.Tensor x, State s. const" ONE_LINE)
rewind_must_not_compile(state_with_a_number tests/must_not_compile/state_with_a_number.cpp
                        "State holds Tensors.*keep a number as a member of the cell" ONE_LINE)
rewind_must_not_compile(cell_without_zero_state tests/must_not_compile/cell_without_zero_state.cpp
                        "write, public, State zero_state.Tape& tape, Index batch. const" ONE_LINE)
rewind_must_not_compile(step_of_a_tensor tests/must_not_compile/step_of_a_tensor.cpp
                        "step makes a State of the input and the State before" ONE_LINE)
rewind_must_not_compile(state_without_h tests/must_not_compile/state_without_h.cpp
                        "write Tensor output.const State& s. const" ONE_LINE)
rewind_must_not_compile(project_without_const tests/must_not_compile/project_without_const.cpp
                        "project and step_projected are const: write Tensor project.Tensor x. const" ONE_LINE)
rewind_must_not_compile(stack_of_no_modules tests/must_not_compile/stack_of_no_modules.cpp
                        "write class MyCell : public Module" ONE_LINE)
rewind_must_not_compile(cell_without_empty_state tests/must_not_compile/cell_without_empty_state.cpp
                        "needs a member .State empty_state")
rewind_must_not_compile(compiled_without_tape tests/must_not_compile/compiled_without_tape.cpp "takes the tape" ONE_LINE)
rewind_must_not_compile(op_with_a_text tests/must_not_compile/op_with_a_text.cpp "trivially copyable")

include(tests/pages/blocks.cmake)
file(GLOB pages CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR} README.md docs/*.md)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${pages})
foreach(page ${pages})
  cmake_path(GET page STEM title)
  string(TOLOWER ${title} title)
  rewind_extract_blocks(${PROJECT_SOURCE_DIR}/${page} ${PROJECT_BINARY_DIR}/pages/${title} names)
  foreach(name ${names})
    set(source ${PROJECT_BINARY_DIR}/pages/${title}/${name}.cpp)
    file(STRINGS ${source} main REGEX "^int main\\(")
    if(main)
      add_executable(${title}_${name} ${source})
      set_target_properties(${title}_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY pages)
      add_test(NAME pages/${title}/${name} COMMAND ${title}_${name})
    else()
      add_library(${title}_${name} OBJECT ${source})
    endif()
    set(writer "${names_after_${name}}")
    if(writer)
      set(written ${PROJECT_BINARY_DIR}/pages/${title}/${writer}.written)
      add_custom_command(OUTPUT ${written} COMMAND ${title}_${writer} COMMAND ${CMAKE_COMMAND} -E touch ${written}
                         DEPENDS ${title}_${writer} WORKING_DIRECTORY ${PROJECT_BINARY_DIR}/pages/${title})
      set_property(SOURCE ${source} APPEND PROPERTY OBJECT_DEPENDS ${written})
      set_target_properties(${title}_${name} PROPERTIES CXX_STANDARD 17)
      target_link_libraries(${title}_${name} PRIVATE rewind_flags)
    else()
      target_link_libraries(${title}_${name} PRIVATE rewind::rewind rewind_flags)
      rewind_precompile(${title}_${name} pages <rewind/rewind.h>)
      list(APPEND page_sources ${source})
    endif()
  endforeach()
endforeach()
# Each public header by itself, and what a precompiled header may help: the pages' programs, and the examples where they are
# not built. Read, by the target `headers`, which is not part of all.
foreach(header ${public_headers})
  string(MAKE_C_IDENTIFIER ${header} name)
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/headers/${name}.cpp CONTENT "#include <rewind/${header}>\n")
  list(APPEND header_sources ${PROJECT_BINARY_DIR}/headers/${name}.cpp)
endforeach()
file(GLOB example_sources CONFIGURE_DEPENDS examples/*.cpp)
if(REWIND_EXAMPLES)
  set(example_sources "")
endif()
add_library(headers OBJECT EXCLUDE_FROM_ALL ${header_sources} ${page_sources} ${example_sources})
target_link_libraries(headers PRIVATE rewind::rewind rewind::mpi rewind_flags)
target_compile_options(headers PRIVATE -fsyntax-only)

add_test(NAME pages/extraction COMMAND ${CMAKE_COMMAND} -DDIR=${scratch}/pages
                                        -P ${CMAKE_CURRENT_LIST_DIR}/pages/check_the_blocks.cmake)

if(TARGET rewind_cli AND TARGET example_course)
  add_test(NAME pages/lectures/commands
           COMMAND ${CMAKE_COMMAND} -DPAGE=${PROJECT_SOURCE_DIR}/docs/lectures.md -DDIR=${scratch}/lectures -DREWIND=$<TARGET_FILE:rewind_cli>
                   -DEXAMPLES=$<TARGET_FILE_DIR:example_course> -P ${CMAKE_CURRENT_LIST_DIR}/pages/commands.cmake)
  set_tests_properties(pages/lectures/commands PROPERTIES SKIP_REGULAR_EXPRESSION "^skipped: |\nskipped: ")
endif()
