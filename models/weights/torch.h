#pragma once

#include <span>
#include <string>
#include <vector>

#include <rewind/core/error.h>
#include <rewind/models/cells/any_cell.h>
#include <rewind/models/cells/gru.h>
#include <rewind/models/cells/lstm.h>
#include <rewind/models/cells/rnn.h>
#include <rewind/models/layers/embedding.h>
#include <rewind/models/layers/linear.h>
#include <rewind/models/sequence/bidirectional.h>
#include <rewind/models/sequence/recurrent.h>
#include <rewind/models/sequence/stack.h>
#include <rewind/models/weights/cell_weights.h>
#include <rewind/models/weights/weight_map.h>

namespace rw {

// State dicts of PyTorch's layers (torch.nn.RNN, LSTM, GRU, Linear, Embedding), to load and to save; see WeightMap.
// PyTorch's matrices are ours transposed, with the gates in the same order (i, f, g, o and r, z, n). It has two biases:
// - a cell made with Bias::two holds both;
// - one with Bias::one holds their sum, and saves it as the first, with 0 for the second. A GRU cannot hold the second
//   bias of its candidate gate then, which the reset gate multiplies: loading throws Error unless it is 0;
// - Bias::none is PyTorch's bias=False.
// PyTorch's update gate keeps the old state; a cell whose gate takes the new one gets its weights with the other sign.

/// Which of a layer's cells it is: "weight_ih_l1_reverse" is {.layer = 1, .reverse = true}.
struct TorchPlace {
  int layer = 0;
  bool reverse = false;
};

/// One layer in one direction. Throws Error for a cell that PyTorch has no like of: a GRU that resets before the
/// product; an LSTM with peepholes, layer norm or other gates. A projection is "weight_hr", of proj_size.
WeightMap torch_weights(const RnnCell& cell, const TorchPlace& place = {});
WeightMap torch_weights(const LstmCell& cell, const TorchPlace& place = {});
WeightMap torch_weights(const GruCell& cell, const TorchPlace& place = {});
/// Of a cell that was chosen by name. Throws Error, too, for one that is none of these, or is wrapped.
WeightMap torch_weights(const AnyCell& cell, const TorchPlace& place = {});
/// "weight" and "bias".
WeightMap torch_weights(const Linear& linear);
/// "weight".
WeightMap torch_weights(const Embedding& embedding);

/// bidirectional=True: a layer in both directions. Throws Error for one that adds their outputs, since PyTorch gives
/// them end to end.
template <class C>
WeightMap torch_weights(const Bidirectional<C>& both, const TorchPlace& place = {}) {
  if (both.options().merge != BidirectionalOptions::Merge::concat)
    throw Error("torch_weights: PyTorch gives both directions end to end, this layer adds them: use Merge::concat");
  WeightMap map = torch_weights(both.forward(), {.layer = place.layer});
  return map.add("", torch_weights(both.backward(), {.layer = place.layer, .reverse = true}));
}
/// num_layers cells, or pairs of them. Throws Error for a stack with skips or residuals.
template <class C>
WeightMap torch_weights(const Stack<C>& stack) {
  detail::require_plain(stack.options(), "torch_weights");
  WeightMap map;
  for (std::size_t i = 0; i < stack.depth(); ++i)
    map.add("", torch_weights(stack.layer(i), {.layer = static_cast<int>(i)}));
  return map;
}
template <class C>
WeightMap torch_weights(const Recurrent<C>& layer) {
  return torch_weights(layer.cell());
}

}  // namespace rw
