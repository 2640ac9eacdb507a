#pragma once

// A pass tested by text: a small program in, the expected program out.

#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/autograd/program/text.h>
#include <rewind/core/threads.h>

namespace rw::test {

/// The graph that the pass of this name makes of `before`; costs decide nothing, and there are two threads.
inline ir::Graph after_pass(std::string_view name, std::string_view before, ir::Notes& notes) {
  const int threads_before = threads();
  set_threads(2);
  ir::Graph out;
  bool found = false;
  for (const ir::GraphPass& pass : ir::graph_passes()) {
    if (pass.name != name || found) continue;
    found = true;
    out = pass.run(ir::parse(before), CompileOptions{.branch_from = 0}, notes);
  }
  set_threads(threads_before);
  REQUIRE(found);
  ir::verify(out);
  return out;
}

/// Checks that the pass makes `after` of `before`, up to the names of nodes.
inline void check_pass(std::string_view name, std::string_view before, std::string_view after) {
  CAPTURE(name);
  CAPTURE(before);
  ir::Notes notes;
  CHECK(ir::dump(after_pass(name, before, notes)) == ir::dump(ir::parse(after)));
}

}  // namespace rw::test
