#pragma once

#include <optional>
#include <utility>

#include <rewind/models/cells/cell.h>
#include <rewind/models/layers/attention.h>
#include <rewind/models/layers/linear.h>

namespace rw {

namespace detail {
/// [a b], along the last axis.
Tensor beside(Tensor a, Tensor b);
/// tanh(combine([context h])).
Tensor combined(const Linear& combine, Tensor context, Tensor h);
}  // namespace detail

/// A cell that looks at a source at every step: the decoder of an encoder-decoder. Its state carries what it looks at,
/// so whatever takes a cell (unroll, feed_back, compile, TruncatedBptt) takes this one, once it has a state:
///
///     AttentionCell decoder(LstmCell(embedding + 2 * hidden, hidden, rng), AdditiveAttention(hidden, 2 * hidden, 32,
///     rng)); auto state = decoder.start(start_of_the_cell, decoder.attention().remember(encoded, lengths)); auto
///     states = unroll(decoder, x, state);                        // x [T, N, embedding]: reals, no indices Tensor y =
///     outputs(decoder, states);                            // [T, N, hidden + 2 * hidden] states[t].weights // [N, S],
///     what it looked at
///
/// Without `combine` it looks before it steps (Bahdanau, Cho and Bengio, 2015): c = attend(h(t-1)),
/// h(t) = cell([x c], h(t-1)), and the output is [h(t) c].
/// With it, it looks after the step, and the next step gets what came of that (Luong, Pham and Manning, 2015, with
/// input feeding): h(t) = cell([x a(t-1)], h(t-1)), c = attend(h(t)), a(t) = tanh(combine([c h(t)])), which is the
/// output.
template <Cell C, std::derived_from<Attention> A>
class AttentionCell : public Module {
 public:
  struct State {
    typename C::State cell;
    Tensor attended;  // [N, E] or [N, combine's out]
    Tensor weights;   // [N, S]
    AttentionMemory memory;
  };

  /// A cell that takes x and what was attended to. `combine` makes its output of [h, attended].
  AttentionCell(C cell, A attention, std::optional<Linear> combine = std::nullopt)
      : Module("attention_cell"),
        cell_(child("cell", std::move(cell))),
        attention_(child("attention", std::move(attention))),
        combine_(combine ? &child("combine", std::move(*combine)) : nullptr) {}

  /// The cell within.
  const C& cell() const { return cell_; }
  /// How it attends.
  const A& attention() const { return attention_; }

  /// The state before the first step: the cell's, and what `attention().remember` gave. Nothing is attended yet.
  State start(typename C::State cell, const AttentionMemory& memory) const {
    Tape& tape = memory.mask.tape();
    const Index batch = memory.mask.size(0), width = combine_ != nullptr ? combine_->out() : memory.values.size(-1);
    return {std::move(cell), tape.constant(0, {batch, width}), tape.constant(0, memory.mask.shape()), memory};
  }
  /// Throws Error: there is no state without a source.
  State zero_state(Tape&, Index) const {
    throw Error(name() + ": a state begins with a source: use start(cell().zero_state(tape, batch), memory)");
  }
  State empty_state() const { return {.cell = rw::empty_state(cell_), .attended = {}, .weights = {}, .memory = {}}; }

  State step(Tensor x, State s) const {
    if (combine_ == nullptr) look(rw::output(cell_, s.cell), s);
    {
      const Scope scope(x.tape(), scope_name(cell_));
      s.cell = cell_.step(detail::beside(x, s.attended), s.cell);
    }
    if (combine_ != nullptr) {
      const Tensor h = rw::output(cell_, s.cell);
      look(h, s);
      s.attended = detail::combined(*combine_, s.attended, h);
    }
    return s;
  }
  Tensor output(const State& s) const {
    return combine_ != nullptr ? s.attended : detail::beside(rw::output(cell_, s.cell), s.attended);
  }

  AttentionCell clone() const {
    std::optional<Linear> combine;
    if (combine_ != nullptr) combine.emplace(combine_->clone());
    return cloned(AttentionCell(cell_.clone(), attention_.clone(), std::move(combine)), *this);
  }

 private:
  void look(Tensor query, State& s) const {
    const Attended seen = attention_(query, s.memory);
    s.attended = seen.context;
    s.weights = seen.weights;
  }

  C& cell_;
  A& attention_;
  Linear* combine_;
};

}  // namespace rw
