#include <algorithm>
#include <bit>
#include <cstring>

#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/autograd/program/rewrite.h>

namespace rw::ir {
namespace {

/// Nodes by hash, in chains: a node of it costs no memory of its own.
class NodesByHash {
 public:
  explicit NodesByHash(std::size_t nodes) : last_(std::bit_ceil(nodes + 1), none) { entries_.reserve(nodes); }

  /// One of this hash for which f(node) is true; no_node where there is none.
  template <class F>
  NodeId find(std::uint64_t hash, F&& f) const {
    for (std::uint32_t e = last_[place(hash)]; e != none; e = entries_[e].before)
      if (entries_[e].hash == hash && f(entries_[e].node)) return entries_[e].node;
    return no_node;
  }
  void add(std::uint64_t hash, NodeId node) {
    std::uint32_t& last = last_[place(hash)];
    entries_.push_back({hash, node, last});
    last = static_cast<std::uint32_t>(entries_.size() - 1);
  }

 private:
  static constexpr std::uint32_t none = 0xffffffff;
  struct Entry {
    std::uint64_t hash;
    NodeId node;
    std::uint32_t before;  // in its chain
  };
  std::size_t place(std::uint64_t hash) const { return hash & (last_.size() - 1); }

  std::vector<std::uint32_t> last_;  // of each chain
  std::vector<Entry> entries_;
};

/// Writes a graph anew, node by node: what is known already is not written again.
class Simplifier {
 public:
  explicit Simplifier(const Graph& g) : g_(g), rewriter_(g), out_(rewriter_.to), pieces_(g.size()), known_(g.size()) {
    for (NodeId i = g.size(); i-- > 0;)
      if (g.is<Concat>(i) || (g.is<Reshape>(i) && pieces_[i]))
        for (NodeId x : g.in(i)) pieces_[x] = true;
  }

  Graph run() {
    for (; now_ < g_.size(); ++now_) rewriter_.put(now_, write(g_.nodes[now_], rewriter_.inputs(now_)));
    return rewriter_.done();
  }

 private:
  /// A value that is a contiguous part of another one.
  struct Flat {
    NodeId base;
    Index offset;
  };

  NodeId write(const Node& n, std::vector<NodeId>& in) {
    if (n.info == &op_info<Slice>()) return slice(*static_cast<const Slice*>(n.op), in[0], n);
    if (n.info == &op_info<Reshape>()) return reshape(n.shape, in[0], n);
    if (n.info->same_value) return in[0];
    if (n.info == &op_info<Concat>()) return concat(*static_cast<const Concat*>(n.op), in, n);
    if (n.info == &op_info<BroadcastTo>() || n.info == &op_info<SumTo>()) {
      if (out_.nodes[in[0]].shape == n.shape) return in[0];
      if (n.info == &op_info<BroadcastTo>() && out_.is<Fill>(in[0])) return fill(value_of(in[0]), n.shape, n);
    }
    if (n.info == &op_info<AddN>()) return sum(in, n);
    if (n.info == &op_info<Constant>()) return constant(n);
    if (n.info->elementwise != nullptr) return elementwise(n, in);
    return unique(n, in);
  }

  double value_of(NodeId fill) const { return out_.op<Fill>(fill).value; }

  NodeId fill(double value, const Shape& shape, const Node& like) {
    const Fill op{shape, value};
    Node n = like;
    n.info = &op_info<Fill>();
    n.op = &op;
    n.shape = shape;
    n.role = Role::constant;
    n.leaf = 0;
    n.dtype = out_.real;
    return unique(n, {});
  }

  /// A node with attributes of this function's own.
  template <class Op>
  NodeId make(const Op& op, std::initializer_list<NodeId> in, const Shape& shape, const Node& like) {
    Node n = like;
    n.info = &op_info<Op>();
    n.op = &op;
    n.shape = shape;
    n.role = Role::op;
    n.leaf = 0;
    n.dtype = out_.nodes[*in.begin()].dtype;
    return unique(n, {in.begin(), in.size()});
  }

