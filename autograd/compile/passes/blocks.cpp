#include <algorithm>
#include <array>
#include <map>

#include <fmt/format.h>

#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/autograd/compile/passes/rows.h>
#include <rewind/autograd/program/queries.h>
#include <rewind/autograd/program/rewrite.h>

namespace rw::ir {
namespace {

/// Cuts what works on the rows of all steps at once into blocks of steps: products whose rows are read step by step,
/// and products and sums over the rows of a stack.
class Blocks {
 public:
  Blocks(const Graph& g, Notes& notes)
      : g_(g), notes_(notes), reads_(row_reads(g)), rewriter_(g), cuts_(g.size(), none) {}

  Graph run() {
    bool any = false;
    for (NodeId i = 0; i < g_.size(); ++i) any = decide(i) || any;
    if (!any) return g_;
    for (NodeId i = 0; i < g_.size(); ++i) {
      write(i);
      const auto [first, last] = ready_.equal_range(i);
      for (auto r = first; r != last; ++r) add_term(r->second);
    }
    return rewriter_.done();
  }

 private:
  // A product of so many rows runs about as fast as a longer one.
  static constexpr Index enough_rows = 128;

  enum class Cut : char { rows, sum };
  struct Cuts {
    Cut kind;
    Index block, blocks;        // rows of each block but the last, and how many
    std::vector<NodeId> parts;  // in the new graph: by number of the block, or for a sum as they became ready
  };
  struct Block {
    NodeId node;
    Index number;
  };
  struct View {
    NodeId product = no_node;
    Index begin = 0, rows = 0;
  };

  Graph& to() { return rewriter_.to; }
  Cuts& cut_of(NodeId i) { return all_[cuts_[i]]; }

  // Blocks of whole steps of `unit` rows each.
  bool cut(NodeId i, Cut kind, Index rows, Index unit) {
    if (unit <= 0 || rows % unit != 0) return false;
    const Index block = std::max<Index>(enough_rows / unit, 1) * unit, blocks = (rows + block - 1) / block;
    if (blocks < 2) return false;
    cuts_[i] = static_cast<std::uint32_t>(all_.size());
    all_.push_back({kind, block, blocks, {}});
    notes_.lines.push_back(fmt::format("{}, over many steps, in {} blocks of {} rows", g_.describe(i), blocks, block));
    return true;
  }

  bool decide(NodeId i) {
    if (!reads_[i].all && !reads_[i].views.empty()) return decide_rows(i);
    if (is_product(g_, i) && sums_over_rows(g_, i) && g_.nodes[i].shape.rank() == 2) return decide_sum(i, 2);
    if (adds_rows(g_, i)) return decide_sum(i, 1);
    return false;
  }

  // A product of which only views of equal rows are read.
  bool decide_rows(NodeId i) {
    const std::vector<RowRead>& views = reads_[i].views;
    const Index unit = views[0].end - views[0].begin;
    for (const RowRead& r : views)
      if (r.end - r.begin != unit || r.begin % unit != 0) return false;
    if (!cut(i, Cut::rows, g_.nodes[i].shape.rows(), unit)) return false;
    for (const RowRead& r : views) views_[r.view] = {i, r.begin, unit};
    return true;
  }

  // A sum over the rows of `operands` values, at least one of them a stack of pieces of equal rows.
  bool decide_sum(NodeId i, std::uint32_t operands) {
    Index unit = 0;
    for (std::uint32_t k = 0; k < operands; ++k) {
      const NodeId x = g_.in(i, k);
      if (g_.nodes[x].shape.rank() < 2 || (operands == 2 && g_.nodes[x].shape.rank() != 2)) return false;
      const std::vector<RowPiece> pieces = row_pieces(g_, x, g_.nodes[x].shape.cols());
      if (pieces.empty()) continue;
      for (std::size_t p = 0; p < pieces.size(); ++p)
        if (pieces[p].end != static_cast<Index>(p + 1) * pieces[0].end) return false;
      if (unit != 0 && unit != pieces[0].end) return false;
      unit = pieces[0].end;
    }
    if (unit == 0 || !cut(i, Cut::sum, g_.nodes[g_.in(i, 0)].shape.rows(), unit)) return false;
    for (Index b = 0; b < cut_of(i).blocks; ++b) {
      NodeId last = 0;
      for (std::uint32_t k = 0; k < operands; ++k) last = std::max(last, ready_at(g_.in(i, k), bounds(i, b)));
      ready_.emplace(last, Block{i, b});
    }
    return true;
  }

  // The first and the last row of a block.
  std::array<Index, 2> bounds(NodeId i, Index block) {
    const Cuts& cut = cut_of(i);
    return {block * cut.block, std::min((block + 1) * cut.block, g_.nodes[g_.in(i, 0)].shape.rows())};
  }

