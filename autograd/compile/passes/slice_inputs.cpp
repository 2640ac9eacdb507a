#include <algorithm>

#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/autograd/program/queries.h>
#include <rewind/autograd/program/rewrite.h>

namespace rw::ir {
namespace {

/// A part of a value along one axis, and a node that reads it.
struct Piece {
  Index axis = 0, start = 0, length = 0;
  NodeId reader = no_node;
  bool operator==(const Piece& o) const { return axis == o.axis && start == o.start && length == o.length; }
  bool operator<(const Piece& o) const { return start != o.start ? start < o.start : length < o.length; }
};

/// Which parts of a value are read: some pieces, or all of it.
struct Use {
  std::vector<Piece> pieces;  // once the value is decided on: by where they start
  bool whole = false;
  bool in_kernels = true;  // elementwise ops read it, maybe through views, and nobody else
};

bool elementwise(const Graph& g, NodeId i) { return g.nodes[i].info->elementwise != nullptr || g.is<AddN>(i); }

class InputSlicer {
 public:
  explicit InputSlicer(const Graph& g) : g_(g), rewriter_(g), uses_(g.size()), split_(g.size()), pieces_(g.size()) {}

  Graph run() {
    const auto own = [&](NodeId i) { uses_[i].whole = true, uses_[i].in_kernels = false; };
    for (NodeId o : g_.outputs) own(o);
    for (const Effect& e : g_.effects) own(e.value);
    for (NodeId i = g_.size(); i-- > 0;) decide(i);
    for (NodeId i = 0; i < g_.size(); ++i) write(i);
    return rewriter_.done();
  }

 private:
  // Gates are few pieces. Of more, as the time steps that share a bias, each must be sure to become part of a kernel.
  static constexpr std::size_t few = 16;

  // The part of an input that a piece of its consumer reads; false when it reads all of it, along a stretched axis.
  bool part_of(const Shape& in, const Shape& out, Piece piece, Piece& part) const {
    part = piece;
    part.axis -= out.rank() - in.rank();
    return part.axis >= 0 && in[static_cast<int>(part.axis)] == out[static_cast<int>(piece.axis)];
  }

  void request(NodeId i, const Piece& piece) {
    if (!uses_[i].whole) uses_[i].pieces.push_back(piece);
  }

  // Puts the pieces in order, each once.
  bool disjoint(std::vector<Piece>& pieces) const {
    std::stable_sort(pieces.begin(), pieces.end());
    pieces.erase(std::unique(pieces.begin(), pieces.end()), pieces.end());
    for (std::size_t k = 1; k < pieces.size(); ++k)
      if (pieces[k].axis != pieces[0].axis || pieces[k].start < pieces[k - 1].start + pieces[k - 1].length)
        return false;
    return true;
  }

  bool splits(NodeId i) {
    Use& use = uses_[i];
    if (use.whole || use.pieces.empty() || !elementwise(g_, i) || !disjoint(use.pieces)) return false;
    return use.pieces.size() <= few || use.in_kernels;
  }

  void decide(NodeId i) {
    const Node& n = g_.nodes[i];
    Use& use = uses_[i];
    const bool view = is_view(g_, i);
    for (NodeId in : g_.in(i))
      uses_[in].in_kernels = uses_[in].in_kernels && (view ? use.in_kernels : elementwise(g_, i));
    if (g_.is<Slice>(i)) {
      const Slice& s = g_.op<Slice>(i);
      return request(g_.in(i, 0), {s.axis, s.start, s.length, i});
    }
    split_[i] = splits(i);
    for (NodeId in : g_.in(i)) {
      if (!split_[i]) {
        uses_[in].whole = true;
        continue;
      }
      for (const Piece& piece : use.pieces) {
        Piece part;
        if (part_of(g_.nodes[in].shape, n.shape, piece, part))
          request(in, part);
        else
          uses_[in].whole = true;
      }
    }
  }