  // Common subexpressions: equal op, attributes and inputs.
  NodeId unique(const Node& n, std::span<const NodeId> in) {
    std::uint64_t h = detail::mix(reinterpret_cast<std::uintptr_t>(n.info), n.leaf);
    if (n.info->attribute_size > 0) h = detail::mix(h, n.info->hash(n.op));
    for (NodeId i : in) h = detail::mix(h, i);
    const NodeId known = known_.find(h, [&](NodeId k) {
      const Node& m = out_.nodes[k];
      return m.info == n.info && m.leaf == n.leaf && m.shape == n.shape && m.dtype == n.dtype && m.arity == in.size() &&
             std::equal(in.begin(), in.end(), out_.in(k).begin()) &&
             (n.info->attribute_size == 0 || n.info->equal(m.op, n.op));
    });
    if (known != no_node) return known;
    const NodeId id = out_.append(n, in);
    if (n.info->attribute_size > 0) {
      void* copy = out_.store->attributes.allocate(n.info->attribute_size);
      std::memcpy(copy, n.op, n.info->attribute_size);
      out_.nodes[id].op = copy;
    }
    known_.add(h, id);
    flat_.push_back({id, 0});
    return id;
  }

  Flat flat(NodeId i) const { return flat_[i]; }

  NodeId reshape(const Shape& shape, NodeId x, const Node& like) {
    while (out_.is<Reshape>(x)) x = out_.in(x, 0);
    if (out_.nodes[x].shape == shape) return x;
    if (out_.is<Fill>(x)) return fill(value_of(x), shape, like);
    const NodeId id = make(Reshape{shape}, {x}, shape, like);
    flat_[id] = flat_[x];
    return id;
  }

  static bool leading(const Shape& shape, Index axis) {
    for (int i = 0; i < axis; ++i)
      if (shape[i] != 1) return false;
    return true;
  }
  static Index inner(const Shape& shape, Index axis) {
    Index n = 1;
    for (int i = static_cast<int>(axis) + 1; i < shape.rank(); ++i) n *= shape[i];
    return n;
  }

  NodeId slice(Slice s, NodeId x, const Node& like) {
    const auto axis = static_cast<int>(s.axis);
    while (true) {
      const Shape& from = out_.nodes[x].shape;
      if (s.length == from[axis]) return x;
      if (out_.is<Fill>(x)) return fill(value_of(x), from.with(axis, s.length), like);
      if (out_.is<Slice>(x) && out_.op<Slice>(x).axis == s.axis) {
        s.start += out_.op<Slice>(x).start;
        x = out_.in(x, 0);
        continue;
      }
      if (!out_.is<Concat>(x) || out_.op<Concat>(x).axis != s.axis) break;
      Index at = 0;
      NodeId piece = no_node;
      for (NodeId p : out_.in(x)) {
        const Index length = out_.nodes[p].shape[axis];
        if (s.start >= at && s.start + s.length <= at + length) piece = p;
        if (piece != no_node) break;
        at += length;
      }
      if (piece == no_node) break;
      s.start -= at;
      x = piece;
    }
    const Shape shape = out_.nodes[x].shape.with(axis, s.length);
    const NodeId id = make(s, {x}, shape, like);
    if (leading(shape, s.axis)) flat_[id] = {flat_[x].base, flat_[x].offset + s.start * inner(shape, s.axis)};
    return id;
  }

