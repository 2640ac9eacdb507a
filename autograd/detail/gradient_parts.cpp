#include <algorithm>
#include <map>

#include <rewind/autograd/detail/gradient_parts.h>
#include <rewind/autograd/structural.h>

namespace rw::detail {
namespace {

using Starts = std::array<std::int32_t, max_rank>;
using Parts = std::vector<GradientPart>;

/// Some elements of the whole: from `start` on.
struct Region {
  Shape shape;
  Starts start{};
};

class PartSum {
 public:
  PartSum(TapeData& tape, const Shape& whole) : tape_(tape), whole_(whole) {}

  NodeId run(std::span<const GradientPart> parts) {
    if (std::all_of(parts.begin(), parts.end(), [&](const GradientPart& part) { return dense(part); }))
      return sum_of_dense(parts);
    const std::vector<Parts> groups = groups_of(parts);
    if (groups.size() == 1) return concat_slices(groups[0]);
    const Region all{whole_, {}};
    const Index padded = static_cast<Index>(groups.size()) * whole_.size();
    if (cost_in_pieces(parts) < padded) return sum(all, Parts(parts.begin(), parts.end()));
    std::vector<Operand> terms;
    terms.reserve(groups.size());
    for (const Parts& group : groups) terms.emplace_back(tape_.tensor(concat_slices(group)));
    return tape_.id(record(AddN{}, std::span<const Operand>(terms)));
  }

  // Parts that follow each other and do not overlap, since all are slices of one axis; any other part is alone.
  std::vector<Parts> groups_of(std::span<const GradientPart> parts) const {
    std::vector<Parts> groups;
    std::map<Index, Index> taken;  // of the last group: begin and end
    int axis = -1;
    for (const GradientPart& part : parts) {
      const int own = only_axis(part);
      if (own < 0 || own != axis || overlaps(taken, begin(part, own), end(part, own))) {
        groups.emplace_back();
        taken.clear();
      }
      axis = own;
      if (axis >= 0) taken.emplace(begin(part, axis), end(part, axis));
      groups.back().push_back(part);
    }
    return groups;
  }

 private:
  static constexpr Index elements_a_node = 64;  // what a node costs beside its elements

  const Shape& shape(const GradientPart& part) const { return tape_.nodes[part.node].shape; }
  bool dense(const GradientPart& part) const { return shape(part) == whole_; }
  Index begin(const GradientPart& part, int axis) const { return part.start[static_cast<std::size_t>(axis)]; }
  Index end(const GradientPart& part, int axis) const { return begin(part, axis) + shape(part)[axis]; }

  // The axis that a slice cuts; -1 for what is dense or cut along several.
  int only_axis(const GradientPart& part) const {
    int found = -1;
    for (int a = 0; a < whole_.rank(); ++a) {
      if (shape(part)[a] == whole_[a]) continue;
      if (found >= 0) return -1;
      found = a;
    }
    return found;
  }
  static bool overlaps(const std::map<Index, Index>& taken, Index begin, Index end) {
    const auto after = taken.lower_bound(begin);
    if (after != taken.end() && after->first < end) return true;
    return after != taken.begin() && std::prev(after)->second > begin;
  }

  // Where parts begin and end along an axis, within a region.
  std::vector<Index> edges(const Region& region, int axis, std::span<const GradientPart> parts) const {
    const Index first = region.start[static_cast<std::size_t>(axis)], last = first + region.shape[axis];
    std::vector<Index> out{first, last};
    for (const GradientPart& part : parts)
      for (const Index edge : {begin(part, axis), end(part, axis)}) out.push_back(std::clamp(edge, first, last));
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
  }
  static std::size_t position(const std::vector<Index>& edges, Index at) {
    return static_cast<std::size_t>(std::lower_bound(edges.begin(), edges.end(), at) - edges.begin());
  }

  // In elements: what is added, and the whole.
  Index cost_in_pieces(std::span<const GradientPart> parts) const {
    std::vector<Index> pieces(parts.size(), 1);
    for (int a = 0; a < whole_.rank(); ++a) {
      const std::vector<Index> cuts = edges({whole_, {}}, a, parts);
      for (std::size_t i = 0; i < parts.size(); ++i)
        pieces[i] *= static_cast<Index>(position(cuts, end(parts[i], a)) - position(cuts, begin(parts[i], a)));
    }
    Index cost = whole_.size();
    for (std::size_t i = 0; i < parts.size(); ++i) cost += shape(parts[i]).size() + pieces[i] * elements_a_node;
    return cost;
  }

  NodeId sum_of_dense(std::span<const GradientPart> parts) {
    if (parts.size() == 1) return parts[0].node;
    std::vector<Operand> terms;
    terms.reserve(parts.size());
    for (const GradientPart& part : parts) terms.emplace_back(tape_.tensor(part.node));
    return tape_.id(record(AddN{}, std::span<const Operand>(terms)));
  }

  // A group of slices, and zeros between them. One that cuts along several axes is a region.
  NodeId concat_slices(Parts group) {
    const int axis = only_axis(group[0]);
    if (axis < 0) return sum({whole_, {}}, group);
    std::sort(group.begin(), group.end(),
              [&](const GradientPart& a, const GradientPart& b) { return begin(a, axis) < begin(b, axis); });
    std::vector<Operand> pieces;
    pieces.reserve(2 * group.size() + 1);
    Index at = 0;
    const auto zeros_to = [&](Index to) {
      if (at < to) pieces.emplace_back(tape_.owner->constant(0, whole_.with(axis, to - at)));
    };
    for (const GradientPart& part : group) {
      if (shape(part)[axis] == 0) continue;
      zeros_to(begin(part, axis));
      pieces.emplace_back(tape_.tensor(part.node));
      at = end(part, axis);
    }
    zeros_to(whole_[axis]);
    return tape_.id(record(Concat{axis}, std::span<const Operand>(pieces)));
  }

