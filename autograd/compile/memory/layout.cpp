#include <algorithm>

#include <rewind/autograd/compile/memory/in_place.h>
#include <rewind/autograd/compile/memory/layout.h>
#include <rewind/autograd/program/queries.h>
#include <rewind/core/error.h>

namespace rw::ir {
namespace {

// Any address will do to ask an op which part of its input it views.
const auto any_address = reinterpret_cast<const char*>(std::uintptr_t{1} << 40);

class Placer {
 public:
  Placer(const Graph& g, Passes passes) : g_(g), passes_(passes), slot_(g.size()), fixed_(g.size(), Fixed::no) {}

  Layout run() {
    out_.places.resize(g_.size());
    out_.computed.assign(g_.size(), false);
    find_needed();
    if (passes_.has(Pass::place)) {
      chain_rows();
      place_columns();
    }
    for (NodeId i = 0; i < g_.size(); ++i) place(i);
    if (passes_.has(Pass::reuse)) {
      std::vector<bool> shared(out_.buffers.size());
      stand_in(overlaid_buffers(g_, out_), shared);
      // What goes forward first: a gradient that stood there would keep a step's buffer from its stack.
      move_over(values_in_place(g_, out_, movable(shared, false)), shared);
      stand_in(buffers_in_stacks(g_, out_), shared);
      move_over(values_in_place(g_, out_, movable(shared, true)), shared);
    }
    std::stable_sort(out_.copies.begin(), out_.copies.end(),
                     [](const Layout::Copy& a, const Layout::Copy& b) { return a.concat < b.concat; });
    for (NodeId i = 0; i < g_.size(); ++i) copy_inputs(i);
    find_lifetimes(g_, out_);
    assign_addresses(out_, passes_.has(Pass::reuse));
    return std::move(out_);
  }

 private:
  // What decides the place of a value that is computed.
  enum class Fixed : char { no, chain, column, whole };
  struct Slot {
    NodeId parent = no_node;  // the concatenation it is a column of
    std::uint32_t buffer = 0;
    Index offset = 0;  // in the parent's columns, or in the buffer
  };

  bool has_own_memory(NodeId i) const { return computes(*g_.nodes[i].info) && !is_view(g_, i); }
  // What a piece is another shape of.
  NodeId root_of(NodeId i) const {
    while (g_.is<Reshape>(i) || g_.is<Detach>(i)) i = g_.in(i, 0);
    return i;
  }
  bool leading(NodeId concat) const {
    const auto axis = static_cast<int>(g_.op<Concat>(concat).axis);
    for (int i = 0; i < axis; ++i)
      if (g_.nodes[concat].shape[i] != 1) return false;
    return true;
  }
  bool last_axis(NodeId concat) const { return g_.op<Concat>(concat).axis == g_.nodes[concat].shape.rank() - 1; }

  // Concatenations of whole rows: values that must be neighbours are linked, as long as each has one neighbour on each
  // side and no circle forms.
  void chain_rows() {
    next_.assign(g_.size(), no_node);
    prev_.assign(g_.size(), no_node);
    first_.assign(g_.size(), no_node);
    piece_of_.assign(g_.size(), no_node);
    chain_.resize(g_.size());
    for (NodeId i = 0; i < g_.size(); ++i) chain_[i] = i;
    std::vector<NodeId> concats;
    for (NodeId i = 0; i < g_.size(); ++i)
      if (g_.is<Concat>(i) && leading(i) && g_.nodes[i].shape.size() > 0) concats.push_back(i);
    std::stable_sort(concats.begin(), concats.end(),
                     [&](NodeId a, NodeId b) { return g_.nodes[a].shape.size() > g_.nodes[b].shape.size(); });
    for (NodeId c : concats) link(c);
    for (NodeId i = 0; i < g_.size(); ++i)
      if (next_[i] != no_node && prev_[i] == no_node) make_chain(i);
    for (NodeId c : concats)
      if (fixed_[c] == Fixed::whole) slot_[c] = {no_node, slot_[first_[c]].buffer, slot_[first_[c]].offset};
  }

  // A number that only kernels use is part of their programs; what only its own kernel reads stays in registers.
  void find_needed() {
    needed_.assign(g_.size(), false);
    for (NodeId i = 0; i < g_.size(); ++i) {
      const std::uint32_t kernel = g_.nodes[i].kernel;
      for (NodeId in : g_.in(i))
        if (kernel == no_kernel || (g_.nodes[in].kernel != kernel && !g_.is<Fill>(in))) needed_[in] = true;
    }
    for (NodeId o : g_.outputs) needed_[o] = true;
    for (const Effect& e : g_.effects) needed_[e.value] = true;
  }

  NodeId chain_of(NodeId i) {
    while (chain_[i] != i) i = chain_[i] = chain_[chain_[i]];
    return i;
  }

