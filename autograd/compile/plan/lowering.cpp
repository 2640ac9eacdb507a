#include <array>
#include <map>
#include <span>
#include <unordered_map>
#include <utility>

#include <rewind/autograd/compile/choices/choices.h>
#include <rewind/autograd/compile/plan/lowering.h>
#include <rewind/autograd/compile/plan/packing.h>
#include <rewind/autograd/program/queries.h>
#include <rewind/core/gemm/packed.h>

namespace rw::ir {
namespace {

/// Makes the steps of a plan from its graph and layout.
class Lowering {
 public:
  Lowering(Plan& plan, const CompileOptions& options)
      : p_(plan),
        g_(plan.graph),
        passes_(options.passes),
        choices_(choices_of(options)),
        has_budget_(options.memory.has_value()),
        bf16_(options.matmul == Precision::bf16 && rw::detail::bf16_is_faster() && !has_budget_) {}
  void run();

 private:
  void lower(NodeId i);
  void pack_before(NodeId begin);
  std::vector<std::pair<std::uint32_t, std::uint32_t>> uses_of_packed(std::span<const LaneUnit> units) const;
  NodeId lower_kernel(NodeId begin);
  void lower_product(NodeId i);
  std::uint32_t pack_in_bf16(NodeId product, const Plan::Product& shape);
  Plan::Product shape_of(NodeId i) const;
  bool runs_as_product(NodeId i) const;
  bool suits_packing(const Plan::Product& p) const;
  void lower_generic(NodeId i);
  void lower_copies(NodeId concat);
  void lower_copy(NodeId value, const Place& to, NodeId node);
  void begin_step(Plan::Kind kind, std::size_t index, NodeId node);
  void add_pointer(Place place, DType dtype);
  void add_pointer(NodeId value) { add_pointer(p_.layout.places[value], g_.nodes[value].dtype); }
  void add_view(NodeId value, Index stride);
  void find_uses();
  std::uint32_t share(KernelProgram program);
  void find_direct_gradients();
  void find_shared_matrices();
  std::uint32_t pack(NodeId product, const Plan::Product& shape);
  const Parameter::Data* untrained(NodeId value) const;  // a parameter, in a plan without gradients; or null

