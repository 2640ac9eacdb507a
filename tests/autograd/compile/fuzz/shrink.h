#pragma once

#include <functional>

#include "check.h"

namespace rw::fuzz {

/// A trial as small as can be found that still fails, by leaving out one thing after another. `fails` says whether a
/// trial does; what a tape refuses does not.
Trial shrunk(Trial trial, const std::function<bool(const Trial&)>& fails);

/// What nobody needs is left out, and values are numbered anew.
Program without_dead_code(const Program& p);

/// A test case to paste, with what went wrong and how to get there again.
std::string report(const Trial& trial, const std::string& wrong, std::uint64_t seed);

}  // namespace rw::fuzz
