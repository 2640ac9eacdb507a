#include <cstdlib>

#include <rewind/autograd/compile/plan/lowering.h>
#include <rewind/autograd/compile/plan/packing.h>
#include <rewind/core/error.h>
#include <rewind/core/gemm/packed.h>
#include <rewind/core/memory.h>

namespace rw::ir {

void Lowering::run() {
  p_.share_as(choices_);
  find_uses();
  find_direct_gradients();
  find_shared_matrices();
  std::uint32_t section = 0;
  std::vector<LaneUnit> units;
  const auto end_section = [&] {
    const std::uint32_t begin = p_.sections_.empty() ? 0 : p_.sections_.back().end;
    const auto end = static_cast<std::uint32_t>(p_.steps_.size());
    if (begin == end) return;
    p_.sections_.push_back({begin, end, nullptr});
    if (!units.empty())
      p_.sections_.back().lanes = std::make_unique<Lanes>(g_, p_.layout_, units, uses_of_packed(units));
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
    const auto before = static_cast<std::uint32_t>(p_.steps_.size());
    if (g_.nodes[i].kernel != no_kernel)
      i = lower_kernel(i);
    else
      lower(i++);
    const auto after = static_cast<std::uint32_t>(p_.steps_.size());
    if (lane != Lane() && before < after) units.push_back({begin, i, lane.number - 1, before, after});
  }
  end_section();
}

// Which values are read by something outside of their own kernel, through views too.
void Lowering::find_uses() {
  used_outside_.assign(g_.size(), false);
  const auto mark = [&](NodeId value) {
    used_outside_[value] = true;
    while (g_.nodes[value].info->alias != nullptr) used_outside_[value = g_.in(value, 0)] = true;
  };
  for (NodeId i = 0; i < g_.size(); ++i) {
    if (g_.nodes[i].info->alias != nullptr && g_.nodes[i].kernel == no_kernel) {
      if (p_.layout_.computed[i]) mark(g_.in(i, 0));
      continue;
    }
    for (NodeId in : g_.in(i)) {
      NodeId from = in;
      if (g_.nodes[i].kernel != no_kernel)
        while (g_.nodes[from].kernel == g_.nodes[i].kernel && g_.nodes[from].info->alias != nullptr)
          from = g_.in(from, 0);
      if (g_.nodes[i].kernel == no_kernel || g_.nodes[from].kernel != g_.nodes[i].kernel) mark(from);
    }
  }
  for (NodeId o : g_.outputs) mark(o);
  for (const Effect& e : g_.effects) mark(e.value);
}

void Lowering::lower(NodeId i) {
  const Node& n = g_.nodes[i];
  if (g_.is<Concat>(i)) lower_copies(i);
  if (!computes(*n.info) || !p_.layout_.computed[i] || n.shape.size() == 0) return;
  if (is_product(i))
    lower_product(i);
  else
    lower_generic(i);
}

std::uint32_t Lowering::pointer(const Place& place, DType dtype) {
  const auto at = static_cast<std::uint32_t>(p_.pointers_.size());
  const std::size_t offset = static_cast<std::size_t>(place.offset) * size_of(dtype);
  p_.pointers_.push_back(p_.address(place, dtype));
  p_.strides_.push_back(place.stride);
  p_.pointer_places_.push_back({place.base, place.id, static_cast<Index>(offset), place.stride});
  if (place.base == Base::input)
    (place.id == random_key_leaf ? p_.key_ : p_.inputs_[place.id]).patches.push_back({at, offset});
  if (place.base == Base::parameter) p_.parameters_[place.id].patches.push_back({at, offset});
  return at;
}

NodeId Lowering::lower_kernel(NodeId begin) {
  NodeId end = begin;
  while (end < g_.size() && g_.nodes[end].kernel == g_.nodes[begin].kernel) ++end;
  NodeId first = begin;
  while (first < end && g_.nodes[first].info->alias != nullptr) ++first;
  if (first == end) return end;
  KernelProgram program = make_program(g_, p_.layout_.places, begin, end, used_outside_, operands_);
  program.room.resize(operands_.size());
  if (program.fills_vectors())
    for (std::size_t i = 0; i < operands_.size(); ++i) {
      const Node& n = g_.nodes[operands_[i]];
      const Place& place = p_.layout_.places[operands_[i]];
      const auto size = static_cast<Index>(size_of(n.dtype));
      program.room[i] = has_room(p_.layout_, *g_.store, place, place.offset * size, n.shape.size() * size);
    }
  p_.calls_.push_back(share(std::move(program)));
  Plan::Step step{Plan::Kind::kernel, static_cast<std::uint32_t>(p_.calls_.size() - 1),
                  static_cast<std::uint32_t>(p_.pointers_.size()), first};
  for (NodeId value : operands_) pointer(value);
  p_.steps_.push_back(step);
  return end;
}

std::uint32_t Lowering::share(KernelProgram program) {
  const std::uint64_t h = program.hash();
  const auto [begin, end] = by_hash_.equal_range(h);
  for (auto known = begin; known != end; ++known)
    if (p_.programs_[known->second].same(program)) return known->second;
  program.finish();
  p_.programs_.push_back(std::move(program));
  by_hash_.emplace(h, static_cast<std::uint32_t>(p_.programs_.size() - 1));
  return static_cast<std::uint32_t>(p_.programs_.size() - 1);
}

void Lowering::lower_product(NodeId i) {
  const Plan::Product product = shape_of(i);
  const bool add = gradient_of_[i] != no_node;
  detail::Bf16Product* const bf16 = bf16_product(i, product, add);
  const float* panels = bf16 == nullptr ? packed(i, product) : nullptr;
  const NodeId a = g_.in(i, 0), b = g_.in(i, 1);
  p_.steps_.push_back({Plan::Kind::product, static_cast<std::uint32_t>(p_.products_.size()), pointer(a), i});
  pointer(b);
  const auto to = pointer(i);
  p_.products_.push_back(product);
  p_.products_.back().packed = panels;
  p_.products_.back().bf16 = bf16;
  if (!add) return;
  p_.gradients_[gradient_of_[i]].patches.push_back({to, 0});
  p_.products_.back().add = true;
}

// The same for all products of one shape with one matrix, which is packed before the first.
detail::Bf16Product* Lowering::bf16_product(NodeId i, const Plan::Product& p, bool add) {
  constexpr Index worth = Index{1} << 16;  // smaller ones are done before oneDNN begins
  if (!bf16_ || p.dtype != DType::f32 || p.m * p.n * p.k < worth) return nullptr;
  const NodeId b = g_.in(i, 1);
  const std::array<Index, 9> key{b, p.ta, p.tb, p.m, p.n, p.k, p.ldb, p.ldc, add};
  const auto [known, fresh] = bf16_products_.emplace(key, nullptr);
  if (!fresh) return known->second;
  p_.bf16_products_.push_back(std::make_unique<detail::Bf16Product>(p.ta, p.tb, p.m, p.n, p.k, p.ldb, p.ldc, add));
  known->second = p_.bf16_products_.back().get();
  p_.packed_bytes_ += known->second->bytes();
  p_.steps_.push_back({Plan::Kind::pack, static_cast<std::uint32_t>(p_.packs_.size()), pointer(b), i});
  p_.packs_.push_back({.bf16 = known->second, .parameter = untrained(b)});
  return known->second;
}

Plan::Product Lowering::shape_of(NodeId i) const {
  const Node& n = g_.nodes[i];
  const NodeId a = g_.in(i, 0), b = g_.in(i, 1);
  const ProductFact fact = n.info->product(n.op);
  const auto& places = p_.layout_.places;
  Plan::Product product;
  product.ta = fact.ta;
  product.tb = fact.tb;
  product.dtype = n.dtype;
  product.m = n.shape.rows();
  product.n = n.shape.cols();
  product.k = fact.ta ? g_.nodes[a].shape.rows() : g_.nodes[a].shape.cols();
  product.lda = places[a].stride;
  product.ldb = places[b].stride;
  product.ldc = places[i].stride;
  return product;
}

bool Lowering::is_product(NodeId i) const {
  const Node& n = g_.nodes[i];
  return n.info->product != nullptr && is_real(n.dtype) && n.kernel == no_kernel && p_.layout_.computed[i] &&
         n.shape.size() > 0 && g_.nodes[g_.in(i, 1)].shape.rank() == 2;
}

// A product that is nothing but the gradient of a parameter is added where that stands.
void Lowering::find_direct_gradients() {
  gradient_of_.assign(g_.size(), no_node);
  if (!passes_.has(Pass::accumulate)) return;
  const std::vector<std::uint32_t> uses = use_counts(g_);
  for (std::size_t e = 0; e < g_.effects.size(); ++e) {
    NodeId value = g_.effects[e].value;
    while (g_.is<Reshape>(value) && uses[value] == 1) value = g_.in(value, 0);
    const Parameter::Data& data = *g_.store->parameters[g_.effects[e].parameter];
    const bool whole = g_.nodes[value].shape.size() == data.grad.size();
    if (!is_product(value) || uses[value] != 1 || !whole || data.grad.dtype() != g_.nodes[value].dtype ||
        p_.layout_.places[value].stride != g_.nodes[value].shape.cols())
      continue;
    gradient_of_[value] = g_.effects[e].parameter;
    p_.direct_[e] = true;
  }
}

bool Lowering::suits_packing(const Plan::Product& p) const {
  return detail::suits_packed_gemm(p.tb, p.m, p.n, p.k, static_cast<Index>(choices_.packed_rows));
}

void Lowering::find_shared_matrices() {
  if (!passes_.has(Pass::pack)) return;
  for (NodeId i = 0; i < g_.size(); ++i) {
    if (!is_product(i) || g_.nodes[i].dtype != DType::f32) continue;
    const Plan::Product p = shape_of(i);
    if (suits_packing(p)) ++uses_of_matrix_[matrix_key(g_.in(i, 1), p.tb)];
  }
}

const Parameter::Data* Lowering::untrained(NodeId value) const {
  const Place& place = p_.layout_.places[value];
  return g_.effects.empty() && place.base == Base::parameter ? g_.store->parameters[place.id].get() : nullptr;
}

// The panels of a product's matrix, packed before its first use; null when that does not pay.
const float* Lowering::packed(NodeId i, const Plan::Product& p) {
  // Packing costs about as much as a product of few rows; but what is not trained is packed once for all replays. With
  // a budget uses say nothing: see packing.h.
  const bool once = has_budget_ || (untrained(g_.in(i, 1)) != nullptr && choices_.pack_from < never);
  const double worth = once ? 1 : choices_.pack_from;
  if (has_budget_ && !is_same_all_along(g_, g_.in(i, 1))) return nullptr;
  const std::uint64_t key = matrix_key(g_.in(i, 1), p.tb);
  const auto uses = uses_of_matrix_.find(key);
  if (uses == uses_of_matrix_.end() || uses->second < worth || p.dtype != DType::f32 || !suits_packing(p))
    return nullptr;
  const auto [known, fresh] = packed_.emplace(key, nullptr);
  if (!fresh) return known->second;
  const std::size_t bytes = static_cast<std::size_t>(detail::packed_size(p.k, p.n)) * sizeof(float);
  auto* to = static_cast<std::byte*>(detail::allocate_vectors(bytes));
  if (to == nullptr) throw Error("compile: no memory for packed matrices");
  p_.packed_.emplace_back(to);
  p_.packed_bytes_ += bytes;
  p_.steps_.push_back({Plan::Kind::pack, static_cast<std::uint32_t>(p_.packs_.size()), pointer(g_.in(i, 1)), i});
  p_.packs_.push_back({p.tb, p.k, p.n, p.ldb, reinterpret_cast<float*>(to), nullptr, untrained(g_.in(i, 1))});
  return known->second = reinterpret_cast<float*>(to);
}

void Lowering::lower_generic(NodeId i) {
  const Node& n = g_.nodes[i];
  const auto in = g_.in(i);
  std::vector<Place> places;
  for (NodeId x : in) places.push_back(p_.layout_.places[x]);
  const std::vector<Layout::ContiguousInput>& copies = p_.layout_.contiguous_inputs;
  for (; next_input_ < copies.size() && copies[next_input_].node == i; ++next_input_) {
    const Layout::ContiguousInput& copy = copies[next_input_];
    lower_copy(in[copy.input], copy.to, i);
    places[copy.input] = copy.to;
  }
  Plan::Generic generic{n.info, n.op, static_cast<std::uint32_t>(p_.views_.size()),
                        static_cast<std::uint32_t>(in.size())};
  const auto at = static_cast<std::uint32_t>(p_.pointers_.size());
  for (std::size_t k = 0; k < in.size(); ++k) {
    const Node& x = g_.nodes[in[k]];
    p_.views_.push_back({nullptr, x.shape, places[k].stride, x.dtype});
    pointer(places[k], x.dtype);
  }
  p_.views_.push_back({nullptr, n.shape, p_.layout_.places[i].stride, n.dtype});
  pointer(i);
  p_.steps_.push_back({Plan::Kind::generic, static_cast<std::uint32_t>(p_.generics_.size()), at, i});
  p_.generics_.push_back(generic);
}

void Lowering::lower_copies(NodeId concat) {
  const std::vector<Layout::Copy>& copies = p_.layout_.copies;
  for (; next_copy_ < copies.size() && copies[next_copy_].concat == concat; ++next_copy_)
    lower_copy(copies[next_copy_].piece, copies[next_copy_].to, concat);
}

void Lowering::lower_copy(NodeId value, const Place& to, NodeId node) {
  const Node& n = g_.nodes[value];
  if (n.shape.size() == 0) return;
  const auto at = pointer(value);
  const auto view = static_cast<std::uint32_t>(p_.views_.size());
  p_.views_.push_back({nullptr, n.shape, p_.layout_.places[value].stride, n.dtype});
  pointer(to, n.dtype);
  p_.views_.push_back({nullptr, n.shape, to.stride, n.dtype});
  p_.steps_.push_back({Plan::Kind::copy, view, at, node});
}

// Which steps of the units use what others of them pack.
std::vector<std::pair<std::uint32_t, std::uint32_t>> Lowering::uses_of_packed(std::span<const LaneUnit> units) const {
  std::unordered_map<const float*, std::uint32_t> packed_at;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> out;
  for (std::uint32_t s = units.front().first; s < units.back().last; ++s) {
    const Plan::Step& step = p_.steps_[s];
    if (step.kind == Plan::Kind::pack) packed_at[p_.packs_[step.index].to] = s;
    if (step.kind != Plan::Kind::product) continue;
    const auto at = packed_at.find(p_.products_[step.index].packed);
    if (at != packed_at.end()) out.emplace_back(s, at->second);
  }
  return out;
}

// Packs what lanes of a section share before any of them runs.
void Lowering::pack_before(NodeId begin) {
  for (NodeId i = begin; i < g_.size() && g_.nodes[i].lane.section == g_.nodes[begin].lane.section; ++i) {
    if (!is_product(i)) continue;
    NodeId b = g_.in(i, 1);
    while (g_.nodes[b].info->alias != nullptr) b = g_.in(b, 0);
    if (b < begin) packed(i, shape_of(i));
  }
}

}  // namespace rw::ir
