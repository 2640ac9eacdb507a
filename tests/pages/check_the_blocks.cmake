# Shows that extraction keeps code as it is: cmake -DDIR=<scratch folder> -P check_the_blocks.cmake
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/blocks.cmake)

set(first "auto [i, f] = split<2>(x);  // [T*N, 4H]; \"\\n\" @at@ \${dollar} $<1:x>\n")
set(second "int main() { return a[0]; }\n")
file(WRITE ${DIR}/text.md "# Title\n\n<!-- compiled: one -->\n```cpp\n${first}```\ntext\n```cpp\nnot this\n```\n"
     "<!-- compiled: two -->\n\n```cpp\n// [\n```\n<!-- compiled: one -->\n```cpp\n${second}```\n")
rewind_extract_blocks(${DIR}/text.md ${DIR}/blocks names)
if(NOT "${names}" STREQUAL "one;two")
  message(FATAL_ERROR "names: ${names}")
endif()
file(READ ${DIR}/blocks/one.cpp got)
if(NOT got STREQUAL "${first}${second}")
  message(FATAL_ERROR "the block is not what was written:\n${got}")
endif()
file(REMOVE_RECURSE ${DIR})