  NodeId piece_of(NodeId i, const Piece& piece, const Node& like) {
    if (split_[i]) {
      const auto& pieces = uses_[i].pieces;
      const auto at = std::lower_bound(pieces.begin(), pieces.end(), piece);
      return pieces_[i][static_cast<std::size_t>(at - pieces.begin())];
    }
    return rewriter_.to.add(Slice{piece.axis, piece.start, piece.length}, {rewriter_.now(i)}, like);
  }

  void write(NodeId i) {
    const Node& n = g_.nodes[i];
    if (g_.is<Slice>(i) && split_[g_.in(i, 0)]) {
      const Slice& s = g_.op<Slice>(i);
      return rewriter_.put(i, piece_of(g_.in(i, 0), {s.axis, s.start, s.length}, n));
    }
    if (!split_[i]) {
      rewriter_.copy(i);
      return;
    }
    std::vector<NodeId> in;
    for (const Piece& piece : uses_[i].pieces) {
      in.clear();
      for (NodeId x : g_.in(i)) {
        Piece part;
        in.push_back(part_of(g_.nodes[x].shape, n.shape, piece, part) ? piece_of(x, part, n) : rewriter_.now(x));
      }
      Node like = n;
      like.scope = g_.nodes[piece.reader].scope;
      pieces_[i].push_back(rewriter_.to.add(*n.info, n.op, in, like));
    }
  }

  const Graph& g_;
  Rewriter rewriter_;
  std::vector<Use> uses_;
  std::vector<bool> split_;
  std::vector<std::vector<NodeId>> pieces_;
};

// Whether an elementwise op can be computed in another shape of the same rows: what it reads has its own shape, or is
// stretched to each row.
bool takes_shape(const Graph& g, NodeId i, const Shape& to) {
  const Shape& from = g.nodes[i].shape;
  if (!elementwise(g, i) || from.rank() == 0 || to.rank() == 0) return false;
  if (from.rows() != to.rows() || from.cols() != to.cols()) return false;
  bool any = false;
  for (NodeId x : g.in(i)) {
    const Shape& shape = g.nodes[x].shape;
    any = any || shape == from;
    if (shape != from && shape.rank() > 1) return false;
  }
  return any;
}

// A reshape of an elementwise op that nobody else reads becomes the op of reshapes, and so on with what that reads:
// views of a product do not come between ops of a kernel.
Graph reshape_first(const Graph& g) {
  const std::vector<std::uint32_t> uses = use_counts(g);
  std::vector<NodeId> shaped(g.size(), no_node);  // by node: the reshape whose shape it takes
  for (NodeId i = g.size(); i-- > 0;) {
    const NodeId as = g.is<Reshape>(i) ? i : shaped[i];
    if (as == no_node) continue;
    for (NodeId x : g.in(i))
      if (uses[x] == 1 && takes_shape(g, x, g.nodes[as].shape)) shaped[x] = as;
  }
  Rewriter rewriter(g);
  Graph& out = rewriter.to;
  for (NodeId i = 0; i < g.size(); ++i) {
    const NodeId as = shaped[i];
    std::vector<NodeId>& in = rewriter.inputs(i);
    if (g.is<Reshape>(i) && shaped[g.in(i, 0)] == i) {
      rewriter.put(i, in[0]);
      continue;
    }
    Node like = g.nodes[i];
    if (as != no_node) like.scope = g.nodes[as].scope;
    for (std::size_t k = 0; k < in.size(); ++k) {
      const NodeId x = g.in(i, static_cast<std::uint32_t>(k));
      const bool other = as != no_node && shaped[x] == no_node && g.nodes[x].shape == g.nodes[i].shape;
      if (other) in[k] = out.add(Reshape{g.nodes[as].shape}, {in[k]}, g.nodes[as]);
    }
    rewriter.put(i, as == no_node ? out.append(like, in) : out.add(*like.info, like.op, in, like));
  }
  return rewriter.done_in_order();
}

}  // namespace

// Twice: time steps first, and then the gates of each.
Graph slice_inputs(const Graph& g) { return InputSlicer(reshape_first(InputSlicer(g).run())).run(); }

}  // namespace rw::ir
