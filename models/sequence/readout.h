#pragma once

#include <utility>

#include <rewind/models/layers/linear.h>
#include <rewind/models/sequence/recurrent.h>

namespace rw {

/// A cell and a linear layer on its output, after every step or after the last one: the usual network for a sequence.
///
///     Readout network{LstmCell(2, 64, rng), Linear(64, 1, rng), {.return_sequences = false}};
///     Tensor y = network(x);                                                       // [T, N, 2] -> [N, 1]
///
/// (In braces the cell draws its start from rng before the layer does, with every compiler.) The cell may be a Stack,
/// for layers, or any Layer, such as Bidirectional. Parameters are named "cell.W", ..., "head.W", "head.b".
template <Layer C>
requires std::derived_from<C, Module>
class Readout : public Module {
 public:
  /// A cell and what is applied to its output.
  Readout(C cell, Linear head, const RecurrentOptions& options = {})
      : Module("readout"),
        options_(options),
        cell_(child("cell", Recurrent<C>(std::move(cell), options))),
        head_(child("head", std::move(head))) {}

  /// The cell.
  const C& cell() const { return cell_.cell(); }
  /// The linear layer.
  const Linear& head() const { return head_; }

  /// x [T, N, in], or indices [T, N], from the cell's zero_state -> [T, N, out] or [N, out]. With `{.lengths = ...}`
  /// the last output is each sequence's own. Throws Error as `Recurrent` and `Linear` do.
  Tensor operator()(Tensor x, const UnrollOptions& run = {}) const {
    const Tensor h = cell_(x, run);
    const Scope scope(x.tape(), head_.name());
    return head_(h);
  }

  Readout clone() const { return cloned(Readout(cell().clone(), head_.clone(), options_), *this); }

 private:
  RecurrentOptions options_;
  Recurrent<C>& cell_;
  Linear& head_;
};

}  // namespace rw
