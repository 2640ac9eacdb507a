#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace rw::ir {

/// A stretch of a text that repeats: labels[i] == labels[i + period] for all i in [begin, end - period).
struct Repeat {
  std::uint32_t begin = 0, end = 0, period = 0;
  bool operator==(const Repeat&) const = default;
};

/// Stretches of at least `periods` periods (2 or more), each as long as it can be, the shortest period first. They are
/// looked for where a few labels in a row were last seen: so of a stretch that itself consists of repetitions the inner
/// ones are found, and not all that there are. Takes time of order labels.size().
std::vector<Repeat> label_repeats(std::span<const std::uint64_t> labels, std::uint32_t periods = 3);

}  // namespace rw::ir
