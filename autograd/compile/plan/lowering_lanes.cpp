#include <rewind/autograd/compile/plan/lowering.h>

namespace rw::ir {

void Lowering::run() {
  find_uses();
  find_direct_gradients();
  find_shared_matrices();
  std::uint32_t stretch = 0;
  std::vector<LaneUnit> units;
  const auto end_run = [&] {
    const std::uint32_t begin = p_.runs_.empty() ? 0 : p_.runs_.back().end;
    const auto end = static_cast<std::uint32_t>(p_.steps_.size());
    if (begin == end) return;
    p_.runs_.push_back({begin, end, nullptr});
    if (!units.empty()) p_.runs_.back().lanes = std::make_unique<Lanes>(g_, p_.layout_, units, uses_of_packed(units));
    units.clear();
  };
  for (NodeId i = 0; i < g_.size();) {
    const std::uint32_t lane = g_.nodes[i].lane;
    if (lane / 16 != stretch) {
      if (stretch != 0) end_run();
      stretch = lane / 16;
      if (stretch != 0) pack_before(i), end_run();
    }
    const NodeId begin = i;
    const auto before = static_cast<std::uint32_t>(p_.steps_.size());
    if (g_.nodes[i].kernel != no_kernel)
      i = lower_kernel(i);
    else
      lower(i++);
    const auto after = static_cast<std::uint32_t>(p_.steps_.size());
    for (std::size_t s = before; s < after; ++s) p_.steps_[s].lane = lane;
    if (lane != 0 && before < after) units.push_back({begin, i, lane % 16 - 1, before, after});
  }
  end_run();
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

// Packs what lanes of a stretch share before any of them runs.
void Lowering::pack_before(NodeId begin) {
  for (NodeId i = begin; i < g_.size() && g_.nodes[i].lane / 16 == g_.nodes[begin].lane / 16; ++i) {
    if (!is_product(i)) continue;
    NodeId b = g_.in(i, 1);
    while (g_.nodes[b].info->alias != nullptr) b = g_.in(b, 0);
    if (b < begin) packed(i, shape_of(i));
  }
}

}  // namespace rw::ir