  void link(NodeId concat) {
    if (next_[concat] != no_node || prev_[concat] != no_node) return;  // itself a row of another one
    std::vector<NodeId>& roots = roots_;
    roots.clear();
    for (NodeId piece : g_.in(concat)) {
      const NodeId root = root_of(piece);
      if (!has_own_memory(root) || fixed_[root] == Fixed::whole || piece_of_[root] == concat ||
          g_.nodes[root].dtype != g_.nodes[concat].dtype)
        return;
      piece_of_[root] = concat;
      roots.push_back(root);
    }
    if (roots.size() < 2) return;
    for (std::size_t i = 0; i + 1 < roots.size(); ++i)
      if (next_[roots[i]] != roots[i + 1] && (next_[roots[i]] != no_node || prev_[roots[i + 1]] != no_node)) return;
    for (std::size_t i = 0; i + 1 < roots.size(); ++i) {
      const NodeId a = roots[i], b = roots[i + 1];
      if (next_[a] == b) continue;
      if (chain_of(a) == chain_of(b)) return;  // a circle; what is linked stays so, and does no harm
      next_[a] = b;
      prev_[b] = a;
      chain_[chain_of(b)] = chain_of(a);
    }
    fixed_[concat] = Fixed::whole;
    first_[concat] = roots[0];
  }

  void make_chain(NodeId first) {
    const auto buffer = static_cast<std::uint32_t>(out_.buffers.size());
    Index at = 0;
    for (NodeId i = first; i != no_node; i = next_[i]) {
      fixed_[i] = Fixed::chain;
      slot_[i] = {no_node, buffer, at};
      at += g_.nodes[i].shape.size();
    }
    out_.buffers.push_back({static_cast<std::size_t>(at) * size_of(g_.nodes[first].dtype), no_node, 0, 0});
  }

  bool writes_columns(NodeId i) const {
    const OpInfo& info = *g_.nodes[i].info;
    return g_.nodes[i].kernel != no_kernel || info.elementwise != nullptr || info.product != nullptr;
  }

  // Concatenations of columns: a piece is computed into its columns.
  void place_columns() {
    for (NodeId c = g_.size(); c-- > 0;) {
      if (!g_.is<Concat>(c) || !last_axis(c) || fixed_[c] == Fixed::whole) continue;
      Index column = 0;
      for (NodeId piece : g_.in(c)) {
        const NodeId root = root_of(piece);
        const Shape& shape = g_.nodes[piece].shape;
        if (has_own_memory(root) && fixed_[root] == Fixed::no && !g_.is<Concat>(root) && writes_columns(root) &&
            g_.nodes[root].shape.cols() == shape.cols()) {
          fixed_[root] = Fixed::column;
          slot_[root] = {c, 0, column};
        }
        column += shape.cols();
      }
    }
  }

  std::uint32_t new_buffer(const Node& n) {
    out_.buffers.push_back({static_cast<std::size_t>(n.shape.size()) * size_of(n.dtype), no_node, 0, 0});
    return static_cast<std::uint32_t>(out_.buffers.size() - 1);
  }

  void place(NodeId i) {
    const Node& n = g_.nodes[i];
    Place& p = out_.places[i];
    if (p.base != Base::none) return;  // placed before, as the whole of a column
    if ((g_.is<Fill>(i) || n.kernel != no_kernel) && !needed_[i]) return;
    if (!computes(*n.info)) {
      const Base base = n.role == Role::parameter ? Base::parameter
                        : n.role == Role::input   ? Base::input
                                                  : Base::constant;
      p = {base, n.leaf, 0, n.shape.cols()};
      return;
    }
    if (is_view(g_, i) && place_view(i)) return;
    out_.computed[i] = true;
    p = {Base::buffer, 0, 0, n.shape.cols()};
    switch (fixed_[i]) {
      case Fixed::no: p.id = new_buffer(n); break;
      case Fixed::chain: p.id = slot_[i].buffer, p.offset = slot_[i].offset; break;
      case Fixed::whole:
        p.id = slot_[i].buffer, p.offset = slot_[i].offset;
        out_.computed[i] = false;
        break;
      case Fixed::column: {
        place(slot_[i].parent);
        const Place& whole = out_.places[slot_[i].parent];
        out_.places[i] = {Base::buffer, whole.id, whole.offset + slot_[i].offset, whole.stride};
        break;
      }
    }
    if (g_.is<Concat>(i) && fixed_[i] != Fixed::whole) copies_of(i);
  }

  // `shared`: buffers in which another one stands.
  void stand_in(const std::vector<InBuffer>& to, std::vector<bool>& shared) {
    if (to.empty()) return;
    const auto follow = [&](Place& p) {
      if (p.base != Base::buffer) return;
      p.offset += to[p.id].begin;
      p.id = to[p.id].buffer;
    };
    for (Place& p : out_.places) follow(p);
    for (Layout::Copy& c : out_.copies) follow(c.to);
    for (std::uint32_t b = 0; b < to.size(); ++b)
      if (to[b].buffer != b) out_.buffers[b].bytes = 0, shared[to[b].buffer] = true;
  }

