#include <algorithm>

#include <rewind/autograd/compile/passes.h>

namespace rw::ir {
namespace {

/// A part of a value along one axis.
struct Piece {
  Index axis = 0, start = 0, length = 0;
  bool operator==(const Piece&) const = default;
};

/// Which parts of a value are read: some pieces, or all of it.
struct Use {
  std::vector<Piece> pieces;
  bool whole = false;
};

class Pusher {
 public:
  explicit Pusher(const Graph& g) : g_(g), uses_(g.size()), split_(g.size()), map_(g.size()), pieces_(g.size()) {}

  Graph run() {
    for (NodeId o : g_.outputs) uses_[o].whole = true;
    for (const Effect& e : g_.effects) uses_[e.value].whole = true;
    for (NodeId i = g_.size(); i-- > 0;) decide(i);
    out_ = g_.like();
    for (NodeId i = 0; i < g_.size(); ++i) write(i);
    for (NodeId o : g_.outputs) out_.outputs.push_back(map_[o]);
    for (const Effect& e : g_.effects) out_.effects.push_back({e.parameter, map_[e.value]});
    return sorted(out_);
  }

 private:
  // The part of an input that a piece of its consumer reads; false when it reads all of it, along a stretched axis.
  bool part_of(const Shape& in, const Shape& out, Piece piece, Piece& part) const {
    part = piece;
    part.axis -= out.rank() - in.rank();
    return part.axis >= 0 && in[static_cast<int>(part.axis)] == out[static_cast<int>(piece.axis)];
  }

  void request(NodeId i, const Piece& piece) {
    Use& use = uses_[i];
    if (use.whole) return;
    if (std::find(use.pieces.begin(), use.pieces.end(), piece) == use.pieces.end()) use.pieces.push_back(piece);
    if (use.pieces.size() > 16) use.whole = true;
  }

  bool disjoint(std::vector<Piece>& pieces) const {
    std::sort(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) { return a.start < b.start; });
    for (std::size_t k = 1; k < pieces.size(); ++k)
      if (pieces[k].axis != pieces[0].axis || pieces[k].start < pieces[k - 1].start + pieces[k - 1].length)
        return false;
    return true;
  }

  void decide(NodeId i) {
    const Node& n = g_.nodes[i];
    Use& use = uses_[i];
    if (g_.is<Slice>(i)) {
      const Slice& s = g_.op<Slice>(i);
      return request(g_.in(i, 0), {s.axis, s.start, s.length});
    }
    split_[i] =
        (n.info->elementwise != nullptr || g_.is<AddN>(i)) && !use.whole && !use.pieces.empty() && disjoint(use.pieces);
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
      const auto at = std::find(pieces.begin(), pieces.end(), piece) - pieces.begin();
      return pieces_[i][static_cast<std::size_t>(at)];
    }
    return out_.add(Slice{piece.axis, piece.start, piece.length}, {map_[i]}, like);
  }

  void write(NodeId i) {
    const Node& n = g_.nodes[i];
    std::vector<NodeId> in;
    if (g_.is<Slice>(i) && split_[g_.in(i, 0)]) {
      const Slice& s = g_.op<Slice>(i);
      map_[i] = piece_of(g_.in(i, 0), {s.axis, s.start, s.length}, n);
      return;
    }
    if (!split_[i]) {
      for (NodeId x : g_.in(i)) in.push_back(map_[x]);
      map_[i] = out_.append(n, in);
      return;
    }
    for (const Piece& piece : uses_[i].pieces) {
      in.clear();
      for (NodeId x : g_.in(i)) {
        Piece part;
        in.push_back(part_of(g_.nodes[x].shape, n.shape, piece, part) ? piece_of(x, part, n) : map_[x]);
      }
      pieces_[i].push_back(out_.add(*n.info, n.op, in, n));
    }
  }

  const Graph& g_;
  Graph out_;
  std::vector<Use> uses_;
  std::vector<bool> split_;
  std::vector<NodeId> map_;
  std::vector<std::vector<NodeId>> pieces_;
};

}  // namespace

Graph push_slices(const Graph& g) { return Pusher(g).run(); }

}  // namespace rw::ir
