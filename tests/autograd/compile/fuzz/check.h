#pragma once

#include <optional>
#include <string>

#include <rewind/autograd/compile/options.h>

#include "program.h"

namespace rw::fuzz {

/// A program, and how it is compiled.
struct Trial {
  Program program;
  DType dtype = DType::f32;
  Passes passes = Passes::all();
  int threads = 1;
  bool side_by_side = false;        // kernels on threads of their own wherever it can be done
  bool watched = false;             // step by step, with CompileOptions::watch_memory
  bool verified = false;            // after each pass, with CompileOptions::verify
  bool tight = false;               // in the least memory that does, with CompileOptions::memory
  std::vector<Index> lengths = {};  // one function is called at these after that, of so many steps
};

/// A trial that depends on the seed alone.
Trial random_trial(std::uint64_t seed);

/// Why the plan is wrong beside the tape; nothing when it is right, or when the tape, too, refuses the program.
///
/// Passes that keep bits, and gradients that are recorded: the same bits. Otherwise a result may be off the f64 tape by
/// 16 times what rounding does to it: the error of the tape of the trial's own type, and the change that comes when
/// every value of the program and of its gradients is moved as roundings may move it, at random (a sum in another order
/// is such a change: see ir::RoundingNoise); and by 8 roundings of its largest element.
std::optional<std::string> failure(const Trial& trial);

}  // namespace rw::fuzz
