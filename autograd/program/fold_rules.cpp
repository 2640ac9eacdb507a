#include <algorithm>
#include <cstring>

#include <rewind/autograd/program/folder.h>

namespace rw::ir {
namespace {

bool same_kind(const Node& a, const Node& b) {
  return a.info == b.info && a.arity == b.arity && a.shape == b.shape && a.dtype == b.dtype && a.role == b.role &&
         a.backward == b.backward && a.kernel == b.kernel && a.lane == b.lane;
}

}  // namespace

bool Folder::same_structure(const Item& x, const Item& y) const {
  if ((x.loop == no_entry) != (y.loop == no_entry) || x.size != y.size) return false;
  if (x.loop == no_entry) return true;
  const Loop &a = loops_[x.loop], &b = loops_[y.loop];
  return a.steps == b.steps && std::equal(a.body.begin(), a.body.end(), b.body.begin(), b.body.end(),
                                          [&](const Item& i, const Item& j) { return same_structure(i, j); });
}

/// Whether two reads differ in nothing but where they begin.
bool Folder::same_rule(const Read& x, const Read& y, std::uint32_t depth) const {
  if (x.per != y.per) return false;
  for (std::uint32_t l = 0; l < depth; ++l) {
    if ((x.start[l] == no_entry) != (y.start[l] == no_entry)) return false;
    if (x.start[l] != no_entry && !same_rule(reads_[x.start[l]], reads_[y.start[l]], depth)) return false;
  }
  return true;
}

/// The rule from x to y goes on from y to z.
bool Folder::continues(const Read& x, const Read& y, const Read& z, std::uint32_t depth, bool first) const {
  if (y.first - x.first != z.first - y.first || !same_rule(x, y, depth)) return false;
  for (std::uint32_t l = 0; l < depth; ++l)
    if (x.start[l] != no_entry && !read_fits(reads_[x.start[l]], reads_[y.start[l]], reads_[z.start[l]], depth, first))
      return false;
  return true;
}

/// As that; or x, of the first step, reads something else where later ones read what the step before has left.
bool Folder::read_fits(const Read& x, const Read& y, const Read& z, std::uint32_t depth, bool first) const {
  if (continues(x, y, z, depth, first)) return true;
  return first && z.first - y.first == step_size_ && y.first >= begin_ && same_rule(y, z, depth);
}

bool Folder::attributes_fit(std::uint32_t first, std::uint32_t second, std::uint32_t z, std::int32_t s) {
  const OpInfo& info = *node(z).info;
  if (info.attribute_size == 0) return true;
  const void *a = node(first).op, *b = node(second).op, *c = node(z).op;
  if (info.equal(a, b)) return info.equal(b, c);
  const std::size_t words = (info.attribute_size + 7) / 8;
  scratch_.assign(3 * words, 0);
  std::uint64_t *x = scratch_.data(), *y = x + words, *made = y + words;
  std::memcpy(x, a, info.attribute_size);
  std::memcpy(y, b, info.attribute_size);
  for (std::size_t k = 0; k < words; ++k) made[k] = x[k] + static_cast<std::uint64_t>(s) * (y[k] - x[k]);
  return info.equal(made, c);
}

bool Folder::same_attribute_rule(const Rule& a, const Rule& b, const OpInfo& info) const {
  const std::size_t words = (info.attribute_size + 7) / 8;
  for (std::uint32_t l = 0; l < a.depth; ++l) {
    const std::uint64_t *x = a.attributes[l], *y = b.attributes[l];
    if ((x == nullptr) != (y == nullptr) || (x != nullptr && !std::equal(x, x + words, y))) return false;
  }
  return true;
}

bool Folder::op_fits(std::uint32_t w, std::uint32_t x, std::uint32_t y, std::uint32_t z, std::int32_t s,
                     char& free_scope) {
  const Rule &a = rule(x), &b = rule(y), &c = rule(z);
  const Node &m = node(x), &n = node(y), &o = node(z);
  why_ = {z, "is another op", 0};
  if (!same_kind(n, o) || (s == 2 && !same_kind(m, n))) return false;
  why_.what = "has other attributes";
  if (!attributes_fit(w, w + static_cast<std::uint32_t>(step_size_), z, s) || !same_attribute_rule(b, c, *o.info) ||
      (s == 2 && !same_attribute_rule(a, b, *o.info)))
    return false;
  if (o.scope - n.scope != n.scope - m.scope || b.scope != c.scope || a.scope != b.scope || a.free_scope ||
      b.free_scope || c.free_scope)
    free_scope = 1;
  why_.what = "reads something else";
  for (std::uint32_t k = 0; k < o.arity; ++k) {
    why_.input = k;
    if (!read_fits(reads_[ops_[x].reads + k], reads_[ops_[y].reads + k], reads_[ops_[z].reads + k], c.depth, s == 2))
      return false;
  }
  return true;
}

bool Folder::fits(std::uint32_t at, std::int32_t s, std::uint32_t period) {
  const std::uint32_t z0 = at + static_cast<std::uint32_t>(s) * period;
  std::size_t ops = 0;
  for (std::uint32_t i = 0; i < period; ++i) {
    const Item &x = items_[z0 + i - 2 * period], &y = items_[z0 + i - period], &z = items_[z0 + i];
    const Item& w = items_[at + i];
    why_ = {ops_of(z)[0], "is another loop", 0};
    if (!same_structure(y, z) || (s == 2 && !same_structure(x, y))) return false;
    const auto first = ops_of(w), before = ops_of(x), now = ops_of(y), next = ops_of(z);
    for (std::size_t k = 0; k < next.size(); ++k)
      if (!op_fits(first[k], before[k], now[k], next[k], s, free_scope_[ops++])) return false;
  }
  return true;
}

}  // namespace rw::ir
