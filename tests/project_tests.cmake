# Tests of the project as a whole: its layers, its headers, its installation and the README's examples.

set(scratch ${PROJECT_BINARY_DIR}/scratch)
add_test(NAME layers COMMAND ${CMAKE_COMMAND} -DROOT=${PROJECT_SOURCE_DIR} -P ${CMAKE_CURRENT_LIST_DIR}/layers/check.cmake)
add_test(NAME layers/can_fail COMMAND ${CMAKE_COMMAND} -DDIR=${scratch}/layers
                                      -P ${CMAKE_CURRENT_LIST_DIR}/layers/check_the_check.cmake)

# Each public header by itself; built by the target `headers`, which is not part of all.
file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR} core/*.h autograd/*.h ops/*.h models/*.h tools/*.h)
list(FILTER headers EXCLUDE REGEX "^tools/(cli|bench)/")
foreach(header ${headers})
  string(MAKE_C_IDENTIFIER ${header} name)
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/headers/${name}.cpp CONTENT "#include <rewind/${header}>\n")
  list(APPEND header_sources ${PROJECT_BINARY_DIR}/headers/${name}.cpp)
endforeach()
add_library(headers OBJECT EXCLUDE_FROM_ALL ${header_sources})
target_link_libraries(headers PRIVATE rewind::rewind rewind_flags)
target_compile_options(headers PRIVATE -fsyntax-only)

add_test(NAME install
         COMMAND ${CMAKE_COMMAND} -DBUILD_DIR=${PROJECT_BINARY_DIR} -DDIR=${scratch}/install -DGENERATOR=${CMAKE_GENERATOR}
                 -DCOMPILER=${CMAKE_CXX_COMPILER} -DFLAGS=${CMAKE_CXX_FLAGS} -DBUILD_TYPE=${CMAKE_BUILD_TYPE}
                 -P ${CMAKE_CURRENT_LIST_DIR}/install/run.cmake)

rewind_must_not_compile(view_of_text tests/must_not_compile/view_of_text.cpp "constraint")
rewind_must_not_compile(copied_module tests/must_not_compile/copied_module.cpp "deleted")
rewind_must_not_compile(op_with_a_wrong_rule tests/must_not_compile/op_with_a_wrong_rule.cpp "vjp must be")
rewind_must_not_compile(checkpoints_of_both_directions tests/must_not_compile/checkpoints_of_both_directions.cpp
                        "both ends of the sequence")
rewind_must_not_compile(op_with_a_text tests/must_not_compile/op_with_a_text.cpp "trivially copyable")

include(tests/readme/blocks.cmake)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS README.md)
rewind_extract_blocks(${PROJECT_SOURCE_DIR}/README.md ${PROJECT_BINARY_DIR}/readme names)
foreach(name ${names})
  file(STRINGS ${PROJECT_BINARY_DIR}/readme/${name}.cpp main REGEX "^int main\\(")
  if(main)
    add_executable(readme_${name} ${PROJECT_BINARY_DIR}/readme/${name}.cpp)
    set_target_properties(readme_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY readme)
    add_test(NAME readme/${name} COMMAND readme_${name})
  else()
    add_library(readme_${name} OBJECT ${PROJECT_BINARY_DIR}/readme/${name}.cpp)
  endif()
  target_link_libraries(readme_${name} PRIVATE rewind::rewind rewind_flags)
endforeach()
add_test(NAME readme/extraction COMMAND ${CMAKE_COMMAND} -DDIR=${scratch}/readme
                                        -P ${CMAKE_CURRENT_LIST_DIR}/readme/check_the_blocks.cmake)
