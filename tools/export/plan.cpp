#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include <fmt/format.h>

#include <rewind/autograd/program/queries.h>
#include <rewind/core/error.h>
#include <rewind/tools/export/expressions.h>
#include <rewind/tools/export/plan.h>
#include <rewind/tools/export/weights.h>

namespace rw::detail {
namespace {

using ir::Graph;

Shape without_ones(const Shape& shape) {
  Shape out;
  for (const Index d : shape)
    if (d != 1) out = out.inserted(out.rank(), d);
  return out;
}

/// Whether the value is a contiguous part of its input's memory. All values of a step are contiguous.
bool is_part(const Graph& g, NodeId i) {
  if (g.is<Reshape>(i) || g.nodes[i].info->same_value) return true;
  if (!g.is<Slice>(i)) return false;
  for (int a = 0; a < g.op<Slice>(i).axis; ++a)
    if (g.nodes[i].shape[a] != 1) return false;
  return true;
}

class Planner {
 public:
  Planner(StepProgram program, Index pad, bool int8) : pad_(pad), int8_(int8) {
    plan_.program = std::move(program);
    plan_.places.resize(g().size());
    stage_.resize(g().size());
    unit_.resize(g().size(), -1);
    consumers_.resize(g().size());
    for (NodeId i = 0; i < g().size(); ++i)
      for (const NodeId x : g().in(i)) consumers_[x].push_back(i);
    for (const NodeId o : g().outputs) is_result_.insert(ir::behind_reshapes(g(), o));
  }

  Plan run() {
    place_leaves();
    absorb_sums();
    for (NodeId i = 0; i < g().size(); ++i)
      if (is_step(i)) stage_[i] = earliest(i);
    sink();
    make_units();
    place_values();
    for (Unit& u : plan_.units) plan_unit(u);
    if (int8_) round_weights();
    make_room();
    return std::move(plan_);
  }

 private:
  const Graph& g() const { return plan_.program.graph; }
  Buffer& buffer(const Place& p) { return plan_.buffers[at(p.buffer)]; }

  /// Whether it is computed where the program runs.
  bool is_step(NodeId i) const { return ir::computes(*g().nodes[i].info) && !g().is<Fill>(i) && !is_part(g(), i); }

  Place add_buffer(Buffer b) {
    b.capacity = std::max(b.capacity, b.size);
    plan_.buffers.push_back(std::move(b));
    plan_.written.push_back(plan_.buffers.back().size);
    return {static_cast<int>(plan_.buffers.size()) - 1, 0};
  }

  // ---- Leaves

  void place_leaves() {
    for (NodeId i = 0; i < g().size(); ++i) {
      const ir::Node& n = g().nodes[i];
      if (g().is<Constant>(i)) place_weight(i, plan_.program.constant_names[n.leaf], g().store->constants[n.leaf]);
      if (n.role == Role::parameter) {
        Tape tape(g().real);
        const Array value = tape.constant(g().store->parameters[n.leaf]->value).array();
        place_weight(i, plan_.program.parameter_names[n.leaf], value);
      }
      if (n.role != Role::input) continue;
      const std::string& name = plan_.program.inputs[n.leaf];
      const bool carried = name.find('.') != std::string::npos;
      plan_.places[i] = add_buffer({.kind = carried ? Buffer::Kind::state : Buffer::Kind::x,
                                    .name = name,
                                    .size = n.shape.size(),
                                    .dtype = n.dtype});
    }
  }

  void place_weight(NodeId i, const std::string& given, const Array& value) {
    const ir::Node& n = g().nodes[i];
    std::string name = given.empty() ? fmt::format("{}constant{}", plan_.program.prefix, n.leaf) : weight_name(given);
    while (!names_.insert(name).second) name += "_";
    plan_.places[i] = add_buffer({.kind = Buffer::Kind::weight,
                                  .name = name,
                                  .size = n.shape.size(),
                                  .dtype = n.dtype,
                                  .value = value,
                                  .is_parameter = n.role == Role::parameter});
  }

