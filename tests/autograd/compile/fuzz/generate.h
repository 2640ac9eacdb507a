#pragma once

#include "program.h"

namespace rw::fuzz {

/// A program made at random, the same for a seed on every machine: correct by construction, of moderate values, of
/// sizes that change code paths.
Program random_program(std::uint64_t seed);

/// What it gives on a tape of f64, from leaves of type `leaves`.
std::vector<Array> reference(const Program& p, DType leaves);

}  // namespace rw::fuzz
