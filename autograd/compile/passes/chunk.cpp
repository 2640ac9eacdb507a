#include <algorithm>
#include <array>

#include <fmt/format.h>

#include <rewind/autograd/compile/passes/costs.h>
#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/autograd/compile/passes/rows.h>
#include <rewind/autograd/program/queries.h>
#include <rewind/autograd/program/rewrite.h>

namespace rw::ir {
namespace {

/// Cuts products over the rows of many time steps, as the one by which the upper of two layers takes up the states of
/// the lower one, where what needs the first rows could begin long before the last are there.
class Chunker {
 public:
  Chunker(const Graph& g, const Choices& choices, Notes& notes)
      : g_(g),
        from_(choices.chunk_from),
        fewest_rows_(static_cast<Index>(choices.chunk_rows)),
        notes_(notes),
        cuts_(g.size()),
        reads_(row_reads(g)),
        view_of_(g.size()),
        ready_(g.size()),
        ready_shared_(g.size()),
        below_(g.size()) {}

  Graph run() {
    find_times();
    bool any = false;
    for (NodeId i = 0; i < g_.size(); ++i) any = decide(i) || any;
    return any ? rewritten() : g_;
  }

 private:
  struct Chunk {
    std::size_t first, last;  // pieces [first, last)
    Index begin, end;         // rows
  };

  // When a node is done at the earliest, and how long it takes from its begin to the end of all that needs it.
  void find_times() {
    for (NodeId i = 0; i < g_.size(); ++i) {
      for (NodeId in : g_.in(i)) {
        ready_[i] = std::max(ready_[i], ready_[in]);
        ready_shared_[i] = std::max(ready_shared_[i], ready_shared_[in]);
      }
      ready_[i] += cost_of(g_, i, costs_);
      ready_shared_[i] += shared_cost(cost_of(g_, i, costs_), 2, costs_);
    }
    for (NodeId i = g_.size(); i-- > 0;) {
      below_[i] += cost_of(g_, i, costs_);
      for (NodeId in : g_.in(i)) below_[in] = std::max(below_[in], below_[i]);
    }
  }

  // The pieces of which the first operand consists; none if it is no stack of rows.
  std::vector<RowPiece> pieces_of(NodeId product) const {
    const NodeId a = g_.in(product, 0);
    return row_pieces(g_, a, g_.nodes[a].shape.cols());
  }

  // Pieces of a chunk, at most so many: a few numbers for many lengths.
  static Index rounded_down(Index pieces) {
    Index step = 1;
    while (step * 8 <= pieces) step *= 2;
    return pieces / step * step;
  }
  bool computed_backwards(const std::vector<RowPiece>& pieces) const {
    return ready_[pieces.front().value] > ready_[pieces.back().value];
  }

  // Whole pieces, as many rows as the library's kernels like; no view falls into two. The chunk that is computed last
  // has what is over: between some lengths it alone grows, so that the plan of one follows from those of others.
  std::vector<Chunk> chunks_of(NodeId product, const std::vector<RowPiece>& pieces) const {
    const Index rows = pieces.back().end, count = static_cast<Index>(pieces.size());
    Index number = rows / fewest_rows_;
    if (from_ == 0 || number >= 8) number = 8;
    if (number > 4 && number < 8) number = 4;
    number = std::max<Index>(number, 1);
    const Index each = std::max<Index>(rounded_down(count / number), 1) * rows / count;
    const Index over = computed_backwards(pieces) ? std::max<Index>(rows - each * number, 0) : 0;
    std::vector<Index> views_end(static_cast<std::size_t>(rows) + 1);  // by first row
    for (const RowRead& r : reads_[product].views) {
      Index& end = views_end[static_cast<std::size_t>(r.begin)];
      end = std::max(end, r.end);
    }
    std::vector<Chunk> out;
    Index begin = 0, needed = 0, row = 0;
    std::size_t first = 0;
    for (std::size_t p = 0; p < pieces.size(); ++p) {
      const auto full = static_cast<Index>(out.size());
      const Index end = pieces[p].end, wanted = full + 1 < number ? each * (full + 1) + over : rows;
      for (; row < end; ++row) needed = std::max(needed, views_end[static_cast<std::size_t>(row)]);
      if (end < rows && (end < wanted || needed > end)) continue;
      out.push_back({first, p + 1, begin, end});
      first = p + 1;
      begin = end;
    }
    return out;
  }

  bool decide(NodeId product) {
    if (!has_parts_by_rows(g_, product) || reads_[product].views.empty()) return false;
    const std::vector<RowPiece> pieces = pieces_of(product);
    if (pieces.size() < 3) return false;
    if (notes_.times_longer > 1 && may_save_when_longer(product, pieces)) notes_.hold_when_longer = false;
    std::vector<Chunk> chunks = chunks_of(product, pieces);
    const double saved = time_saved(product, pieces, chunks);
    if (chunks.size() < 3 || saved < from_ || saved <= 0) return false;
    if (from_ > 0 && steps_share_well(pieces)) {
      notes_.lines.push_back(
          fmt::format("{} x {}, over many steps, stays whole: each step by itself gains by two threads",
                      g_.nodes[g_.in(product, 0)].shape.str(), g_.nodes[g_.in(product, 1)].shape.str()));
      return false;
    }
    notes_.lines.push_back(fmt::format(
        "{} x {}, over many steps, in {} chunks: what needs the first ones may begin {:.0f} us earlier",
        g_.nodes[g_.in(product, 0)].shape.str(), g_.nodes[g_.in(product, 1)].shape.str(), chunks.size(), saved));
    cuts_[product] = std::move(chunks);
    return true;
  }

