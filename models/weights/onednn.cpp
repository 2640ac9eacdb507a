#include <rewind/core/error.h>
#include <rewind/models/weights/cell_weights.h>
#include <rewind/models/weights/onednn.h>

namespace rw {
namespace {

using detail::CellWeights;

// The order of gates of all of oneDNN's cells but the GRU's is ours.
detail::GateLayout gate_layout(const CellWeights& cell, OnednnLayout layout) {
  detail::GateLayout gates{.transposed = layout == OnednnLayout::ldgoi};
  if (cell.kind == "gru") gates.place = {1, 0, 2};
  return gates;
}

void check(std::span<const CellWeights> cells, Index directions) {
  if (cells.empty() || directions < 1 || directions > 2 || cells.size() % static_cast<std::size_t>(directions) != 0)
    throw Error("onednn_weights: " + std::to_string(cells.size()) + " cells are no layers of " +
                std::to_string(directions) + " directions");
  const CellWeights& first = cells[0];
  for (const CellWeights& c : cells)
    if (c.in != first.in || c.hidden != first.hidden || c.out != first.out ||
        (c.b == nullptr) != (first.b == nullptr) || c.more.size() != first.more.size() ||
        c.reset_after != first.reset_after)
      throw Error("onednn_weights: oneDNN holds cells of one size and kind together, not " + first.kind + " " +
                  Shape{first.in, first.hidden}.str() + " and " + Shape{c.in, c.hidden}.str());
}

// Projections and peepholes.
void link_more(WeightMap& map, std::span<const CellWeights> cells, Index L, Index D, bool transposed) {
  const CellWeights& first = cells[0];
  const Index H = first.hidden, P = first.out;
  const bool peeps = first.more.contains("po");
  const std::size_t projection =
      P == H ? 0 : map.array("weights_projection", transposed ? Shape{L, D, P, H} : Shape{L, D, H, P});
  const std::size_t peepholes = peeps ? map.array("weights_peephole", {L, D, 3, H}) : 0;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const auto at = static_cast<Index>(i);
    const auto& more = cells[i].more;
    if (P != H) detail::link_all(map, projection, at * H * P, *more.at("P"), H, P, transposed);
    Index gate = 0;
    for (const char* name : {"pi", "pf", "po"})
      if (peeps) detail::link_all(map, peepholes, (at * 3 + gate++) * H, *more.at(name), 1, H, false);
  }
}

WeightMap layers(std::span<const CellWeights> cells, Index D, OnednnLayout layout) {
  check(cells, D);
  const CellWeights& first = cells[0];
  const Index L = static_cast<Index>(cells.size()) / D, G = first.gates, I = first.in, H = first.hidden;
  const Index bias_rows = first.reset_after ? G + 1 : G;
  const detail::GateLayout gates = gate_layout(first, layout);
  WeightMap map;
  const auto matrices = [&](const char* name, Index in) {
    return map.array(name, gates.transposed ? Shape{L, D, G, H, in} : Shape{L, D, in, G, H});
  };
  const std::size_t W = matrices("weights_layer", I), R = matrices("weights_iter", first.out);
  const std::size_t b = first.b == nullptr ? 0 : map.array("bias", {L, D, bias_rows, H});
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const CellWeights& cell = cells[i];
    const auto at = static_cast<Index>(i);
    detail::link_matrix(map, W, at * G * I * H, cell, *cell.W, I, gates);
    detail::link_matrix(map, R, at * G * first.out * H, cell, *cell.R, first.out, gates);
    for (Index g = 0; g < G; ++g) {
      const Index start = at * bias_rows * H;
      const detail::BiasPlace recurrent{b, start + G * H};
      detail::link_bias(map, cell, g, {b, start + gates.place[static_cast<std::size_t>(g)] * H},
                        g == cell.apart ? &recurrent : nullptr);
    }
  }
  link_more(map, cells, L, D, gates.transposed);
  return map;
}

template <class C>
WeightMap of_cells(std::span<const C* const> cells, Index directions, OnednnLayout layout) {
  std::vector<CellWeights> weights;
  for (const C* c : cells) weights.push_back(detail::weights_of(*c, {"P", "pi", "pf", "po"}));
  return layers(weights, directions, layout);
}

}  // namespace

WeightMap onednn_weights(std::span<const RnnCell* const> cells, Index directions, OnednnLayout layout) {
  return of_cells(cells, directions, layout);
}
WeightMap onednn_weights(std::span<const LstmCell* const> cells, Index directions, OnednnLayout layout) {
  return of_cells(cells, directions, layout);
}
WeightMap onednn_weights(std::span<const GruCell* const> cells, Index directions, OnednnLayout layout) {
  return of_cells(cells, directions, layout);
}

WeightMap onednn_weights(const RnnCell& cell, OnednnLayout layout) {
  const RnnCell* const cells[] = {&cell};
  return onednn_weights(cells, 1, layout);
}
WeightMap onednn_weights(const LstmCell& cell, OnednnLayout layout) {
  const LstmCell* const cells[] = {&cell};
  return onednn_weights(cells, 1, layout);
}
WeightMap onednn_weights(const GruCell& cell, OnednnLayout layout) {
  const GruCell* const cells[] = {&cell};
  return onednn_weights(cells, 1, layout);
}

}  // namespace rw
