#include <rewind/autograd/compile/lowering.h>
#include <rewind/core/error.h>

namespace rw::ir {

void Lowering::run() {
  find_uses();
  for (NodeId i = 0; i < g_.size();) {
    if (g_.nodes[i].kernel != no_kernel) {
      i = lower_kernel(i);
      continue;
    }
    lower(i++);
  }
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
  const auto in = g_.in(i);
  if (n.info->product != nullptr && is_real(n.dtype) && g_.nodes[in[1]].shape.rank() == 2)
    lower_product(i);
  else
    lower_generic(i);
}

std::uint32_t Lowering::pointer(const Place& place, DType dtype) {
  const auto at = static_cast<std::uint32_t>(p_.pointers_.size());
  const std::size_t offset = static_cast<std::size_t>(place.offset) * size_of(dtype);
  p_.pointers_.push_back(p_.address(place, dtype));
  p_.strides_.push_back(place.stride);
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
  Program program = make_program(g_, begin, end, used_outside_, operands_);
  p_.calls_.push_back(share(std::move(program)));
  Plan::Step step{Plan::Kind::kernel, static_cast<std::uint32_t>(p_.calls_.size() - 1),
                  static_cast<std::uint32_t>(p_.pointers_.size()), first};
  for (NodeId value : operands_) pointer(value);
  p_.steps_.push_back(step);
  return end;
}

std::uint32_t Lowering::share(Program program) {
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
  const Node& n = g_.nodes[i];
  const NodeId a = g_.in(i, 0), b = g_.in(i, 1);
  const ProductFact fact = n.info->product(n.op);
  const auto& places = p_.layout_.places;
  Plan::Product product{fact.ta, fact.tb, false, n.dtype, n.shape.rows(), n.shape.cols(), 0, 0, 0, 0};
  product.k = fact.ta ? g_.nodes[a].shape.rows() : g_.nodes[a].shape.cols();
  product.lda = places[a].stride;
  product.ldb = places[b].stride;
  product.ldc = places[i].stride;
  Plan::Step step{Plan::Kind::product, static_cast<std::uint32_t>(p_.products_.size()), pointer(a), i};
  pointer(b);
  pointer(i);
  p_.products_.push_back(product);
  p_.steps_.push_back(step);
}

void Lowering::lower_generic(NodeId i) {
  const Node& n = g_.nodes[i];
  const auto in = g_.in(i);
  std::vector<Place> places;
  for (NodeId x : in) places.push_back(p_.layout_.places[x]);
  const std::vector<Layout::Pack>& packs = p_.layout_.packs;
  for (; next_pack_ < packs.size() && packs[next_pack_].node == i; ++next_pack_) {
    const Layout::Pack& pack = packs[next_pack_];
    lower_copy(in[pack.input], pack.to, i);
    places[pack.input] = pack.to;
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

}  // namespace rw::ir
