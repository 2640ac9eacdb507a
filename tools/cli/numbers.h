#pragma once

#include <rewind/core/dtype.h>

namespace CLI {
class App;
}  // namespace CLI

namespace rw::cli {

/// Throws Error, naming the option, for a value outside of least..most. The default keeps products of two of them from
/// overflowing.
void need_count(const char* option, Index value, Index least = 1, Index most = 1 << 24);

/// Numbers of all options of `rewind` and its subcommands must be decimal and fit their type: by itself CLI11 takes -1
/// for 2^64 - 1, 010 for 8, and what is too large for the largest there is.
void check_whole_numbers(CLI::App& rewind);

}  // namespace rw::cli