  NodeId concat(const Concat& c, std::vector<NodeId> in, const Node& n) {
    const auto axis = static_cast<int>(c.axis);
    std::vector<NodeId> pieces;
    for (NodeId x : in) {
      if (out_.nodes[x].shape[axis] == 0) continue;
      if (out_.is<Concat>(x) && out_.op<Concat>(x).axis == c.axis)
        for (NodeId p : out_.in(x)) pieces.push_back(p);
      else
        pieces.push_back(x);
    }
    if (pieces.empty()) return unique(n, in);
    if (const NodeId whole = joined(c, pieces, n); whole != no_node) return whole;
    if (pieces.size() == 1) return pieces[0];
    bool fills = true;
    for (NodeId p : pieces)
      fills = fills && out_.is<Fill>(p) && detail::equal_attributes(value_of(p), value_of(pieces[0]));
    if (fills) return fill(value_of(pieces[0]), n.shape, n);
    return unique(n, pieces);
  }

  // A sum of concatenations with the same seams is a concatenation of sums: so gradients of the parts of a matrix are
  // sums of products again.
  NodeId sum(const std::vector<NodeId>& in, const Node& n) {
    if (in.size() == 1) return in[0];
    const auto seams_of_first = [&](NodeId x) {
      if (!out_.is<Concat>(x) || out_.op<Concat>(x).axis != out_.op<Concat>(in[0]).axis ||
          out_.nodes[x].arity != out_.nodes[in[0]].arity)
        return false;
      for (std::uint32_t k = 0; k < out_.nodes[x].arity; ++k)
        if (!(out_.nodes[out_.in(x, k)].shape == out_.nodes[out_.in(in[0], k)].shape)) return false;
      return true;
    };
    if (!out_.is<Concat>(in[0]) || !std::all_of(in.begin(), in.end(), seams_of_first)) return unique(n, in);
    const Concat seams = out_.op<Concat>(in[0]);
    std::vector<NodeId> sums, terms;
    for (std::uint32_t k = 0; k < out_.nodes[in[0]].arity; ++k) {
      terms.clear();
      for (NodeId x : in) terms.push_back(out_.in(x, k));
      Node part = n;
      part.shape = out_.nodes[terms[0]].shape;
      sums.push_back(unique(part, terms));
    }
    Node whole = n;
    whole.info = &op_info<Concat>();
    whole.op = &seams;
    return unique(whole, sums);
  }

  // Pieces that are neighbours already.
  NodeId joined(const Concat& c, const std::vector<NodeId>& pieces, const Node& n) {
    const Node& first = out_.nodes[pieces[0]];
    if (first.info == &op_info<Slice>() && out_.op<Slice>(pieces[0]).axis == c.axis) {
      const NodeId base = out_.in(pieces[0], 0);
      Index at = out_.op<Slice>(pieces[0]).start;
      const Index start = at;
      bool all = true;
      for (NodeId p : pieces) {
        all = all && out_.is<Slice>(p) && out_.in(p, 0) == base && out_.op<Slice>(p).axis == c.axis &&
              out_.op<Slice>(p).start == at;
        if (!all) break;
        at += out_.op<Slice>(p).length;
      }
      if (all) return slice({c.axis, start, at - start}, base, n);
    }
    if (!leading(n.shape, c.axis) || n.shape.size() == 0) return no_node;
    const Flat from = flat(pieces[0]);
    if (from.base == pieces[0]) return no_node;
    Index at = from.offset;
    for (NodeId p : pieces) {
      if (flat(p).base != from.base || flat(p).offset != at) return no_node;
      at += out_.nodes[p].shape.size();
    }
    return part(from, at - from.offset, n);
  }

  NodeId part(const Flat& from, Index length, const Node& n) {
    const Shape whole = out_.nodes[from.base].shape;
    const Index row = whole.rank() > 0 ? inner(whole, 0) : 1;
    if (whole.rank() > 0 && from.offset % row == 0 && length % row == 0)
      return reshape(n.shape, slice({0, from.offset / row, length / row}, from.base, n), n);
    const NodeId line = reshape(Shape{whole.size()}, from.base, n);
    return reshape(n.shape, slice({0, from.offset, length}, line, n), n);
  }

