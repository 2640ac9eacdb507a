#pragma once

// A random program as data: it runs on any tape, and prints itself as C++.

#include <memory>
#include <span>
#include <string>
#include <vector>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/parameter.h>

#include "ops.h"

namespace rw::fuzz {

/// An op, and the numbers of the values that it takes and gives.
struct Step {
  std::size_t op = 0;
  int a = -1, b = -1, out = -1;
  int axis = 0;
  Index start = 0, other = 0, length = 0;
  Shape shape = {};
  bool flag = false;
  std::uint64_t seed = 0;
};

struct Leaf {
  Shape shape;
  double scale = 1;
  bool is_parameter = false;
};

/// A value that a loop carries: `first` before the loop, `next` at the end of each step.
struct Carried {
  int value = -1, first = -1, next = -1;
};
/// A value of each step, stacked after the loop.
struct Kept {
  int each = -1, all = -1;
};

enum class Gradient {
  none,
  plain,     // backward into parameters
  recorded,  // grad of all leaves
  second     // and of a function of that
};

/// Leaves, which are the values 0, 1, ...; ops; a loop; and ops after it. The outputs are results, and the loss is made
/// of them.
struct Program {
  std::vector<Leaf> leaves;
  std::vector<Step> before, body, after;
  Index steps = 0;
  std::vector<int> sequences;  // leaves that have something for each step, along their first axis
  std::vector<Carried> carried;
  std::vector<Kept> kept;
  std::vector<int> outputs;
  Gradient gradient = Gradient::none;
  int values = 0;  // numbers in use
};

/// Runs a program on a tape; values are looked up by their numbers.
class Run {
 public:
  Run(const Program& program, Tape& tape)
      : p_(program), tape_(tape), values_(static_cast<std::size_t>(program.values)) {}

  std::vector<Tensor> operator()(std::span<const Tensor> leaves);
  /// One op. Throws Error as the op does.
  Tensor step(const Step& s, Index t);
  Tensor& value(int i) { return values_[static_cast<std::size_t>(i)]; }

 private:
  Tensor projected(Tensor x, std::size_t k);
  void run_loop();

  const Program& p_;
  Tape& tape_;
  std::vector<Tensor> values_;
};

/// The same program of so many steps, with sequences of that length.
Program at_length(const Program& p, Index steps);

/// Numbers that depend on shape and seed alone.
Array random_leaf(const Leaf& leaf, std::size_t number, DType dtype);

/// A file to put beside at_lengths.h: a test case that does what the program does, with plain ops, compiled with
/// `options`. With `lengths`, it is called at these, one after another.
std::string to_cpp(const Program& p, DType dtype, const std::string& name, const std::string& options,
                   const std::vector<Index>& lengths = {});

}  // namespace rw::fuzz
