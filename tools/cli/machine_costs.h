#pragma once

#include <string>
#include <vector>

#include <rewind/autograd/compile/choices/costs.h>

namespace rw::cli {

/// What was measured of this machine, for people: "f32 product 64 x 1024 x 256", 243, "GFLOP/s".
struct Rate {
  std::string what;
  double value;
  std::string unit;
};

struct MeasuredMachine {
  ir::Costs costs;
  std::vector<Rate> rates;
  int rounds = 0;
};

/// Measures products by size and type, elements of kernels, hand-overs between threads and memory, in turn, for about
/// so many seconds (at least one round). The quickest of the rounds counts, each of which is a mean over two
/// milliseconds: other programs can only make it longer.
MeasuredMachine measure_machine(double seconds);

}  // namespace rw::cli