  Plan& p_;
  const Graph& g_;
  Passes passes_;
  Choices choices_;
  bool has_budget_;
  bool bf16_;  // products run in bf16; not with a budget, as what they pack grows with their number
  std::vector<bool> used_outside_;
  std::vector<std::uint32_t> gradient_of_;  // by node: the parameter to whose gradient it is added
  std::unordered_map<std::uint64_t, int> uses_of_matrix_;
  std::unordered_map<std::uint64_t, std::uint32_t> packed_;  // the number of the pack
  std::map<std::array<Index, 9>, std::uint32_t> packed_in_bf16_;
  std::unordered_multimap<std::uint64_t, std::uint32_t> by_hash_;
  std::size_t next_copy_ = 0, next_input_ = 0;
  std::vector<NodeId> operands_;
};

void Lowering::run() {
  find_uses();
  find_direct_gradients();
  find_shared_matrices();
  std::uint32_t section = 0;
  std::vector<LaneUnit> units;
  const auto end_section = [&] {
    const std::uint32_t begin = p_.sections.empty() ? 0 : p_.sections.back().end;
    const auto end = static_cast<std::uint32_t>(p_.steps.size());
    if (begin == end) return;
    p_.sections.push_back({begin, end, nullptr});
    if (!units.empty()) p_.sections.back().lanes = std::make_unique<Lanes>(g_, p_.layout, units, uses_of_packed(units));
    units.clear();
  };
  for (NodeId i = 0; i < g_.size();) {
    const Lane lane = g_.nodes[i].lane;
    if (lane.section != section) {
      if (section != 0) end_section();
      section = lane.section;
      if (section != 0) pack_before(i), end_section();
    }
    const NodeId begin = i;
    const auto before = static_cast<std::uint32_t>(p_.steps.size());
    if (g_.nodes[i].kernel != no_kernel)
      i = lower_kernel(i);
    else
      lower(i++);
    const auto after = static_cast<std::uint32_t>(p_.steps.size());
    if (lane != Lane() && before < after) units.push_back({begin, i, lane.number - 1, before, after});
  }
  end_section();
}

// Which values are read by something outside of their own kernel, through views too.
void Lowering::find_uses() {
  used_outside_.assign(g_.size(), false);
  const auto mark = [&](NodeId value) {
    used_outside_[value] = true;
    while (is_view(g_, value)) used_outside_[value = g_.in(value, 0)] = true;
  };
  for (NodeId i = 0; i < g_.size(); ++i) {
    if (is_view(g_, i) && g_.nodes[i].kernel == no_kernel) {
      if (p_.layout.computed[i]) mark(g_.in(i, 0));
      continue;
    }
    for (NodeId in : g_.in(i)) {
      NodeId from = in;
      if (g_.nodes[i].kernel != no_kernel)
        while (g_.nodes[from].kernel == g_.nodes[i].kernel && is_view(g_, from)) from = g_.in(from, 0);
      if (g_.nodes[i].kernel == no_kernel || g_.nodes[from].kernel != g_.nodes[i].kernel) mark(from);
    }
  }
  for (NodeId o : g_.outputs) mark(o);
  for (const Effect& e : g_.effects) mark(e.value);
}

void Lowering::lower(NodeId i) {
  const Node& n = g_.nodes[i];
  if (g_.is<Concat>(i)) lower_copies(i);
  if (!computes(*n.info) || !p_.layout.computed[i] || n.shape.size() == 0) return;
  if (runs_as_product(i))
    lower_product(i);
  else
    lower_generic(i);
}

void Lowering::begin_step(Plan::Kind kind, std::size_t index, NodeId node) {
  p_.steps.push_back({kind, static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(p_.pointers.size()), node});
}

void Lowering::add_pointer(Place place, DType dtype) {
  place.offset *= static_cast<Index>(size_of(dtype));
  p_.pointers.push_back(place);
}

void Lowering::add_view(NodeId value, Index stride) {
  p_.views.push_back({nullptr, g_.nodes[value].shape, stride, g_.nodes[value].dtype});
}

NodeId Lowering::lower_kernel(NodeId begin) {
  NodeId end = begin;
  while (end < g_.size() && g_.nodes[end].kernel == g_.nodes[begin].kernel) ++end;
  NodeId first = begin;
  while (first < end && is_view(g_, first)) ++first;
  if (first == end) return end;
  KernelProgram program = make_program(g_, p_.layout.places, begin, end, used_outside_, operands_);
  program.room.resize(operands_.size());
  if (program.fills_vectors())
    for (std::size_t i = 0; i < operands_.size(); ++i) {
      const Node& n = g_.nodes[operands_[i]];
      const Place& place = p_.layout.places[operands_[i]];
      const auto size = static_cast<Index>(size_of(n.dtype));
      program.room[i] = has_room(p_.layout, *g_.store, place, place.offset * size, n.shape.size() * size);
    }
  p_.calls.push_back(share(std::move(program)));
  begin_step(Plan::Kind::kernel, p_.calls.size() - 1, first);
  for (NodeId value : operands_) add_pointer(value);
  return end;
}

std::uint32_t Lowering::share(KernelProgram program) {
  const std::uint64_t h = program.hash();
  const auto [begin, end] = by_hash_.equal_range(h);
  for (auto known = begin; known != end; ++known)
    if (p_.programs[known->second].same(program)) return known->second;
  program.finish();
  p_.programs.push_back(std::move(program));
  by_hash_.emplace(h, static_cast<std::uint32_t>(p_.programs.size() - 1));
  return static_cast<std::uint32_t>(p_.programs.size() - 1);
}

void Lowering::lower_product(NodeId i) {
  Plan::Product product = shape_of(i);
  product.add = gradient_of_[i] != no_node;
  product.packed = pack_in_bf16(i, product);
  if (product.packed == no_pack)
    product.packed = pack(i, product);
  else
    product.bf16 = p_.packs[product.packed].bf16;
  begin_step(Plan::Kind::product, p_.products.size(), i);
  p_.products.push_back(product);
  add_pointer(g_.in(i, 0));
  add_pointer(g_.in(i, 1));
  if (product.add)
    add_pointer(Place{Base::gradient, gradient_of_[i], 0, product.ldc}, product.dtype);
  else
    add_pointer(i);
}

// One for all products of one shape with one matrix, which is packed before the first.
std::uint32_t Lowering::pack_in_bf16(NodeId i, const Plan::Product& p) {
  constexpr Index worth = Index{1} << 16;  // smaller ones are done before oneDNN begins
  if (!bf16_ || p.dtype != DType::f32 || p.m * p.n * p.k < worth) return no_pack;
  const NodeId b = g_.in(i, 1);
  const std::array<Index, 9> key{b, p.ta, p.tb, p.m, p.n, p.k, p.ldb, p.ldc, p.add};
  const auto [known, fresh] = packed_in_bf16_.emplace(key, static_cast<std::uint32_t>(p_.packs.size()));
  if (!fresh) return known->second;
  p_.bf16_products.push_back(std::make_unique<detail::Bf16Product>(p.ta, p.tb, p.m, p.n, p.k, p.ldb, p.ldc, p.add));
  begin_step(Plan::Kind::pack, p_.packs.size(), i);
  p_.packs.push_back({.bf16 = p_.bf16_products.back().get(), .parameter = untrained(b)});
  add_pointer(b);
  return known->second;
}

Plan::Product Lowering::shape_of(NodeId i) const {
  const Node& n = g_.nodes[i];
  const NodeId a = g_.in(i, 0), b = g_.in(i, 1);
  const ProductFact fact = product_of(g_, i);
  const auto& places = p_.layout.places;
  Plan::Product product;
  product.ta = fact.ta;
  product.tb = fact.tb;
  product.dtype = n.dtype;
  product.m = n.shape.rows();
  product.n = n.shape.cols();
  product.k = inner_length(g_, i);
  product.lda = places[a].stride;
  product.ldb = places[b].stride;
  product.ldc = places[i].stride;
  return product;
}

bool Lowering::runs_as_product(NodeId i) const {
  const Node& n = g_.nodes[i];
  return is_product_by_matrix(g_, i) && is_real(n.dtype) && n.kernel == no_kernel && p_.layout.computed[i];
}

// A product that is nothing but the gradient of a parameter is added where that stands.
void Lowering::find_direct_gradients() {
  gradient_of_.assign(g_.size(), no_node);
  p_.direct.assign(g_.effects.size(), false);
  if (!passes_.has(Pass::accumulate)) return;
  const std::vector<std::uint32_t> uses = use_counts(g_);
  for (std::size_t e = 0; e < g_.effects.size(); ++e) {
    NodeId value = g_.effects[e].value;
    while (g_.is<Reshape>(value) && uses[value] == 1) value = g_.in(value, 0);
    const Parameter::Data& data = *g_.store->parameters[g_.effects[e].parameter];
    const bool whole = g_.nodes[value].shape.size() == data.grad.size();
    if (!runs_as_product(value) || uses[value] != 1 || !whole || data.grad.dtype() != g_.nodes[value].dtype ||
        p_.layout.places[value].stride != g_.nodes[value].shape.cols())
      continue;
    gradient_of_[value] = g_.effects[e].parameter;
    p_.direct[e] = true;
  }
}

bool Lowering::suits_packing(const Plan::Product& p) const {
  return detail::suits_packed_gemm(p.tb, p.m, p.n, p.k, static_cast<Index>(choices_.packed_rows));
}

void Lowering::find_shared_matrices() {
  if (!passes_.has(Pass::pack)) return;
  for (NodeId i = 0; i < g_.size(); ++i) {
    if (!runs_as_product(i) || g_.nodes[i].dtype != DType::f32) continue;
    const Plan::Product p = shape_of(i);
    if (suits_packing(p)) ++uses_of_matrix_[matrix_key(g_.in(i, 1), p.tb)];
  }
}

const Parameter::Data* Lowering::untrained(NodeId value) const {
  const Place& place = p_.layout.places[value];
  return g_.effects.empty() && place.base == Base::parameter ? g_.store->parameters[place.id].get() : nullptr;
}

// Who packs a product's matrix, before its first use; nobody when that does not pay.
std::uint32_t Lowering::pack(NodeId i, const Plan::Product& p) {
  // Packing costs about as much as a product of few rows; but what is not trained is packed once for all replays. With
  // a budget uses say nothing: see packing.h.
  const NodeId b = g_.in(i, 1);
  const bool once = has_budget_ || (untrained(b) != nullptr && choices_.pack_from < never);
  const double worth = once ? 1 : choices_.pack_from;
  if (has_budget_ && !is_same_all_along(g_, b)) return no_pack;
  const std::uint64_t key = matrix_key(b, p.tb);
  const auto uses = uses_of_matrix_.find(key);
  if (uses == uses_of_matrix_.end() || uses->second < worth || p.dtype != DType::f32 || !suits_packing(p))
    return no_pack;
  const auto [known, fresh] = packed_.emplace(key, static_cast<std::uint32_t>(p_.packs.size()));
  if (!fresh) return known->second;
  begin_step(Plan::Kind::pack, p_.packs.size(), i);
  p_.packs.push_back({.tb = p.tb, .k = p.k, .n = p.n, .ldb = p.ldb, .parameter = untrained(b)});
  add_pointer(b);
  return known->second;
}

void Lowering::lower_generic(NodeId i) {
  const Node& n = g_.nodes[i];
  const auto in = g_.in(i);
  std::vector<Place> places;
  for (NodeId x : in) places.push_back(p_.layout.places[x]);
  const std::vector<Layout::ContiguousInput>& copies = p_.layout.contiguous_inputs;
  for (; next_input_ < copies.size() && copies[next_input_].node == i; ++next_input_) {
    const Layout::ContiguousInput& copy = copies[next_input_];
    lower_copy(in[copy.input], copy.to, i);
    places[copy.input] = copy.to;
  }
  begin_step(Plan::Kind::generic, p_.generics.size(), i);
  p_.generics.push_back(
      {n.info, n.op, static_cast<std::uint32_t>(p_.views.size()), static_cast<std::uint32_t>(in.size())});
  for (std::size_t k = 0; k < in.size(); ++k) {
    add_view(in[k], places[k].stride);
    add_pointer(places[k], g_.nodes[in[k]].dtype);
  }
  add_view(i, p_.layout.places[i].stride);
  add_pointer(i);
}

void Lowering::lower_copies(NodeId concat) {
  const std::vector<Layout::Copy>& copies = p_.layout.copies;
  for (; next_copy_ < copies.size() && copies[next_copy_].concat == concat; ++next_copy_)
    lower_copy(copies[next_copy_].piece, copies[next_copy_].to, concat);
}

void Lowering::lower_copy(NodeId value, const Place& to, NodeId node) {
  if (g_.nodes[value].shape.size() == 0) return;
  begin_step(Plan::Kind::copy, p_.views.size(), node);
  add_view(value, p_.layout.places[value].stride);
  add_view(value, to.stride);
  add_pointer(value);
  add_pointer(to, g_.nodes[value].dtype);
}

// Which steps of the units use what others of them pack.
std::vector<std::pair<std::uint32_t, std::uint32_t>> Lowering::uses_of_packed(std::span<const LaneUnit> units) const {
  std::unordered_map<std::uint32_t, std::uint32_t> packed_at;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> out;
  for (std::uint32_t s = units.front().first; s < units.back().last; ++s) {
    const Plan::Step& step = p_.steps[s];
    if (step.kind == Plan::Kind::pack) packed_at[step.index] = s;
    if (step.kind != Plan::Kind::product) continue;
    const auto at = packed_at.find(p_.products[step.index].packed);
    if (at != packed_at.end()) out.emplace_back(s, at->second);
  }
  return out;
}

// Packs what lanes of a section share before any of them runs.
void Lowering::pack_before(NodeId begin) {
  for (NodeId i = begin; i < g_.size() && g_.nodes[i].lane.section == g_.nodes[begin].lane.section; ++i) {
    if (!runs_as_product(i)) continue;
    if (behind_views(g_, g_.in(i, 1)) < begin) pack(i, shape_of(i));
  }
}

}  // namespace

Plan lower(Graph g, const CompileOptions& options) {
  Plan plan;
  plan.graph = std::move(g);
  plan.layout = layout(plan.graph, options.passes);
  Lowering(plan, options).run();
  for (NodeId o : plan.graph.outputs) plan.results.push_back(plan.value(o));
  for (const Effect& e : plan.graph.effects) plan.added.push_back(plan.value(e.value));
  return plan;
}

}  // namespace rw::ir