  // ---- What runs when

  /// Whether it is computed number by number, beside others. A function such as tanh has a loop of its own: in one with
  /// what waits for it a processor computes a few numbers to the end before it sees the next.
  bool shares_loops(NodeId i) const { return is_loop_op(g(), i) && !absorbed(i) && !takes_a_function(g(), i); }
  /// The same numbers in the same order, of a loop over the same shape.
  bool fits_loop_of(NodeId i, NodeId x) const {
    return shares_loops(i) && shares_loops(x) && without_ones(g().nodes[i].shape) == without_ones(g().nodes[x].shape);
  }
  bool absorbed(NodeId sum) const { return sums_.contains(sum); }

  /// What of the program an input of a node waits for, and whether it could be a variable of the node's loop.
  struct Wait {
    NodeId node;
    bool same_loop;
  };
  Wait wait(NodeId i, NodeId x) const {
    const NodeId direct = ir::behind_reshapes(g(), x);
    if (is_step(direct)) return {direct, fits_loop_of(i, direct)};
    NodeId base = x;
    while (is_part(g(), base)) base = g().in(base, 0);
    return {base, false};
  }

  std::vector<NodeId> inputs(NodeId i) const {
    if (!absorbed(i)) return {g().in(i).begin(), g().in(i).end()};
    const Sum& s = sums_.at(i);
    return {g().in(s.product, 0), g().in(s.product, 1), s.other};
  }

  int earliest(NodeId i) const {
    int stage = 0;
    for (const NodeId x : inputs(i)) {
      const Wait w = wait(i, x);
      if (is_step(w.node)) stage = std::max(stage, stage_[w.node] + (w.same_loop ? 0 : 1));
    }
    return stage;
  }

  /// The nodes that are computed and read this one, through parts of it.
  void readers(NodeId i, std::vector<NodeId>& out) const {
    for (const NodeId c : consumers_[i]) {
      if (is_part(g(), c))
        readers(c, out);
      else
        out.push_back(c);
    }
  }

  /// A loop goes as late as it can: next to the loop that reads it, if there is one.
  void sink() {
    for (NodeId i = g().size(); i-- > 0;) {
      if (!is_step(i) || !is_loop_op(g(), i) || absorbed(i)) continue;
      std::vector<NodeId> all;
      readers(i, all);
      int latest = -1;
      for (NodeId c : all) {
        if (const auto sum = product_of_.find(c); sum != product_of_.end()) c = sum->second;
        bool same_loop = !absorbed(c) && fits_loop_of(c, i);
        for (const NodeId x : g().in(c))
          if (ir::behind_reshapes(g(), x) != i && depends(x, i)) same_loop = false;
        const int before = stage_[c] - (same_loop ? 0 : 1);
        latest = latest < 0 ? before : std::min(latest, before);
      }
      stage_[i] = std::max(stage_[i], latest);
    }
  }
  /// Whether x is a part of i.
  bool depends(NodeId x, NodeId i) const {
    while (x != i && is_part(g(), x)) x = g().in(x, 0);
    return x == i;
  }

  // ---- Sums that begin where a product's other side ends

  struct Sum {
    NodeId product, other;
  };
  bool is_row_product(NodeId i) const {
    return ir::is_product(g(), i) && g().nodes[g().in(i, 1)].shape.rank() == 2 && !ir::product_of(g(), i).ta;
  }
  /// A product that this sum alone reads becomes part of it.
  void absorb_sums() {
    for (NodeId i = 0; i < g().size(); ++i) {
      const ElementwiseFact* fact = g().nodes[i].info->elementwise;
      if (fact == nullptr || fact->arithmetic != Arithmetic::add) continue;
      for (const std::uint32_t side : {1u, 0u}) {
        const NodeId p = g().in(i, side), other = g().in(i, 1 - side);
        if (!is_row_product(p) || consumers_[p].size() != 1 || is_result_.contains(p)) continue;
        if (g().nodes[p].shape.size() != g().nodes[i].shape.size() || p == other) continue;
        sums_.emplace(i, Sum{p, other});
        product_of_.emplace(p, i);
        break;
      }
    }
  }

