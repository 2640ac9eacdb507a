#pragma once

#include <concepts>
#include <iosfwd>
#include <string>

#include <rewind/tools/graph/view.h>

namespace rw {

/// What the colour of a node says. nan and inf are red in each but `role` and `bytes`.
enum class Overlay : std::uint8_t { role, value_norm, gradient_norm, bytes };

struct DotOptions {
  /// Draw the repeated steps of a loop once: see fold.h.
  bool fold_time = false;
  /// Draw the first `window` steps of a loop and the last one. 0: all.
  int window = 0;
  Overlay overlay = Overlay::role;
  /// Boxes for scopes (layer, time step).
  bool scopes = true;
  /// Also the nodes that a recorded gradient added, beside the forward graph.
  bool backward = true;
  /// The node to be marked as the loss; found when not given.
  std::optional<Tensor> loss = std::nullopt;
  /// Above the picture.
  std::string title = {};
};

/// Writes a DOT file of the tape that Graphviz renders: nodes by role with op, name and shape, boxes by scope, ids that
/// stay the same from run to run. Throws Error for an empty tape, a stale loss, and when the stream fails.
void write_dot(std::ostream& out, const Tape& tape, const DotOptions& options = {});
/// The same of a view; `fold_time`, `window`, `backward` and `loss` were settled when it was made.
void write_dot(std::ostream& out, const GraphView& view, const DotOptions& options = {});

/// The same of a compiled function (see compile.h): the optimised graph of the plan it used last. `loss` cannot be
/// given.
template <class C>
requires requires(const C& c) {
  { c.graph() } -> std::same_as<Tape>;
}
void write_dot(std::ostream& out, const C& compiled, const DotOptions& options = {}) {
  const Tape tape = compiled.graph();
  write_dot(out, tape, options);
}

/// The view that `write_dot` draws: made, folded, its statistics computed, as `options` say.
GraphView dot_view(const Tape& tape, const DotOptions& options);

}  // namespace rw
