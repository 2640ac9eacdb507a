#pragma once

#include <string>

/// Where the sources and the built command are. Only tests/main.cpp is compiled with the paths themselves, so that a
/// compiler cache serves every checkout.
std::string source_dir();
/// The `rewind` command; defined where the tests are built with it (REWIND_HAS_COMMAND).
std::string rewind_command();