  // No chunks save more than those of one piece, and that grows with the steps; twice as much is near enough.
  bool may_save_when_longer(NodeId product, const std::vector<RowPiece>& pieces) const {
    std::vector<Chunk> finest;
    for (std::size_t p = 0; p < pieces.size(); ++p)
      finest.push_back({p, p + 1, p == 0 ? 0 : pieces[p - 1].end, pieces[p].end});
    return 2 * notes_.times_longer * time_saved(product, pieces, finest) >= from_;
  }

  // Whether two threads that share each kernel compute the pieces about as fast as two layers side by side would be.
  bool steps_share_well(const std::vector<RowPiece>& pieces) const {
    constexpr double well = 0.75;
    const auto span = [&](const std::vector<double>& ready) {
      double first = 1e300, last = 0;
      for (const RowPiece& p : pieces) first = std::min(first, ready[p.value]), last = std::max(last, ready[p.value]);
      return last - first;
    };
    return span(ready_shared_) <= well * span(ready_);
  }

  // By how much the longest path through the product becomes shorter.
  double time_saved(NodeId product, const std::vector<RowPiece>& pieces, const std::vector<Chunk>& chunks) const {
    const double cost = cost_of(g_, product, costs_), all = reads_[product].all ? below_[product] - cost : 0;
    std::vector<double> ready, below(chunks.size(), all);
    for (const Chunk& c : chunks) {
      ready.push_back(0);
      for (std::size_t p = c.first; p < c.last; ++p) ready.back() = std::max(ready.back(), ready_[pieces[p].value]);
    }
    for (const RowRead& r : reads_[product].views) {
      const auto at = std::upper_bound(chunks.begin(), chunks.end(), r.begin,
                                       [](Index row, const Chunk& c) { return row < c.end; });
      double& longest = below[static_cast<std::size_t>(at - chunks.begin())];
      longest = std::max(longest, below_[r.view]);
    }
    double longest = 0;
    for (std::size_t c = 0; c < chunks.size(); ++c)
      longest = std::max(longest, ready[c] + cost / static_cast<double>(chunks.size()) + below[c]);
    return *std::max_element(ready.begin(), ready.end()) + cost + *std::max_element(below.begin(), below.end()) -
           longest;
  }

  Graph rewritten() {
    Rewriter rewriter(g_);
    Graph& out = rewriter.to;
    for (NodeId i = 0; i < g_.size(); ++i) {
      if (!cuts_[i].empty()) {
        rewriter.put(i, cut(i, rewriter));
      } else if (view_of_[i].chunk != no_node) {
        const Node& like = g_.nodes[i];
        NodeId rows = out.add(Slice{0, view_of_[i].begin, view_of_[i].rows}, {view_of_[i].chunk}, like);
        if (!(out.nodes[rows].shape == like.shape)) rows = out.add(Reshape{like.shape}, {rows}, like);
        rewriter.put(i, rows);
      } else {
        rewriter.copy(i);
      }
    }
    return rewriter.done();
  }

  // The chunks of a product; all of them as one value, which is dead when only views of it are read.
  NodeId cut(NodeId product, Rewriter& rewriter) {
    Graph& out = rewriter.to;
    const Node& like = g_.nodes[product];
    const Index inner = g_.nodes[g_.in(product, 0)].shape.cols();
    const std::vector<RowPiece> pieces = pieces_of(product);
    std::vector<NodeId> parts, rows;
    Index at = 0;
    for (const Chunk& c : cuts_[product]) {
      rows.clear();
      for (std::size_t p = c.first; p < c.last; ++p) {
        const Shape shape{pieces[p].end - at, inner};
        const NodeId x = rewriter.now(pieces[p].value);
        rows.push_back(out.nodes[x].shape == shape ? x : out.add(Reshape{shape}, {x}, like));
        at = pieces[p].end;
      }
      const NodeId a = rows.size() == 1 ? rows[0] : out.add(Concat{0}, rows, like);
      parts.push_back(out.add(*like.info, like.op, std::array{a, rewriter.now(g_.in(product, 1))}, like));
      for (const RowRead& r : reads_[product].views)
        if (r.begin >= c.begin && r.begin < c.end)
          view_of_[r.view] = {parts.back(), r.begin - c.begin, r.end - r.begin};
    }
    const NodeId whole = out.add(Concat{0}, parts, like);
    return out.nodes[whole].shape == like.shape ? whole : out.add(Reshape{like.shape}, {whole}, like);
  }

  /// Rows of a chunk that take the place of a view.
  struct View {
    NodeId chunk = no_node;
    Index begin = 0, rows = 0;
  };

  const Graph& g_;
  static constexpr Costs costs_{};  // of no machine in particular: what is cut has other bits
  double from_;
  Index fewest_rows_;
  Notes& notes_;
  std::vector<std::vector<Chunk>> cuts_;  // by product
  std::vector<RowReads> reads_;
  std::vector<View> view_of_;
  std::vector<double> ready_, ready_shared_, below_;  // microseconds; two threads share each kernel
};

}  // namespace

Graph chunk(const Graph& g, const Choices& choices, Notes& notes) { return Chunker(g, choices, notes).run(); }

}  // namespace rw::ir
