#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string_view>

#include <rewind/autograd/program/folder.h>

namespace rw::ir {
namespace {

constexpr std::int32_t least_steps = 3, least_saved = 12;

/// A leaf stands outside of loops, wherever it was recorded: a parameter's at its first use, within the first step.
bool is_shared_leaf(const Node& n) { return !computes(*n.info); }

/// Equal for nodes that could be the same place of a loop at different steps. Attributes play no part: see `Folder`.
std::uint64_t label_of(const Node& n) {
  std::uint64_t h = detail::mix(std::hash<std::string_view>()(n.info->name), n.arity);  // no address: the same each run
  h = detail::mix(detail::mix(h, n.kernel), std::uint64_t{n.lane.section} << 32 | n.lane.number);
  h = detail::mix(h, (n.backward ? 1u : 0u) + 2 * static_cast<std::uint64_t>(n.role) +
                         16 * static_cast<std::uint64_t>(n.dtype) + 256 * static_cast<std::uint64_t>(n.shape.rank()));
  for (const std::int32_t d : n.shape) h = detail::mix(h, static_cast<std::uint64_t>(d));
  return h;
}

}  // namespace

void Folder::begin() {
  position_.resize(g_.size());
  ops_.reserve(g_.size());
  reads_.reserve(g_.edges.size());
  items_.reserve(g_.size());
  for (NodeId i = 0; i < g_.size(); ++i) {
    const Node& n = g_.nodes[i];
    if (is_shared_leaf(n)) {
      leaves_.push_back({n, i});
      position_[i] = -static_cast<std::int32_t>(leaves_.size());
      continue;
    }
    const auto at = static_cast<std::uint32_t>(ops_.size());
    position_[i] = static_cast<std::int32_t>(at);
    node_at_.push_back(i);
    Op& op = ops_.emplace_back();
    op.like = i;
    op.reads = static_cast<std::uint32_t>(reads_.size());
    Item item{.op = at, .begin = static_cast<std::int32_t>(at), .label = label_of(n)};
    for (const NodeId in : g_.in(i)) {
      reads_.push_back({.first = position_[in]});
      if (position_[in] < 0) item.leaves = detail::mix(item.leaves, static_cast<std::uint64_t>(-position_[in]));
    }
    items_.push_back(item);
  }
  renew();
}

/// Where to cut: what passes fewest values from step to step is how a person would write the loop. A stray op before a
/// loop can look like the end of a step, so of equal places the later one wins.
std::uint32_t Folder::best_phase(const Repeat& repeat, std::uint32_t slack) const {
  if (slack == 0) return 0;
  const std::uint32_t p = repeat.period;
  std::vector<std::uint32_t> reach(p), begin(p);  // by source: how far its readers are, and where it is
  for (std::uint32_t i = repeat.begin + p; i < repeat.begin + 2 * p; ++i)
    for (const std::uint32_t op : ops_of(items_[i]))
      for (std::uint32_t k = 0; k < node(op).arity; ++k) {
        const std::int32_t from = reads_[ops_[op].reads + k].first;
        if (from < items_[repeat.begin].begin || from >= items_[i].begin) continue;
        const std::uint32_t source = item_at_[static_cast<std::size_t>(from)] - repeat.begin, c = source % p;
        if (i - repeat.begin - source <= reach[c]) continue;
        reach[c] = i - repeat.begin - source;
        begin[c] = source;
      }
  std::vector<std::int32_t> change(2 * p + 2);
  for (std::uint32_t c = 0; c < p; ++c) {
    if (reach[c] == 0 || reach[c] >= p) continue;  // where that is cut makes no difference
    const std::uint32_t from = (begin[c] + 1) % p;
    ++change[from];
    --change[from + reach[c]];
  }
  std::vector<std::int32_t> passed(2 * p + 1);
  for (std::int32_t i = 0, now = 0; i < static_cast<std::int32_t>(passed.size()); ++i)
    passed[static_cast<std::size_t>(i)] = now += change[static_cast<std::size_t>(i)];
  std::uint32_t best = 0;
  const auto at = [&](std::uint32_t phase) { return passed[phase] + passed[phase + p]; };
  for (std::uint32_t phase = 1; phase <= slack; ++phase)
    if (at(phase) <= at(best)) best = phase;
  return best;
}

/// Whether what the second step of a loop reads, and the third, was left by the step before.
bool Folder::carried(const Read& second, const Read& third) const {
  if (third.first - second.first == step_size_ && second.first >= begin_ && second.first < begin_ + step_size_)
    return true;
  for (std::size_t l = 0; l < most_nested; ++l)
    if (second.start[l] != no_entry && carried(reads_[second.start[l]], reads_[third.start[l]])) return true;
  return false;
}

/// Whether it carries something, or saves enough.
bool Folder::worth_it(std::uint32_t at, std::int32_t steps, std::uint32_t period, bool& carries) const {
  carries = false;
  for (std::uint32_t i = at + period; i < at + 2 * period; ++i)
    for (const std::uint32_t op : ops_of(items_[i])) {
      if (rule(op).depth == most_nested) return false;
      const Op &second = ops_[op], &third = ops_[op + static_cast<std::uint32_t>(step_size_)];
      for (std::uint32_t k = 0; k < node(op).arity; ++k)
        carries = carries || carried(reads_[second.reads + k], reads_[third.reads + k]);
    }
  return (steps - 1) * step_size_ >= (carries ? least_steps : least_saved);
}

void Folder::fold_repeat(const Repeat& repeat) {
  for (std::uint32_t i = repeat.begin; i < repeat.end; ++i)
    if (into_[i] != no_entry) return;  // a shorter period was folded here: the next pass sees what that gave
  const std::uint32_t p = repeat.period;
  std::uint32_t at = repeat.begin + best_phase(repeat, (repeat.end - repeat.begin) % p);
  while (at + 3 * p <= repeat.end) {
    begin_ = items_[at].begin;
    step_size_ = items_[at + p].begin - begin_;
    free_scope_.assign(static_cast<std::size_t>(step_size_), 0);
    std::int32_t steps = 2;
    const auto end_of = [&](std::int32_t count) { return at + static_cast<std::uint32_t>(count) * p; };
    while (end_of(steps + 1) <= repeat.end && fits(at, steps, p)) ++steps;
    const bool stopped = end_of(steps + 1) <= repeat.end;
    bool carries = false;
    const bool loop = steps >= least_steps && worth_it(at, steps, p, carries);
    if (stopped || !loop) {
      if (!stopped) why_ = {items_[at].op, "begins a loop that would save too little, or be nested too deep", 0};
      if (items_[repeat.end - 1].begin - begin_ >= least_saved)
        failures_.push_back({node_at_[static_cast<std::size_t>(begin_)],
                             node_at_[static_cast<std::size_t>(items_[repeat.end - 1].begin)], step_size_, why_});
      partly_ = true;
    }
    if (!loop && steps >= least_steps) small_.push_back({begin_, step_size_, steps, p});
    if (loop) make_loop(at, steps, p, carries);
    at = end_of(loop || !stopped ? steps : steps - 1);
  }
}

void Folder::make_loop(std::uint32_t at, std::int32_t steps, std::uint32_t period, bool carries) {
  Loop loop{.steps = steps, .carries = carries, .body = {}, .ops = {}};
  loop.body.assign(items_.begin() + at, items_.begin() + at + period);
  for (const Item& item : loop.body)
    for (const std::uint32_t op : ops_of(item)) loop.ops.push_back(op);
  for (std::size_t k = 0; k < loop.ops.size(); ++k) {
    Op& op = ops_[loop.ops[k]];
    if (op.rule == 0) {
      op.rule = static_cast<std::uint32_t>(rules_.size());
      rules_.emplace_back();
    }
    rules_[op.rule].free_scope = free_scope_[k] != 0;
    put_op(loop.ops[k], loop.ops[k] + static_cast<std::uint32_t>(step_size_), steps);
  }
  const auto end = at + static_cast<std::uint32_t>(steps) * period;
  std::fill(into_.begin() + at, into_.begin() + end, static_cast<std::uint32_t>(loops_.size()));
  loops_.push_back(std::move(loop));
}

/// Whether the steps of a loop that carries something read those of `small` one by one, or are read by them.
bool Folder::keeps_step(const Small& small) const {
  const std::int32_t end = small.begin + small.steps * small.step_size;
  const auto within = [](std::int32_t at, std::int32_t from, std::int32_t to) { return at >= from && at < to; };
  for (const Item& item : items_) {
    if (item.loop == no_entry || !loops_[item.loop].carries) continue;
    for (const std::uint32_t op : loops_[item.loop].ops)
      for (std::uint32_t k = 0; k < node(op).arity; ++k) {
        const Read& r = reads_[ops_[op].reads + k];
        const std::int32_t per = r.per[rule(op).depth - 1];
        if (std::abs(per) == small.step_size && within(r.first + per, small.begin, end)) return true;
      }
    const std::int32_t step = item.size / loops_[item.loop].steps;
    for (std::int32_t at = small.begin + small.step_size; at < small.begin + 2 * small.step_size; ++at)
      for (std::uint32_t k = 0; k < node(static_cast<std::uint32_t>(at)).arity; ++k) {
        const Read &now = reads_[ops_[static_cast<std::size_t>(at)].reads + k],
                   &next = reads_[ops_[static_cast<std::size_t>(at + small.step_size)].reads + k];
        if (std::abs(next.first - now.first) == step && within(now.first, item.begin, item.begin + item.size))
          return true;
      }
  }
  return false;
}

/// Loops that carry nothing and save little are loops all the same, where they go step by step with one that does.
void Folder::follow() {
  const std::size_t before = loops_.size();
  if (before == 0 || small_.size() > 256) return;
  for (const Small& small : small_) {
    const std::uint32_t at = item_at_[static_cast<std::size_t>(small.begin)],
                        count = static_cast<std::uint32_t>(small.steps) * small.period;
    bool as_it_was = at + count <= items_.size() && small.period == static_cast<std::uint32_t>(small.step_size);
    for (std::uint32_t i = at; as_it_was && i < at + count; ++i)
      as_it_was = items_[i].loop == no_entry && into_[i] == no_entry;
    if (!as_it_was || items_[at].begin != small.begin || !keeps_step(small)) continue;
    begin_ = small.begin;
    step_size_ = small.step_size;
    free_scope_.assign(static_cast<std::size_t>(step_size_), 0);
    for (std::int32_t s = 2; s < small.steps; ++s) fits(at, s, small.period);  // for the scopes
    make_loop(at, small.steps, small.period, false);
  }
  if (loops_.size() > before) renew();
}

/// Gives op x another loop around it, of which y is the second step.
void Folder::put_op(std::uint32_t x, std::uint32_t y, std::int32_t steps) {
  const std::uint32_t z = y + (y - x);
  const Node &m = node(x), &n = node(y);
  Rule& op = rules_[ops_[x].rule];
  const std::uint32_t depth = op.depth;
  op.size[depth] = step_size_;
  op.steps[depth] = steps;
  if (!op.free_scope) op.scope[depth] = static_cast<std::int32_t>(n.scope - m.scope);
  if (m.info->attribute_size > 0 && !m.info->equal(m.op, n.op)) {
    const std::size_t words = (m.info->attribute_size + 7) / 8;
    std::vector<std::uint64_t> a(words), b(words);
    std::memcpy(a.data(), m.op, m.info->attribute_size);
    std::memcpy(b.data(), n.op, m.info->attribute_size);
    auto* more = static_cast<std::uint64_t*>(words_.attributes.allocate(words * sizeof(std::uint64_t)));
    for (std::size_t k = 0; k < words; ++k) more[k] = b[k] - a[k];
    op.attributes[depth] = more;
  }
  for (std::uint32_t k = 0; k < m.arity; ++k)
    reads_[ops_[x].reads + k] =
        put_read(reads_[ops_[x].reads + k], reads_[ops_[y].reads + k], reads_[ops_[z].reads + k], depth);
  ++op.depth;
}

Read Folder::put_read(Read x, Read y, Read z, std::uint32_t depth) {
  const std::int32_t step = z.first - y.first;
  // What the first step reads in place of an earlier one's value may by chance stand where that would.
  const bool carried = step == step_size_ && y.first >= begin_ && x.first < begin_;
  const bool regular = !carried && continues(x, y, z, depth, true);
  Read out = regular ? x : y;
  out.first = y.first - step;
  out.per[depth] = step;
  for (std::uint32_t l = 0; l < depth; ++l) {
    if (out.start[l] == no_entry) continue;
    const Read second = reads_[y.start[l]], third = reads_[z.start[l]];
    Read first = second;
    if (regular)
      first = reads_[x.start[l]];
    else
      first.first -= third.first - second.first;
    reads_.push_back(put_read(first, second, third, depth));
    out.start[l] = static_cast<std::uint32_t>(reads_.size() - 1);
  }
  if (!regular) {
    reads_.push_back(x);
    out.start[depth] = static_cast<std::uint32_t>(reads_.size() - 1);
  }
  return out;
}

/// Puts the loops in the places of their items.
void Folder::renew() {
  std::vector<Item> now;
  now.reserve(items_.size());
  for (std::size_t i = 0; i < items_.size();) {
    if (into_.empty() || into_[i] == no_entry) {
      now.push_back(items_[i++]);
      continue;
    }
    const Loop& loop = loops_[into_[i]];
    Item item{.op = items_[i].op, .loop = into_[i], .begin = items_[i].begin, .size = 0};
    item.label = detail::mix(static_cast<std::uint64_t>(loop.steps), 0x452821e638d01377ull);
    for (const Item& part : loop.body) {
      item.label = detail::mix(item.label, part.label);
      item.leaves = detail::mix(item.leaves, part.leaves);
      item.size += part.size * loop.steps;
    }
    now.push_back(item);
    i += loop.body.size() * static_cast<std::size_t>(loop.steps);
  }
  items_ = std::move(now);
  into_.assign(items_.size(), no_entry);
  item_at_.resize(ops_.size());
  for (std::uint32_t i = 0; i < items_.size(); ++i) std::fill_n(item_at_.begin() + items_[i].begin, items_[i].size, i);
}

/// Folds what repeats now, with leaves that are shared as a part of what must be equal, or not: layers of equal shape
/// have their own weights, and so do two layers that take turns within each step. Whether there was something.
bool Folder::pass(bool with_leaves) {
  std::vector<std::uint64_t> labels;
  labels.reserve(items_.size());
  for (const Item& item : items_) labels.push_back(with_leaves ? detail::mix(item.label, item.leaves) : item.label);
  const std::size_t before = loops_.size();
  partly_ = false;
  for (const Repeat& repeat : label_repeats(labels)) fold_repeat(repeat);
  if (loops_.size() == before) return false;
  renew();
  return true;
}

}  // namespace rw::ir
