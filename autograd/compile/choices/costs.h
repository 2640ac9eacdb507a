#pragma once

#include <span>
#include <string>
#include <string_view>

#include <rewind/autograd/compile/choices/numbers.h>
#include <rewind/core/processor.h>

namespace rw::ir {

/// What things take, in microseconds of one thread. As they stand here, they are those of the processor on which the
/// library was tuned first: passes that change bits decide by these alone, so that a program has the same bits on every
/// machine of one instruction set. Passes that keep bits decide by what was measured on this one, where it was.
struct Costs {
  double product = 0.3;             // a matrix product, beside its work
  double multiplication = 1.25e-5;  // of f32, in a product of some rows,
  double of_one_row = 1.25e-5;      // and in one of a single row, which reads all of the matrix for it
  double of_f64 = 2.5e-5;
  double kernel = 0.05;     // of elementwise ops, beside its work
  double element = 1.7e-4;  // of one op in a kernel, f32; f64: twice
  double other = 0.3;       // any other op,
  double other_element = 3e-4;
  double hand_over = 3;    // sharing a kernel among threads that are awake, and meeting again
  double from_other = 1;   // a value that another thread computed is there that much later,
  double far_byte = 5e-5;  // and takes so much a byte
};

/// The costs by name.
std::span<const NumberField<Costs>> cost_fields();

/// Costs that were measured, and what is to be said of them.
struct MachineCosts {
  Costs costs;
  bool measured = false;
  std::string from;  // a line for explain
};

/// Where `rewind tune` keeps what it measured: the environment variable REWIND_TUNE_FILE, or else
/// rewind/tune.txt in $XDG_CACHE_HOME or ~/.cache; empty when there is none of these.
std::string costs_path();
/// The text of such a file, and what is in one. Anything but what a `rewind tune` of this version wrote on this
/// processor gives the costs above, and says why: it is never an error. Of more than a few KB nothing is read.
std::string costs_text(Costs costs, const Processor& processor);
MachineCosts read_costs(const std::string& path, const Processor& processor);
/// Whether a text begins as such a file does, of whatever version: what may be replaced by a new one.
bool is_costs_text(std::string_view text);
/// What is at `costs_path()`, read once.
const MachineCosts& machine_costs();

}  // namespace rw::ir
