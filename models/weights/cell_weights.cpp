#include <algorithm>

#include <rewind/core/error.h>
#include <rewind/models/weights/cell_weights.h>

namespace rw::detail {
namespace {

template <class C>
CellWeights common(const C& cell, std::string kind, Index gates, std::initializer_list<std::string_view> more) {
  CellWeights w{.kind = std::move(kind), .gates = gates, .in = cell.in(), .hidden = cell.hidden()};
  if (const Index heads = cell.shared_options().heads; heads != 1)
    throw Error(w.kind + ": the other library's has no block-diagonal R, and this one has " + std::to_string(heads) +
                " heads");
  for (const NamedParameter& p : cell.named_parameters()) {
    if (p.name == "W")
      w.W = p.parameter;
    else if (p.name == "R")
      w.R = p.parameter;
    else if (p.name == "b")
      w.b = p.parameter;
    else if (p.name == "br")
      w.br = p.parameter;
    else if (std::find(more.begin(), more.end(), p.name) != more.end())
      w.more[p.name] = p.parameter;
    else
      throw Error(w.kind + ": the other library's has nothing like the parameter '" + p.name + "'");
  }
  if (w.W->shape() != Shape{w.in, gates * w.hidden})
    throw Error(w.kind + ": the other library's has " + std::to_string(gates) + " gates, this one W " +
                w.W->shape().str());
  w.out = w.R->shape()[0];
  return w;
}

}  // namespace

CellWeights weights_of(const RnnCell& cell, std::initializer_list<std::string_view> more) {
  return common(cell, "rnn", 1, more);
}

CellWeights weights_of(const LstmCell& cell, std::initializer_list<std::string_view> more) {
  return common(cell, "lstm", 4, more);
}

CellWeights weights_of(const GruCell& cell, std::initializer_list<std::string_view> more) {
  CellWeights w = common(cell, "gru", 3, more);
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

void link_all(WeightMap& map, std::size_t array, Index start, Parameter& matrix, Index rows, Index columns,
              bool transposed) {
  map.link({.array = array,
            .parameter = &matrix,
            .rows = rows,
            .columns = columns,
            .there = transposed ? WeightMap::Block{start, 1, rows} : WeightMap::Block{start, columns, 1},
            .here = {0, columns, 1}});
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

void require_plain(const StackOptions& options, const char* function) {
  if (options.skip_input || options.skip_output || options.residual)
    throw Error(std::string(function) +
                ": the other library's stacks have no skips and no residuals: ask for the weights of each layer");
}

WeightMap dense_layer(const Linear& linear, const char* weights, const char* bias, bool transposed) {
  const Index in = linear.in(), out = linear.out();
  WeightMap map;
  for (const NamedParameter& p : linear.named_parameters()) {
    const bool matrix = p.parameter->shape().rank() == 2, turn = matrix && transposed;
    const Shape shape = !matrix ? Shape{out} : turn ? Shape{out, in} : Shape{in, out};
    link_all(map, map.array(matrix ? weights : bias, shape), 0, *p.parameter, matrix ? in : 1, out, turn);
  }
  return map;
}

WeightMap table(const Embedding& embedding, const char* weights) {
  const Shape shape{embedding.symbols(), embedding.width()};
  WeightMap map;
  link_all(map, map.array(weights, shape), 0, embedding.parameter("W"), shape[0], shape[1], false);
  return map;
}

}  // namespace rw::detail
