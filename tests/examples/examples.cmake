# Every example that is a task (it includes task.h) runs with --quick, and must reach what it says it reaches.
if(REWIND_EXAMPLES)
  foreach(file ${examples})
    file(STRINGS ${file} is_task REGEX "^#include \"task.h\"")
    if(is_task)
      cmake_path(GET file STEM name)
      add_test(NAME examples/${name} COMMAND ${CMAKE_COMMAND} -DTASK=$<TARGET_FILE:example_${name}>
                                             -P ${CMAKE_CURRENT_LIST_DIR}/run.cmake)
    endif()
  endforeach()
  # The programs say by their exit codes whether they do what they should.
  add_test(NAME examples/realtime/effect COMMAND realtime_effect)
  add_test(NAME examples/realtime/controller COMMAND realtime_controller)
  add_test(NAME examples/realtime/learn COMMAND realtime_learn --quick ${PROJECT_BINARY_DIR})
endif()
