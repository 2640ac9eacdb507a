#include <rewind/core/error.h>
#include <rewind/models/cell_weights.h>

namespace rw::detail {
namespace {

template <class C>
CellWeights common(const C& cell, std::string kind, Index gates) {
  CellWeights w{.kind = std::move(kind), .gates = gates, .in = cell.in(), .hidden = cell.hidden()};
  for (const NamedParameter& p : cell.named_parameters()) {
    if (p.name == "W")
      w.W = p.parameter;
    else if (p.name == "R")
      w.R = p.parameter;
    else if (p.name == "b")
      w.b = p.parameter;
    else if (p.name == "br")
      w.br = p.parameter;
    else
      throw Error(w.kind + ": other libraries' cells have nothing like its parameter '" + p.name + "'");
  }
  if (w.W == nullptr || w.R == nullptr || w.W->shape() != Shape{w.in, gates * w.hidden})
    throw Error(w.kind + ": other libraries' cells have " + std::to_string(gates) + " gates, and this one has not");
  return w;
}

}  // namespace

CellWeights weights_of(const RnnCell& cell) { return common(cell, "rnn", 1); }

CellWeights weights_of(const LstmCell& cell) { return common(cell, "lstm", 4); }

CellWeights weights_of(const GruCell& cell) {
  CellWeights w = common(cell, "gru", 3);
  w.reset_after = cell.options().reset == GruOptions::Reset::after;
  if (w.reset_after) w.apart = 2;
  if (cell.options().update == GruOptions::Update::takes) w.sign[1] = -1;
  return w;
}

void link_matrix(WeightMap& map, std::size_t array, Index start, const CellWeights& cell, Parameter& matrix, Index in,
                 const GateLayout& layout) {
  const Index H = cell.hidden, width = cell.gates * H;
  for (Index g = 0; g < cell.gates; ++g) {
    const auto i = static_cast<std::size_t>(g);
    const Index place = layout.place[i] * H;
    const WeightMap::Block there =
        layout.transposed ? WeightMap::Block{start + place * in, 1, in} : WeightMap::Block{start + place, width, 1};
    map.link({.array = array,
              .parameter = &matrix,
              .rows = in,
              .columns = H,
              .there = there,
              .here = {g * H, width, 1},
              .factor = cell.sign[i]});
  }
}

void link_bias(WeightMap& map, const CellWeights& cell, Index gate, BiasPlace input, const BiasPlace* recurrent) {
  using Way = WeightMap::Way;
  const auto link = [&](BiasPlace place, Parameter* parameter, Way way) {
    map.link({.array = place.array,
              .parameter = parameter,
              .rows = 1,
              .columns = cell.hidden,
              .there = {.start = place.start},
              .here = {.start = gate * cell.hidden},
              .factor = cell.sign[static_cast<std::size_t>(gate)],
              .way = way,
              .reason = way == Way::zero
                            ? "the candidate's recurrent bias is not 0, and the gru has none: make it with Bias::two"
                            : ""});
  };
  if (cell.b == nullptr) return;
  link(input, cell.b, Way::both);
  if (cell.br != nullptr)
    link(recurrent != nullptr ? *recurrent : input, cell.br, recurrent != nullptr ? Way::both : Way::save);
  else if (recurrent != nullptr)
    link(*recurrent, cell.b, gate == cell.apart ? Way::zero : Way::load);
}

WeightMap dense_layer(const Linear& linear, const char* weights, const char* bias, bool transposed) {
  const Index in = linear.in(), out = linear.out();
  WeightMap map;
  for (const NamedParameter& p : linear.named_parameters()) {
    const bool matrix = p.parameter->shape().rank() == 2, turn = matrix && transposed;
    const Shape shape = !matrix ? Shape{out} : turn ? Shape{out, in} : Shape{in, out};
    map.link({.array = map.array(matrix ? weights : bias, shape),
              .parameter = p.parameter,
              .rows = matrix ? in : 1,
              .columns = out,
              .there = turn ? WeightMap::Block{0, 1, in} : WeightMap::Block{0, out, 1},
              .here = {0, out, 1}});
  }
  return map;
}

WeightMap table(const Embedding& embedding, const char* weights) {
  const Index symbols = embedding.symbols(), width = embedding.width();
  WeightMap map;
  map.link({.array = map.array(weights, {symbols, width}),
            .parameter = &embedding.parameter("W"),
            .rows = symbols,
            .columns = width,
            .there = {0, width, 1},
            .here = {0, width, 1}});
  return map;
}

}  // namespace rw::detail
