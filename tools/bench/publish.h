#pragma once

#include <string>

#include "results.h"

namespace rw::bench {

/// Writes what a run found into the sources: the tables of docs/benchmarks.md, the three rows of README.md that
/// matter most, docs/benchmark.svg and docs/growth.svg. `root`: the folder of the sources. Throws std::runtime_error
/// when one of the three rows was not run, or a page has no place for its table; nothing is written then.
void publish(const Results& results, const std::string& root);

/// The page with what stands between the lines `<!-- NAME -->` and `<!-- end of NAME -->` replaced.
std::string replaced(const std::string& page, const std::string& name, const std::string& text);

}  // namespace rw::bench
