#pragma once

#include <rewind/models/cells/gru.h>
#include <rewind/models/cells/lstm.h>
#include <rewind/models/cells/rnn.h>
#include <rewind/models/sequence/bidirectional.h>
#include <rewind/models/sequence/stack.h>
#include <rewind/models/weights/cell_weights.h>
#include <rewind/models/weights/weight_map.h>

namespace rw {

// Weights as oneDNN's recurrent primitives take them: "weights_layer" and "weights_iter" [layers, directions, in,
// gates, out] and "bias" [layers, directions, gates, out], to load and to save; see WeightMap.
// - vanilla_rnn for RnnCell; lstm, with gates i, f, c, o as here, for LstmCell; gru for a GruCell with Reset::before;
//   lbr_gru for one with Reset::after.
// - Gates of a GRU are u, r, o, of which u keeps the old state (the tests ask the primitive): a cell whose update gate
//   takes the new one gets its weights with the other sign.
// - oneDNN has one bias, and lbr_gru a fourth row for the recurrent bias of its candidate gate. A cell with Bias::two
// gets
//   0 for the rest of its second bias, and saves the sums; one with Bias::one cannot hold the fourth row, so that
//   loading throws Error unless it is 0, and saving writes 0. With Bias::none there is no "bias".
// - An LSTM's projection is "weights_projection" [layers, directions, in, out] (ldio), and its peepholes are
//   "weights_peephole" [layers, directions, 3, out] for i, f, o, of which o looks at the new memory, as here.

/// Physical order of the matrices, as oneDNN's format tags have it: ldigo is [L, D, in, gates, out], ldgoi is [L, D,
/// gates, out, in], with which the projection is ldoi, [L, D, out, in].
enum class OnednnLayout { ldigo, ldgoi };

WeightMap onednn_weights(const RnnCell& cell, OnednnLayout layout = OnednnLayout::ldigo);
WeightMap onednn_weights(const LstmCell& cell, OnednnLayout layout = OnednnLayout::ldigo);
WeightMap onednn_weights(const GruCell& cell, OnednnLayout layout = OnednnLayout::ldigo);

/// Cells of all layers and, in each, of all directions in one set of arrays. Throws Error for none, and for cells of
/// different sizes, kinds or biases.
WeightMap onednn_weights(std::span<const RnnCell* const> cells, Index directions, OnednnLayout layout);
WeightMap onednn_weights(std::span<const LstmCell* const> cells, Index directions, OnednnLayout layout);
WeightMap onednn_weights(std::span<const GruCell* const> cells, Index directions, OnednnLayout layout);

/// The layers of a stack. Throws Error for one with skips or residuals, too.
template <class C>
WeightMap onednn_weights(const Stack<C>& stack, OnednnLayout layout = OnednnLayout::ldigo) {
  detail::require_plain(stack.options(), "onednn_weights");
  std::vector<const C*> cells;
  for (std::size_t i = 0; i < stack.depth(); ++i) cells.push_back(&stack.layer(i));
  return onednn_weights(cells, 1, layout);
}
/// A layer in both directions.
template <class C>
WeightMap onednn_weights(const Bidirectional<C>& both, OnednnLayout layout = OnednnLayout::ldigo) {
  const C* const cells[] = {&both.forward(), &both.backward()};
  return onednn_weights(cells, 2, layout);
}

}  // namespace rw
