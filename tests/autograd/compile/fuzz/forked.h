#pragma once

// Trials in a process of their own, which may crash or hang.

#include <cstdint>
#include <functional>
#include <optional>

#include "check.h"

namespace rw::fuzz {

/// Whether a trial fails: a wrong result, a crash, or no result within a minute.
bool fails_in_its_process(const Trial& trial);

/// Runs the trials of seeds from `first` on for some seconds, and calls found(trial made small, why, seed) for each
/// that fails. Returns how many it has run.
std::uint64_t fuzz(double seconds, std::uint64_t first,
                   const std::function<void(const Trial&, const std::string&, std::uint64_t)>& found);

}  // namespace rw::fuzz
