#include <rewind/core/error.h>
#include <rewind/models/weights/cell_weights.h>
#include <rewind/models/weights/torch.h>

namespace rw {
namespace {

WeightMap recurrent_layer(const detail::CellWeights& cell, const TorchPlace& place) {
  const std::string suffix = "_l" + std::to_string(place.layer) + (place.reverse ? "_reverse" : "");
  const Index height = cell.gates * cell.hidden;
  const detail::GateLayout layout{.transposed = true};
  WeightMap map;
  detail::link_matrix(map, map.array("weight_ih" + suffix, {height, cell.in}), 0, cell, *cell.W, cell.in, layout);
  detail::link_matrix(map, map.array("weight_hh" + suffix, {height, cell.out}), 0, cell, *cell.R, cell.out, layout);
  if (const auto P = cell.more.find("P"); P != cell.more.end())
    detail::link_all(map, map.array("weight_hr" + suffix, {cell.out, cell.hidden}), 0, *P->second, cell.hidden,
                     cell.out, true);
  if (cell.b == nullptr) return map;
  const std::size_t ih = map.array("bias_ih" + suffix, {height}), hh = map.array("bias_hh" + suffix, {height});
  for (Index g = 0; g < cell.gates; ++g) {
    const detail::BiasPlace recurrent{hh, g * cell.hidden};
    detail::link_bias(map, cell, g, {ih, g * cell.hidden}, &recurrent);
  }
  return map;
}

}  // namespace

WeightMap torch_weights(const RnnCell& cell, const TorchPlace& place) {
  return recurrent_layer(detail::weights_of(cell), place);
}

WeightMap torch_weights(const LstmCell& cell, const TorchPlace& place) {
  return recurrent_layer(detail::weights_of(cell, {"P"}), place);
}

WeightMap torch_weights(const GruCell& cell, const TorchPlace& place) {
  const detail::CellWeights weights = detail::weights_of(cell);
  if (!weights.reset_after)
    throw Error("torch_weights: PyTorch's GRU resets after the product, this one before: use Reset::after");
  return recurrent_layer(weights, place);
}

WeightMap torch_weights(const AnyCell& any, const TorchPlace& place) {
  const Module* cell = &any.cell();
  if (const auto* rnn = dynamic_cast<const RnnCell*>(cell)) return torch_weights(*rnn, place);
  if (const auto* lstm = dynamic_cast<const LstmCell*>(cell)) return torch_weights(*lstm, place);
  if (const auto* gru = dynamic_cast<const GruCell*>(cell)) return torch_weights(*gru, place);
  throw Error("torch_weights: PyTorch has rnn, lstm and gru, without zoneout, recurrent dropout or a learned start; " +
              any.name() + " is another cell, or wrapped in one of these");
}

WeightMap torch_weights(const Linear& linear) { return detail::dense_layer(linear, "weight", "bias", true); }

WeightMap torch_weights(const Embedding& embedding) { return detail::table(embedding, "weight"); }

}  // namespace rw