  // Each value for which there is an operand takes its place, and leaves an empty buffer; views follow what they view.
  void move_over(const std::vector<NodeId>& operand, std::vector<bool>& shared) {
    for (NodeId i = 0; i < g_.size(); ++i) {
      if (operand[i] != no_node) {
        out_.buffers[out_.places[i].id].bytes = 0;
        out_.places[i] = out_.places[operand[i]];
        shared[out_.places[i].id] = true;
      } else if (is_view(g_, i) && !out_.computed[i] && out_.places[i].base != Base::none) {
        place_view(i);
      }
    }
  }

  // Views and ops that want their operands in one piece keep a value from standing in rows that are apart. Where
  // another one stands in a buffer all stay: a value that left would take the memory of those that remain.
  std::vector<Movable> movable(const std::vector<bool>& shared, bool backward) const {
    std::vector<Movable> out(g_.size(), Movable::no);
    for (NodeId i = 0; i < g_.size(); ++i) {
      const Node& n = g_.nodes[i];
      if (n.kernel != no_kernel && n.backward == backward && out_.computed[i] && fixed_[i] == Fixed::no &&
          !shared[out_.places[i].id])
        out[i] = Movable::in_rows;
      const bool any_rows = n.kernel != no_kernel || is_product(g_, i) || n.info->strided_inputs;
      for (NodeId in : g_.in(i))
        if (out[in] != Movable::no && (is_view(g_, i) || !any_rows)) out[in] = Movable::as_whole;
    }
    for (NodeId o : g_.outputs) out[o] = Movable::no;
    for (const Effect& e : g_.effects) out[e.value] = Movable::no;
    return out;
  }

  bool place_view(NodeId i) {
    const NodeId from = g_.in(i, 0);
    ConstView y;
    if (!g_.nodes[i].info->alias(g_.nodes[i].op, out_.view(g_, from, any_address), y)) return false;
    const Place& x = out_.places[from];
    const auto bytes = static_cast<const char*>(y.data) - any_address;
    out_.places[i] = {x.base, x.id, bytes / static_cast<Index>(size_of(g_.nodes[i].dtype)), y.stride};
    return true;
  }

  // The pieces of a concatenation that stand elsewhere. Without any it is computed already.
  void copies_of(NodeId concat) {
    const auto in = g_.in(concat);
    bool any_placed = false;
    for (NodeId piece : in) {
      const NodeId root = root_of(piece);
      any_placed = any_placed || (fixed_[root] == Fixed::column && slot_[root].parent == concat);
    }
    if (!any_placed) return;
    out_.computed[concat] = false;
    const Place whole = out_.places[concat];
    Index column = 0;
    for (NodeId piece : in) {
      const NodeId root = root_of(piece);
      if (!(fixed_[root] == Fixed::column && slot_[root].parent == concat && slot_[root].offset == column))
        out_.copies.push_back({concat, piece, {whole.base, whole.id, whole.offset + column, whole.stride}});
      column += g_.nodes[piece].shape.cols();
    }
  }

  void copy_inputs(NodeId i) {
    const Node& n = g_.nodes[i];
    if (!out_.computed[i] || n.kernel != no_kernel || n.info->strided_inputs || is_product(g_, i)) return;
    for (std::uint32_t k = 0; k < n.arity; ++k) {
      const NodeId in = g_.in(i, k);
      if (out_.view(g_, in, any_address).contiguous()) continue;
      const std::uint32_t buffer = new_buffer(g_.nodes[in]);
      out_.buffers[buffer].first = out_.buffers[buffer].last = i;
      out_.contiguous_inputs.push_back({i, k, {Base::buffer, buffer, 0, g_.nodes[in].shape.cols()}});
    }
  }

  const Graph& g_;
  Passes passes_;
  Layout out_;
  std::vector<Slot> slot_;
  std::vector<Fixed> fixed_;
  std::vector<bool> needed_;
  std::vector<NodeId> next_, prev_, chain_, first_, piece_of_, roots_;
};

}  // namespace

ConstView Layout::view(const Graph& g, NodeId id, const void* base) const {
  const Place& p = places[id];
  const Node& n = g.nodes[id];
  return {static_cast<const char*>(base) + p.offset * static_cast<Index>(size_of(n.dtype)), n.shape, p.stride, n.dtype};
}

Layout layout(const Graph& g, Passes passes) { return Placer(g, passes).run(); }

bool has_room(const Layout& layout, const Store& store, const Place& at, Index begin, Index bytes) {
  const auto whole_vectors = [](Index n) { return (n + 63) / 64 * 64; };
  const auto bytes_of = [](const Array& a) { return a.size() * static_cast<Index>(size_of(a.dtype())); };
  Index all = 0;
  if (at.base == Base::buffer) all = static_cast<Index>(layout.buffers[at.id].bytes);
  if (at.base == Base::parameter) all = bytes_of(store.parameters[at.id]->value);
  if (at.base == Base::constant) all = bytes_of(store.constants[at.id]);
  if (at.base == Base::buffer && begin + bytes != all) return false;
  return begin + whole_vectors(bytes) <= whole_vectors(all);
}

}  // namespace rw::ir
