#pragma once

#include <string>

namespace rw::bench {

extern const char* const usage;
/// The filter that every name matches.
inline constexpr const char* any = ".";

struct Options {
  std::string filter = any, contenders, json, svg, markdown, text, commit, from;
  double budget = 1800;
  int threads = 0;
  bool help = false, quick = false, list = false, publish = false, profile = false;
};

/// Throws std::invalid_argument for what `usage` does not say.
Options parsed(int argc, char** argv);

}  // namespace rw::bench