  // The sum within a region, all of whose parts reach into it: cut along the first axis that any of them does not fill.
  NodeId sum(const Region& region, const Parts& parts) {
    for (int a = 0; a < whole_.rank(); ++a) {
      const std::vector<Index> cuts = edges(region, a, parts);
      if (cuts.size() > 2) return concat(region, a, cuts, parts);
    }
    std::vector<Operand> terms;
    for (const GradientPart& part : parts) terms.emplace_back(cut(part, region));
    if (terms.empty()) return tape_.id(tape_.owner->constant(0, region.shape));
    return terms.size() == 1 ? tape_.resolve(terms[0]) : tape_.id(record(AddN{}, std::span<const Operand>(terms)));
  }

  NodeId concat(const Region& region, int axis, const std::vector<Index>& cuts, const Parts& parts) {
    std::vector<Parts> within(cuts.size() - 1);
    for (const GradientPart& part : parts) {
      const std::size_t last = std::min(position(cuts, end(part, axis)), within.size());
      for (std::size_t k = position(cuts, begin(part, axis)); k < last; ++k) within[k].push_back(part);
    }
    std::vector<Operand> pieces;
    for (std::size_t k = 0; k < within.size(); ++k) {
      Region piece = region;
      piece.shape = region.shape.with(axis, cuts[k + 1] - cuts[k]);
      piece.start[static_cast<std::size_t>(axis)] = static_cast<std::int32_t>(cuts[k]);
      pieces.emplace_back(tape_.tensor(sum(piece, within[k])));
    }
    return tape_.id(record(Concat{axis}, std::span<const Operand>(pieces)));
  }

  // The elements of a part in a region that it fills.
  Tensor cut(const GradientPart& part, const Region& region) {
    Tensor out = tape_.tensor(part.node);
    for (int a = 0; a < whole_.rank(); ++a)
      if (out.shape()[a] != region.shape[a])
        out = record(Slice{a, region.start[static_cast<std::size_t>(a)] - begin(part, a), region.shape[a]}, {out});
    return out;
  }

  TapeData& tape_;
  Shape whole_;
};

// For each axis of `from` the axis of `to` that it becomes, -1 for one that is dropped; false when the shapes differ in
// more than axes of one.
bool same_but_for_ones(const Shape& from, const Shape& to, std::array<int, max_rank>& axis) {
  int b = 0;
  const auto skip_ones = [&] {
    while (b < to.rank() && to[b] == 1) ++b;
  };
  for (int a = 0; a < from.rank(); ++a) {
    axis[static_cast<std::size_t>(a)] = -1;
    if (from[a] == 1) continue;
    skip_ones();
    if (b == to.rank() || to[b] != from[a]) return false;
    axis[static_cast<std::size_t>(a)] = b++;
  }
  skip_ones();
  return b == to.rank();
}

// Shapes by value: the tape grows.
Parts behind_reshape(TapeData& tape, Shape view, Shape viewed, std::span<const GradientPart> parts) {
  std::array<int, max_rank> axis{};
  Parts out;
  if (!same_but_for_ones(view, viewed, axis)) return out;
  for (const GradientPart& part : parts) {
    GradientPart moved;
    Shape shape = viewed;
    for (int a = 0; a < view.rank(); ++a) {
      const int to = axis[static_cast<std::size_t>(a)];
      if (to < 0) continue;
      shape = shape.with(to, tape.nodes[part.node].shape[a]);
      moved.start[static_cast<std::size_t>(to)] = part.start[static_cast<std::size_t>(a)];
    }
    moved.node = tape.id(record(Reshape{shape}, {tape.tensor(part.node)}));
    out.push_back(moved);
  }
  return out;
}

}  // namespace

NodeId sum_of_parts(TapeData& tape, const Shape& whole, std::span<const GradientPart> parts) {
  return PartSum(tape, whole).run(parts);
}

std::optional<std::vector<GradientPart>> parts_behind(TapeData& tape, const Node& view,
                                                      std::span<const GradientPart> parts) {
  const bool is_slice = view.info == &op_info<Slice>();
  if (!is_slice && view.info != &op_info<Reshape>()) return std::nullopt;
  const Shape shape = view.shape;
  Index all = 0;
  for (const GradientPart& part : parts) all += tape.nodes[part.node].shape.size();
  if (all == 0 || 2 * all > shape.size() || PartSum(tape, shape).groups_of(parts).size() != 1) return std::nullopt;
  Parts out(parts.begin(), parts.end());
  if (is_slice) {
    const Slice& slice = *static_cast<const Slice*>(view.op);
    for (GradientPart& part : out)
      part.start[static_cast<std::size_t>(slice.axis)] += static_cast<std::int32_t>(slice.start);
  } else {
    out = behind_reshape(tape, shape, tape.nodes[view.input[0]].shape, parts);
    if (out.empty()) return std::nullopt;
  }
  return out;
}

}  // namespace rw::detail
