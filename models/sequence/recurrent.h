#pragma once

#include <optional>
#include <utility>

#include <rewind/models/cells/cell.h>
#include <rewind/models/sequence/unroll.h>

namespace rw {

struct RecurrentOptions {
  /// Give the outputs of all steps, [T, N, out]; otherwise only the last one's, [N, out].
  bool return_sequences = true;
};

/// A cell as a layer, from sequence to sequence or from sequence to vector, when nobody asks for the states:
///
///     Recurrent encoder(LstmCell(in, hidden, rng), {.return_sequences = false});
///     Tensor code = encoder(x);                                                    // [T, N, in] -> [N, hidden]
///
/// The cell may be a Stack, for layers, or any Layer, such as Bidirectional. Parameters keep the cell's names.
template <Layer C>
requires std::derived_from<C, Module>
class Recurrent : public Module {
 public:
  /// A cell as a layer.
  explicit Recurrent(C cell, const RecurrentOptions& options = {})
      : Module(cell.name()), options_(options), cell_(wrapped(std::move(cell))) {}

  /// The cell.
  const C& cell() const { return cell_; }

  /// x [T, N, in], or indices [T, N], from the cell's zero_state or another. With `{.lengths = ...}` the outputs are 0
  /// in the padding, and the last output is each sequence's own. Throws Error as `unroll` does, and for a sequence
  /// without steps, which has no last output.
  Tensor operator()(Tensor x, const UnrollOptions& run = {}) const {
    detail::check_sequence(x);
    return (*this)(x, cell_.zero_state(x.tape(), x.size(1)), run);
  }
  /// The same from a given state.
  Tensor operator()(Tensor x, const typename C::State& state, const UnrollOptions& run = {}) const {
    // A layer under another name than its cell's says so in the scopes.
    std::optional<Scope> scope;
    if (name() != cell_.name()) scope.emplace(x.tape(), name());
    const auto states = unroll(cell_, x, state, run);
    if (states.empty()) throw Error(name() + ": a sequence of no steps has no output");
    if (!options_.return_sequences) return rw::output(cell_, last_state(cell_, states, run));
    const Tensor y = outputs(cell_, states);
    return run.lengths ? clear_padding(y, *run.lengths) : y;
  }

  Recurrent clone() const { return cloned(Recurrent(cell_.clone(), options_), *this); }

 private:
  RecurrentOptions options_;
  C& cell_;
};

}  // namespace rw
