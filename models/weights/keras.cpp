#include <rewind/models/weights/cell_weights.h>
#include <rewind/models/weights/keras.h>

namespace rw {
namespace {

WeightMap recurrent_layer(const detail::CellWeights& cell, const detail::GateLayout& layout, bool two_biases) {
  const Index H = cell.hidden, width = cell.gates * H;
  WeightMap map;
  detail::link_matrix(map, map.array("kernel", {cell.in, width}), 0, cell, *cell.W, cell.in, layout);
  detail::link_matrix(map, map.array("recurrent_kernel", {H, width}), 0, cell, *cell.R, H, layout);
  if (cell.b == nullptr) return map;
  const std::size_t bias = map.array("bias", two_biases ? Shape{2, width} : Shape{width});
  for (Index g = 0; g < cell.gates; ++g) {
    const Index place = layout.place[static_cast<std::size_t>(g)] * H;
    const detail::BiasPlace recurrent{bias, width + place};
    detail::link_bias(map, cell, g, {bias, place}, two_biases ? &recurrent : nullptr);
  }
  return map;
}

}  // namespace

WeightMap keras_weights(const RnnCell& cell) { return recurrent_layer(detail::weights_of(cell), {}, false); }

WeightMap keras_weights(const LstmCell& cell) { return recurrent_layer(detail::weights_of(cell), {}, false); }

WeightMap keras_weights(const GruCell& cell) {
  const detail::CellWeights weights = detail::weights_of(cell);
  return recurrent_layer(weights, {.place = {1, 0, 2}}, weights.reset_after);
}

WeightMap keras_weights(const Linear& linear) { return detail::dense_layer(linear, "kernel", "bias", false); }

WeightMap keras_weights(const Embedding& embedding) { return detail::table(embedding, "embeddings"); }

}  // namespace rw