  // ---- Units

  void make_units() {
    std::map<std::pair<int, std::string>, std::size_t> loops;
    std::vector<Unit>& units = plan_.units;
    for (NodeId i = 0; i < g().size(); ++i) {
      if (!is_step(i) || product_of_.contains(i)) continue;
      if (shares_loops(i)) {
        const auto [found, fresh] =
            loops.try_emplace({stage_[i], without_ones(g().nodes[i].shape).str()}, units.size());
        if (fresh) units.push_back({.kind = Unit::Kind::loop, .nodes = {}, .stage = stage_[i]});
        units[found->second].nodes.push_back(i);
      } else {
        Unit u{.nodes = {i}, .stage = stage_[i]};
        if (is_loop_op(g(), i)) u.kind = Unit::Kind::loop;
        if (ir::is_product(g(), i) || absorbed(i)) u.kind = Unit::Kind::product;
        if (u.kind == Unit::Kind::product) u.product = absorbed(i) ? sums_.at(i).product : i;
        if (absorbed(i)) u.begins_with = sums_.at(i).other;
        units.push_back(u);
      }
    }
    std::stable_sort(units.begin(), units.end(), [](const Unit& a, const Unit& b) { return a.stage < b.stage; });
    for (std::size_t u = 0; u < units.size(); ++u)
      for (const NodeId i : units[u].nodes) unit_[i] = static_cast<int>(u);
  }

  // ---- Memory

  /// Whether somebody outside of its loop reads it.
  bool needs_memory(NodeId i) const {
    if (is_result_.contains(i)) return true;
    std::vector<NodeId> all;
    readers(i, all);
    for (NodeId c : all) {
      if (const auto sum = product_of_.find(c); sum != product_of_.end()) c = sum->second;
      if (unit_[c] != unit_[i]) return true;
      for (const NodeId x : g().in(c))
        if (depends(x, i) && ir::behind_reshapes(g(), x) != i) return true;
    }
    for (const NodeId o : g().outputs)
      if (depends(o, i)) return true;
    return false;
  }

  /// A sum that alone reads what it begins with goes on in its place.
  bool goes_on_in_place(const Unit& u) const {
    if (u.begins_with == no_node || !absorbed(u.begins_with)) return false;
    return consumers_[u.begins_with].size() == 1 && !is_result_.contains(u.begins_with) &&
           g().nodes[u.begins_with].shape.size() == g().nodes[u.nodes[0]].shape.size();
  }

  void place_values() {
    for (NodeId i = 0; i < g().size(); ++i)
      if (g().is<Fill>(i) && needs_array(i)) place_fill(i);
    for (Unit& u : plan_.units) {
      u.in_place = u.kind == Unit::Kind::product && goes_on_in_place(u);
      for (const NodeId i : u.nodes) {
        if (u.in_place)
          plan_.places[i] = plan_.places[u.begins_with];
        else if (u.kind != Unit::Kind::loop || needs_memory(i))
          plan_.places[i] = add_buffer({.kind = Buffer::Kind::local,
                                        .name = fmt::format("{}_{}", c_name(g().nodes[i].info->name), i),
                                        .size = g().nodes[i].shape.size(),
                                        .dtype = g().nodes[i].dtype});
      }
    }
    for (NodeId i = 0; i < g().size(); ++i) {
      if (!is_part(g(), i)) continue;
      Place p = plan_.places[g().in(i, 0)];
      if (g().is<Slice>(i)) {
        const Slice& s = g().op<Slice>(i);
        Index inner = 1;
        for (int a = static_cast<int>(s.axis) + 1; a < g().nodes[i].shape.rank(); ++a) inner *= g().nodes[i].shape[a];
        p.offset += s.start * inner;
      }
      plan_.places[i] = p;
    }
  }

