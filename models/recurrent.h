#pragma once

#include <optional>
#include <utility>

#include <rewind/models/cell.h>
#include <rewind/models/unroll.h>

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
/// The cell may be a Stack, for layers. Parameters keep the cell's names.
template <Cell C>
requires std::derived_from<C, Module>
class Recurrent : public Module {
 public:
  explicit Recurrent(C cell, const RecurrentOptions& options = {})
      : Module(cell.name()), options_(options), cell_(wrapped(std::move(cell))) {}

  const C& cell() const { return cell_; }

  /// x [T, N, in], or indices [T, N], from the cell's zero_state or another. Throws Error as `unroll` does, and for a
  /// sequence without steps, which has no last output.
  Tensor operator()(Tensor x) const {
    if (x.shape().rank() < 2)
      throw Error("a sequence is [T, N, features] or [T, N] of indices, not " + x.shape().str());
    return (*this)(x, cell_.zero_state(x.tape(), x.size(1)));
  }
  Tensor operator()(Tensor x, const typename C::State& state) const {
    // A layer under another name than its cell's says so in the scopes.
    std::optional<Scope> scope;
    if (name() != cell_.name()) scope.emplace(x.tape(), name());
    const auto states = unroll(cell_, x, state);
    if (states.empty()) throw Error(name() + ": a sequence of no steps has no output");
    return options_.return_sequences ? outputs(cell_, states) : rw::output(cell_, states.back());
  }

  Recurrent clone() const { return cloned(Recurrent(cell_.clone(), options_), *this); }

 private:
  RecurrentOptions options_;
  C& cell_;
};

}  // namespace rw
