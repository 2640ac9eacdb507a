#pragma once

// Internal to tools/graph/.

#include <string>

#include <rewind/tools/graph/dot.h>

namespace rw::detail {

/// The fill colours of a picture's nodes: by role, or by a number on a scale from the smallest to the largest.
class Colouring {
 public:
  Colouring(const GraphView& view, Overlay overlay);
  /// "#rrggbb".
  std::string fill(const GraphNode& node) const;
  /// A line more for the label that says the number; it begins with a newline. Empty without one.
  std::string note(const GraphNode& node) const;

 private:
  double number(const GraphNode& node) const;  // nan: none

  Overlay overlay_;
  double low_ = 0, high_ = 0;  // of log10
};

/// Whether text on "#rrggbb" should be white.
bool dark(const std::string& colour);

}  // namespace rw::detail