  /// One number many times over, where it is read as an array.
  bool needs_array(NodeId i) const {
    for (std::size_t k = 0; k < g().outputs.size(); ++k)
      if (depends(g().outputs[k], i) && !adds_nothing(plan_.program, k)) return true;
    for (const NodeId c : consumers_[i])
      if (!is_loop_op(g(), c)) return true;
    return false;
  }
  void place_fill(NodeId i) {
    const ir::Node& n = g().nodes[i];
    Array all(n.shape, n.dtype);
    all.fill(g().op<Fill>(i).value);
    plan_.places[i] = add_buffer({.kind = Buffer::Kind::weight,
                                  .name = fmt::format("{}fill{}", plan_.program.prefix, i),
                                  .size = n.shape.size(),
                                  .dtype = n.dtype,
                                  .value = std::move(all)});
  }

  // ---- The insides of units

  void plan_unit(Unit& u) {
    if (u.kind == Unit::Kind::loop) plan_loop(u);
    if (u.kind == Unit::Kind::product) plan_product(u);
  }

  Read read(NodeId i, NodeId x, const Shape& loop) const {
    const NodeId direct = ir::behind_reshapes(g(), x);
    if (is_step(direct) && unit_[direct] >= 0 && unit_[direct] == unit_[i] && fits_loop_of(i, direct))
      return {.variable = direct};
    if (g().is<Fill>(direct)) return {.number = literal(g().op<Fill>(direct).value, g().real)};
    Read r{.place = plan_.places[x]};
    const Shape& from = g().nodes[x].shape;
    std::vector<Index> strides(at(loop.rank()), 0);
    Index stride = 1;
    for (int a = from.rank(); a-- > 0;) {
      if (from[a] != 1) strides[at(a + loop.rank() - from.rank())] = stride;
      stride *= from[a];
    }
    for (int a = 0; a < loop.rank(); ++a)
      if (loop[a] != 1) r.strides.push_back(strides[at(a)]);
    return r;
  }

  /// Axes along which everything is read as along one become one.
  static void merge_axes(Unit& u) {
    for (std::size_t a = u.lengths.size(); a-- > 1;) {
      bool one = true;
      for (const auto& reads : u.reads)
        for (const Read& r : reads)
          one = one && (r.place.buffer < 0 || r.strides[a - 1] == r.strides[a] * u.lengths[a]);
      if (!one) continue;
      u.lengths[a - 1] *= u.lengths[a];
      u.lengths.erase(u.lengths.begin() + static_cast<std::ptrdiff_t>(a));
      for (auto& reads : u.reads)
        for (Read& r : reads)
          if (r.place.buffer >= 0) r.strides.erase(r.strides.begin() + static_cast<std::ptrdiff_t>(a - 1));
    }
  }

  void plan_loop(Unit& u) {
    for (const Index d : without_ones(g().nodes[u.nodes[0]].shape)) u.lengths.push_back(d);
    for (const NodeId i : u.nodes) {
      u.reads.emplace_back();
      for (const NodeId x : g().in(i)) u.reads.back().push_back(read(i, x, g().nodes[i].shape));
    }
    merge_axes(u);
    if (u.lengths.size() == 1) round_up(u);
  }

  /// One loop of a length that is a multiple of `pad`: no rest that is computed number by number.
  void round_up(Unit& u) {
    const Index n = u.lengths[0], rounded = (n + pad_ - 1) / pad_ * pad_;
    if (2 * n <= pad_ || rounded == n) return;
    u.lengths[0] = rounded;
    for (const auto& reads : u.reads)
      for (const Read& r : reads)
        if (r.place.buffer >= 0 && r.strides[0] == 1) need(r.place, rounded);
    for (const NodeId i : u.nodes)
      if (plan_.places[i].buffer >= 0) {
        need(plan_.places[i], rounded);
        plan_.written[at(plan_.places[i].buffer)] = rounded;
      }
  }
  void need(const Place& p, Index numbers) { buffer(p).capacity = std::max(buffer(p).capacity, p.offset + numbers); }

