#pragma once

// Made-up inputs of the evals.

#include <cstddef>

#include <rewind/core/random.h>

#include "evals.h"

namespace rw::bench::gradbench {

/// Numbers between lo and hi, and m lists of n of them.
json random_list(Rng& rng, std::size_t n, double lo = -1, double hi = 1);
json random_rows(Rng& rng, std::size_t m, std::size_t n, double lo = -1, double hi = 1);
/// An input of ht: a hand of 22 bones. `full`: each observed point lies somewhere in a triangle.
json random_hand(Rng& rng, std::size_t vertices, std::size_t points, bool full);
/// All numbers of an output, in order; of objects in the order of their names.
Numbers numbers_in(const json& output);

}  // namespace rw::bench::gradbench
