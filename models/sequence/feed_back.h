#pragma once

#include <string>
#include <utility>
#include <vector>

#include <rewind/models/sequence/unroll.h>

namespace rw {

// Which topology is which:
//
//   one-to-one             cell.step(x, state), or Linear: no sequence
//   one-to-many            feed_back(cell, first, state, steps, next)
//   many-to-one            Recurrent(cell, {.return_sequences = false})(x)
//   many-to-many, synced   Recurrent(cell)(x), an output for every step; Bidirectional sees both sides of it
//   many-to-many, delayed  an encoder-decoder: the decoder starts from the encoder's last state, and may look at all of
//                          the encoder's outputs (AttentionCell):
//       auto encoded = unroll(encoder, source, encoder.zero_state(tape, N), {.lengths = lengths});
//       auto state = last_state(encoder, encoded);
//       unroll(decoder, embed(shifted(targets, begin)), state)        // teacher forcing: it reads what is right
//       feed_back(decoder, embed(begin), state, steps, next)          // free running: it reads what it wrote

/// What a decoder reads under teacher forcing (Williams and Zipser, 1989): `begin`, then all targets but the last.
/// Along the first axis: targets [T, ...], reals or indices, all of [...] at the first step `begin`. Throws Error for
/// no steps.
Tensor shifted(Tensor targets, double begin = 0);

/// Runs a cell on its own outputs: the first step reads `first` [N, in] and every further one next(output), where
/// output is what the step before gave. Gives the states of all steps. It is recorded as `unroll` is, so gradients flow
/// through the feedback if `next` lets them. `next` may leave the graph to sample (then it cannot be compiled), or stay
/// in it:
///
///     [&](Tensor y) { return matmul(hardmax(head(y)), table); }       // greedy
template <Cell C, class Next>
States<typename C::State> feed_back(const C& cell, Tensor first, typename C::State state, Index steps, Next&& next) {
  if (steps < 0) throw Error("feed_back: there cannot be " + std::to_string(steps) + " steps");
  Tape& tape = first.tape();
  const Scope scope(tape, scope_name(cell));
  States<typename C::State> states(state, first.shape().rank() > 0 ? first.size(0) : 1);
  if constexpr (detail::RightCell<C>) {
    for (Index t = 0; t < steps; ++t) {
      const Scope step(tape, "t", t);
      auto after = step_at(cell, t == 0 ? first : next(output(cell, state)), state, t);
      detail::check_kept(tape, state, after);
      states.push_back(state = std::move(after));
    }
  }
  return states;
}

}  // namespace rw