  // When the rows of a value are there. Reshapes stand where they were needed, and may come late.
  NodeId ready_at(NodeId x, std::array<Index, 2> rows) const {
    NodeId last = 0;
    const std::vector<RowPiece> pieces = row_pieces(g_, x, g_.nodes[x].shape.cols());
    for (const RowPiece& p : pieces)
      if (p.end > rows[0] && p.end <= rows[1]) last = std::max(last, behind_reshapes(g_, p.value));
    return pieces.empty() ? behind_reshapes(g_, x) : last;
  }

  // Some rows of a value, as a matrix: of a stack those of its pieces that make them up.
  NodeId rows_of(NodeId x, std::array<Index, 2> rows, const Node& like) {
    const Index cols = g_.nodes[x].shape.cols();
    std::vector<NodeId> parts;
    Index at = 0;
    for (const RowPiece& p : row_pieces(g_, x, cols)) {
      if (at >= rows[0] && p.end <= rows[1])
        parts.push_back(shaped(rewriter_.now(behind_reshapes(g_, p.value)), {p.end - at, cols}, like));
      at = p.end;
    }
    if (parts.size() == 1) return parts[0];
    if (!parts.empty()) return to().add(Concat{0}, parts, like);
    const NodeId matrix = shaped(rewriter_.now(behind_reshapes(g_, x)), {g_.nodes[x].shape.rows(), cols}, like);
    return to().add(Slice{0, rows[0], rows[1] - rows[0]}, {matrix}, like);
  }
  NodeId shaped(NodeId x, const Shape& shape, const Node& like) {
    return to().nodes[x].shape == shape ? x : to().add(Reshape{shape}, {behind_reshapes(to(), x)}, like);
  }

  void write(NodeId i) {
    const auto view = views_.find(i);
    if (view != views_.end()) return rewriter_.put(i, rows_read(i, view->second));
    if (cuts_[i] == none) {
      // Another shape of a product that is cut: only views of it are read, and each of them is written by itself.
      const bool nothing = g_.is<Reshape>(i) && rewriter_.now(g_.in(i, 0)) == no_node;
      if (!nothing) rewriter_.copy(i);
    } else if (cut_of(i).kind == Cut::rows) {
      cut_of(i).parts.assign(static_cast<std::size_t>(cut_of(i).blocks), no_node);
    } else {
      const NodeId sum = to().add(AddN{}, cut_of(i).parts, g_.nodes[i]);
      rewriter_.put(i, shaped(sum, g_.nodes[i].shape, g_.nodes[i]));
    }
  }

  // A block of a product is written where it is first read.
  NodeId rows_read(NodeId view, const View& v) {
    const Node& like = g_.nodes[view];
    const Node& product = g_.nodes[v.product];
    const Index block = cut_of(v.product).block;
    const auto b = static_cast<std::size_t>(v.begin / block);
    if (cut_of(v.product).parts[b] == no_node) {
      const NodeId a = rows_of(g_.in(v.product, 0), bounds(v.product, v.begin / block), product);
      cut_of(v.product).parts[b] =
          to().add(*product.info, product.op, std::array{a, rewriter_.now(g_.in(v.product, 1))}, product);
    }
    const NodeId rows = to().add(Slice{0, v.begin % block, v.rows}, {cut_of(v.product).parts[b]}, like);
    return shaped(rows, like.shape, like);
  }

  void add_term(const Block& b) {
    const Node& like = g_.nodes[b.node];
    std::vector<NodeId> in;
    for (std::uint32_t k = 0; k < like.arity; ++k)
      in.push_back(rows_of(g_.in(b.node, k), bounds(b.node, b.number), like));
    const bool sums_rows = in.size() == 1;
    const Shape to_shape = like.shape.rank() > 2 ? Shape{like.shape.size()} : like.shape;
    cut_of(b.node).parts.push_back(sums_rows ? to().add(SumTo{to_shape}, in, like)
                                             : to().add(*like.info, like.op, in, like));
  }

  static constexpr std::uint32_t none = 0xffffffffu;

  const Graph& g_;
  Notes& notes_;
  std::vector<RowReads> reads_;
  Rewriter rewriter_;
  std::vector<std::uint32_t> cuts_;  // by node
  std::vector<Cuts> all_;
  std::map<NodeId, View> views_;
  std::multimap<NodeId, Block> ready_;  // terms of sums, by the node behind which they can be written
};

}  // namespace

Graph blocks(const Graph& g, Notes& notes) { return Blocks(g, notes).run(); }

}  // namespace rw::ir
