#include <fmt/format.h>

#include <rewind/autograd/compile/passes/batch.h>

namespace rw::ir {

// Sums of products, and of row sums.

bool Batcher::is_product(NodeId i) const {
  return g_.nodes[i].info->product != nullptr && g_.nodes[i].info->rows_are_independent != nullptr;
}

bool Batcher::is_row_sum(NodeId i) const {
  if (!g_.is<SumTo>(i) || shape(i).size() != shape(i).cols()) return false;
  return shape(i).cols() == shape(g_.in(i, 0)).cols() || shape(i).size() == 1;
}

// Orders are settled first, those of operands that stand in an order already before the others.
void Batcher::sums() {
  std::vector<Sum> all;
  for (NodeId i = 0; i < old_; ++i)
    if (g_.is<AddN>(i)) collect(i, all);
  const std::uint32_t both[] = {0, 1}, one[] = {0};
  const auto settle = [&](Group& group, std::span<const std::uint32_t> operands) {
    order(group, operands);
    for (std::uint32_t k : operands) {
      std::vector<NodeId> pieces;
      for (NodeId m : group) pieces.push_back(g_.in(m, k));
      remember(pieces);
    }
  };
  const auto given = [&](const Group& g) { return in_one_base(g, 0) || in_one_base(g, 1); };
  for (const bool first : {true, false})
    for (Sum& s : all)
      if (!s.products.empty() && given(s.products) == first) settle(s.products, both);
  for (Sum& s : all)
    if (!s.row_sums.empty()) settle(s.row_sums, one);
  for (const Sum& s : all) rewrite(s);
}

void Batcher::collect(NodeId sum, std::vector<Sum>& all) {
  Sum s{sum, {}, {}, {}};
  const auto fits = [&](const Group& group, NodeId t) {
    return group.empty() ||
           (g_.nodes[t].info == g_.nodes[group[0]].info &&
            (g_.nodes[t].info->attribute_size == 0 || g_.nodes[t].info->equal(g_.nodes[t].op, g_.nodes[group[0]].op)));
  };
  for (NodeId t : g_.in(sum)) {
    const bool mine = uses_[t] == 1;
    if (mine && is_product(t) && fact(g_.nodes[t].info->sums_over_rows, t) && shape(t).rank() == 2 &&
        fits(s.products, t))
      s.products.push_back(t);
    else if (mine && is_row_sum(t) && fits(s.row_sums, t) &&
             (s.row_sums.empty() || shape(g_.in(t, 0)).cols() == shape(g_.in(s.row_sums[0], 0)).cols()))
      s.row_sums.push_back(t);
    else
      s.rest.push_back(t);
  }
  for (Group* group : {&s.products, &s.row_sums})
    if (group->size() < 2) s.rest.insert(s.rest.end(), group->begin(), group->end()), group->clear();
  if (!s.products.empty() || !s.row_sums.empty()) all.push_back(std::move(s));
}

void Batcher::rewrite(const Sum& s) {
  const Node like = g_.nodes[s.node];
  Group terms = s.rest;
  if (!s.products.empty()) terms.insert(terms.begin(), long_product(s.products, like));
  if (!s.row_sums.empty()) terms.insert(terms.begin(), long_sum(s.row_sums, like));
  forward_[s.node] = terms.size() == 1 ? terms[0] : g_.add(AddN{}, terms, like);
}

NodeId Batcher::long_product(const Group& group, const Node& like) {
  const NodeId a = stacked(group, 0, like), b = stacked(group, 1, like);
  const Node first = g_.nodes[group[0]];
  notes_.lines.push_back(fmt::format("{} products {} x {} that are summed: one product over {} rows", group.size(),
                                     shape(g_.in(group[0], 0)).str(), shape(g_.in(group[0], 1)).str(), shape(a)[0]));
  return g_.add(*first.info, first.op, std::array{a, b}, first);
}

NodeId Batcher::long_sum(const Group& group, const Node& like) {
  const NodeId all = stacked(group, 0, like);
  const Shape to = shape(group[0]);
  notes_.lines.push_back(fmt::format("{} sums of rows {}: one over {} rows", group.size(),
                                     shape(g_.in(group[0], 0)).str(), shape(all)[0]));
  if (to.rank() <= 2) return g_.add(SumTo{to}, {all}, like);
  return g_.add(Reshape{to}, {g_.add(SumTo{Shape{to.cols()}}, {all}, like)}, like);
}

}  // namespace rw::ir
