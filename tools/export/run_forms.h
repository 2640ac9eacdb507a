#pragma once

// Internal to tools/export/.

#include <functional>
#include <map>
#include <string>
#include <vector>

#include <rewind/tools/export/length_text.h>

namespace rw::detail {

/// Statements as they are written.
struct RunText {
  std::string out = {};
  int depth = 1;

  void line(const std::string& text);
  /// A loop around what is written until `end`.
  void begin(const std::string& variable, const std::string& count);
  void end(int loops = 1);
};

/// What an op reads, at `pointer`; of `count` values, when that is not 1, number k. Numbers of another type than Real,
/// indices, take the place of a Real each.
struct RunInput {
  std::string pointer;
  Lengths shape;
  DType dtype = DType::f32;
  Length count = {.factor = 1};
};

/// An op that is about to be written; its value goes to `o`.
struct RunOp {
  RunText& text;
  const SizedProgram& program;
  std::uint32_t op = 0;
  const std::vector<RunInput>& in;
  Lengths shape;
  /// Where a slice begins.
  std::string start;
  const std::map<std::string, std::string>& own;
  /// Says that a length is at least that.
  std::function<void(const Length&, Index)> need;
};

/// Throws Error, naming op and scope, for an op without a form.
void write_run_op(const RunOp& op);

}  // namespace rw::detail