  // An array of one number is that number.
  NodeId constant(const Node& n) {
    const Array& a = g_.store->constants[n.leaf];
    if (!is_real(a.dtype()) || a.size() == 0) return unique(n, {});
    const auto* bytes = static_cast<const char*>(a.view().data);
    const std::size_t size = size_of(a.dtype());
    for (Index i = 1; i < a.size(); ++i)
      if (std::memcmp(bytes, bytes + static_cast<std::size_t>(i) * size, size) != 0) return unique(n, {});
    const double value =
        a.dtype() == DType::f64 ? *reinterpret_cast<const double*>(bytes) : *reinterpret_cast<const float*>(bytes);
    return fill(value, n.shape, n);
  }

  NodeId elementwise(const Node& n, std::vector<NodeId>& in) {
    bool constant = is_real(n.dtype);
    for (NodeId& x : in) {
      constant = constant && out_.is<Fill>(x);
      if (!out_.is<BroadcastTo>(x)) continue;
      // The op stretches its inputs by itself, unless this one gives the shape.
      const NodeId before = x;
      x = out_.in(x, 0);
      shapes_.clear();
      for (NodeId y : in) shapes_.push_back(out_.nodes[y].shape);
      if (!(n.info->infer(n.op, shapes_) == n.shape)) x = before;
    }
    if (!constant) {
      if (is_zero(n, in)) return fill(0, n.shape, n);
      const NodeId same = neutral(n, in);
      return same != no_node ? same : unique(n, in);
    }
    double value = 0;
    visit_real(n.dtype, [&]<class T>() {
      T x[max_elementwise_inputs] = {}, y = 0;
      const T* at[max_elementwise_inputs] = {};
      for (std::size_t i = 0; i < in.size(); ++i) x[i] = static_cast<T>(value_of(in[i])), at[i] = &x[i];
      n.info->elementwise->value.of<T>()(n.op, 1, at, &y);
      value = static_cast<double>(y);
    });
    return fill(value, n.shape, n);
  }

  // times0 of 0 and anything, whatever that is. A piece of a concatenation is computed all the same: in its place, by
  // the kernel that computes its neighbours, where a constant would have to be copied.
  bool is_zero(const Node& n, const std::vector<NodeId>& in) const {
    if (pieces_[now_]) return false;
    const auto zero = [&](NodeId x) { return out_.is<Fill>(x) && value_of(x) == 0; };
    return n.info->elementwise->arithmetic == Arithmetic::times0 && (zero(in[0]) || zero(in[1]));
  }

  // x * 1, x / 1, x - 0 and x + -0 are x, bit for bit. (x + 0 is not: it makes 0 of -0.)
  NodeId neutral(const Node& n, const std::vector<NodeId>& in) const {
    const Arithmetic op = n.info->elementwise->arithmetic;
    const auto is = [&](NodeId x, double value) {
      return out_.is<Fill>(x) && detail::equal_attributes(value_of(x), value);
    };
    const auto left_over = [&](NodeId x) { return out_.nodes[x].shape == n.shape ? x : no_node; };
    const bool product = op == Arithmetic::mul, sum = op == Arithmetic::add;
    if ((product || op == Arithmetic::div) && is(in[1], 1)) return left_over(in[0]);
    if ((op == Arithmetic::sub && is(in[1], 0)) || (sum && is(in[1], -0.0))) return left_over(in[0]);
    if ((product && is(in[0], 1)) || (sum && is(in[0], -0.0))) return left_over(in[1]);
    return no_node;
  }

  const Graph& g_;
  Rewriter rewriter_;
  Graph& out_;
  std::vector<bool> pieces_;  // by node: it is a piece of a concatenation
  NodeId now_ = 0;
  std::vector<Shape> shapes_;
  std::vector<Flat> flat_;
  NodesByHash known_;
};

}  // namespace

Graph simplify(const Graph& g) { return Simplifier(g).run(); }

}  // namespace rw::ir
