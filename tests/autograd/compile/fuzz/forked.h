#pragma once

// Trials in a process of their own, which may crash or hang.

#include <cstdint>
#include <functional>
#include <string>

#include "check.h"

namespace rw::fuzz {

/// Whether a trial fails: a wrong result, a crash, or no result within a minute.
bool fails_in_its_process(const Trial& trial);

/// The first seed from `first` on whose trial fails, within so many seconds, and how its process ended; empty when none
/// has failed.
struct Failing {
  std::uint64_t seed = 0;
  std::string how;
  bool says_why = false;  // it was a wrong result, not a crash
};
Failing first_that_fails(double seconds, std::uint64_t first);

/// Runs the trials of seeds from `first` on for some seconds, and calls found(trial made small, why, seed) for each
/// that fails. Returns how many it has run.
std::uint64_t fuzz(double seconds, std::uint64_t first,
                   const std::function<void(const Trial&, const std::string&, std::uint64_t)>& found);

}  // namespace rw::fuzz
