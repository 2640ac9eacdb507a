#pragma once

#include <string>

#include "results.h"

namespace rw::bench {

/// Writes what a run found into the sources, beside what was found on other processors: a page of tables in
/// docs/benchmarks/ and its line in docs/benchmarks.md, the three rows of README.md that matter most; and
/// docs/benchmark.svg and docs/growth.svg, which show the latest run. `root`: the folder of the sources. Throws
/// std::runtime_error when one of the three rows was not run, or a page has no place for them; no page is written then.
void publish(const Results& results, const std::string& root);

/// A part of a section. `mark` is how each of these begins, at the beginning of a line, and `begin` how this one does.
struct Entry {
  std::string mark, begin, text;
};

/// The page with `entry.text` in the place of that entry, or behind the others where there is none so far, in the
/// section between the lines `<!-- NAME -->` and `<!-- end of NAME -->`. Throws std::runtime_error when there is none.
std::string with_entry(const std::string& page, const std::string& name, const Entry& entry);

}  // namespace rw::bench