  void plan_product(Unit& u) {
    if (u.begins_with != no_node) u.reads = {{read(u.nodes[0], u.begins_with, g().nodes[u.nodes[0]].shape)}};
    for (const Index d : without_ones(g().nodes[u.nodes[0]].shape)) u.lengths.push_back(d);
    merge_axes(u);
    const NodeId w = g().in(u.product, 1);
    const ProductFact fact = ir::product_of(g(), u.product);
    u.rows_of_weights = fact.tb;
    const bool own = g().is<Constant>(w) && consumers_[w].size() == 1 && g().nodes[w].shape.rank() == 2 && !fact.ta;
    const Index columns = g().nodes[u.product].shape.cols();
    if (own && (columns >= 4) == u.rows_of_weights) transpose(u, w);
  }

  /// Few columns are sums along rows that lie in memory, many are rows that are added.
  void transpose(Unit& u, NodeId w) {
    Array& value = buffer(plan_.places[w]).value;
    const Index rows = value.shape()[0], columns = value.shape()[1];
    Array turned(Shape{columns, rows}, value.dtype());
    visit_real(value.dtype(), [&]<class T>() {
      for (Index r = 0; r < rows; ++r)
        for (Index c = 0; c < columns; ++c) turned.span<T>()[at(c * rows + r)] = value.span<T>()[at(r * columns + c)];
    });
    value = std::move(turned);
    u.rows_of_weights = !u.rows_of_weights;
    buffer(plan_.places[w]).turned = true;
  }

  // ---- Weights in int8

  /// Matrices that one product reads, or one table's lookups.
  void round_weights() {
    for (NodeId i = 0; i < g().size(); ++i) {
      if (!g().is<Constant>(i) || g().nodes[i].shape.rank() != 2 || !is_real(g().nodes[i].dtype)) continue;
      if (consumers_[i].size() != 1 || g().nodes[i].shape.size() == 0) continue;
      const NodeId c = consumers_[i][0];
      const bool is_table = g().nodes[c].info->name == "lookup" && g().in(c, 0) == i;
      if ((is_row_product(c) && g().in(c, 1) == i) || is_table) round(buffer(plan_.places[i]));
    }
  }
  static void round(Buffer& b) {
    b.int8 = true;
    b.scales = round_rows(b.value, b.name);
  }

  /// Room ends at a multiple of `pad`, too.
  void make_room() {
    for (Buffer& b : plan_.buffers)
      if (b.capacity > b.size) b.capacity = (b.capacity + pad_ - 1) / pad_ * pad_;
  }

  Index pad_;
  bool int8_;
  Plan plan_;
  std::vector<int> stage_, unit_;
  std::vector<std::vector<NodeId>> consumers_;
  std::set<NodeId> is_result_;
  std::map<NodeId, Sum> sums_;
  std::map<NodeId, NodeId> product_of_;  // a product's sum
  std::set<std::string> names_;
};

}  // namespace

bool is_loop_op(const Graph& g, NodeId i) {
  const OpInfo& info = *g.nodes[i].info;
  return info.elementwise != nullptr || g.is<AddN>(i) || g.is<BroadcastTo>(i);
}

bool adds_nothing(const StepProgram& program, std::size_t result) {
  const NodeId o = ir::behind_reshapes(program.graph, program.graph.outputs[result]);
  return program.results[result].adds && program.graph.is<Fill>(o) && program.graph.op<Fill>(o).value == 0;
}

std::string literal(double value, DType real) {
  if (std::isnan(value)) return "Real(NAN)";
  if (std::isinf(value)) return value > 0 ? "Real(INFINITY)" : "-Real(INFINITY)";
  std::string text = real == DType::f32 ? fmt::format("{}", static_cast<float>(value)) : fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return real == DType::f32 ? text + "f" : text;
}

Plan make_plan(StepProgram program, Index pad, bool int8) { return Planner(std::move(program), pad, int8).run(); }

}  // namespace rw::detail
