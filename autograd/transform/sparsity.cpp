#include <algorithm>
#include <functional>
#include <iterator>
#include <numeric>

#include <fmt/format.h>

#include <rewind/autograd/detail/tape_data.h>
#include <rewind/autograd/structural.h>
#include <rewind/autograd/transform/own_rule.h>
#include <rewind/autograd/transform/sparsity.h>
#include <rewind/core/error.h>
#include <rewind/core/strides.h>

namespace rw {

std::size_t SparsityPattern::entries() const {
  return std::accumulate(of_row.begin(), of_row.end(), std::size_t{0},
                         [](std::size_t n, const auto& row) { return n + row.size(); });
}

void SparsityPattern::check() const {
  const auto fail = [](const std::string& what) { throw Error("[sparsity] " + what); };
  if (rows < 0 || columns < 0 || rows != std::ssize(of_row))
    fail(fmt::format("a pattern of {} x {} lists {} rows", rows, columns, of_row.size()));
  for (std::size_t i = 0; i < of_row.size(); ++i) {
    const auto& row = of_row[i];
    if (std::adjacent_find(row.begin(), row.end(), std::greater_equal<>()) != row.end())
      fail(fmt::format("row {} of the pattern is not sorted, or has a column twice", i));
    if (!row.empty() && static_cast<Index>(row.back()) >= columns)
      fail(fmt::format("row {} of the pattern has column {}, of {}", i, row.back(), columns));
  }
}

bool SparsityPattern::has(Index row, Index column) const {
  if (row < 0 || row >= std::ssize(of_row) || column < 0 || column >= columns) return false;
  const auto& columns_of = of_row[static_cast<std::size_t>(row)];
  return std::binary_search(columns_of.begin(), columns_of.end(), static_cast<std::uint32_t>(column));
}

SparsityPattern SparsityPattern::transposed() const {
  check();
  SparsityPattern out{columns, rows, std::vector<std::vector<std::uint32_t>>(static_cast<std::size_t>(columns))};
  for (std::size_t i = 0; i < of_row.size(); ++i)
    for (std::uint32_t j : of_row[i]) out.of_row[j].push_back(static_cast<std::uint32_t>(i));
  return out;
}

namespace {

constexpr std::uint32_t none = 0xffffffffu;

// The first colour for each column that none of those it meets has.
template <class Meet>
Colouring greedy(Index columns, Meet&& meet) {
  Colouring out{std::vector<std::uint32_t>(static_cast<std::size_t>(columns), none), 0};
  std::vector<Index> taken;  // by which column, for each colour
  for (Index j = 0; j < columns; ++j) {
    meet(j, [&](std::uint32_t other) {
      const std::uint32_t c = out.colour[other];
      if (c != none) taken[c] = j;
    });
    const auto found = std::find_if(taken.begin(), taken.end(), [&](Index by) { return by != j; });
    const auto colour = static_cast<std::uint32_t>(found - taken.begin());
    if (found == taken.end()) taken.push_back(-1);
    out.colour[static_cast<std::size_t>(j)] = colour;
  }
  out.colours = static_cast<Index>(taken.size());
  return out;
}

}  // namespace

Colouring colour_columns(const SparsityPattern& pattern) {
  const SparsityPattern by_column = pattern.transposed();
  return greedy(pattern.columns, [&](Index j, auto&& met) {
    for (std::uint32_t i : by_column.of_row[static_cast<std::size_t>(j)])
      for (std::uint32_t other : pattern.of_row[i]) met(other);
  });
}

Colouring colour_for_diagonal(const SparsityPattern& pattern) {
  if (pattern.rows != pattern.columns)
    throw Error(fmt::format("[sparsity] a pattern of {} x {} has no diagonal", pattern.rows, pattern.columns));
  const SparsityPattern by_column = pattern.transposed();
  return greedy(pattern.columns, [&](Index j, auto&& met) {
    for (std::uint32_t other : pattern.of_row[static_cast<std::size_t>(j)]) met(other);
    for (std::uint32_t other : by_column.of_row[static_cast<std::size_t>(j)]) met(other);
  });
}

namespace detail {
namespace {

using Set = std::vector<std::uint32_t>;  // sorted
using Sets = std::vector<Set>;           // one an element

void unite(Set& into, const Set& other) {
  if (other.empty()) return;
  if (into.empty()) {
    into = other;
    return;
  }
  Set both;
  both.reserve(into.size() + other.size());
  std::set_union(into.begin(), into.end(), other.begin(), other.end(), std::back_inserter(both));
  into.swap(both);
}

// The element of `from` that broadcasting puts at element i of `to`.
Index stretched(Index i, const Shape& to, const Shape& from) {
  Index at = 0, stride = 1;
  for (int a = to.rank() - 1, b = from.rank() - 1; b >= 0; --a, --b) {
    const Index position = i % to[a];
    i /= to[a];
    if (from[b] != 1) at += position * stride;
    stride *= from[b];
  }
  return at;
}

/// The sets of all nodes from x on, one node after the other.
class PatternFinder {
 public:
  PatternFinder(Tape& tape, NodeId first, NodeId last)
      : tape_(tape), first_(first), sets_(last + 1 - first), last_use_(last + 1 - first, first) {
    for (NodeId i = first; i <= last; ++i)
      for (NodeId in : tape.node(i).in())
        if (in >= first) last_use_[in - first] = i;
  }

  void seed(NodeId id, std::uint32_t from) {
    Sets& own = sets(id);
    own.resize(static_cast<std::size_t>(tape_.node(id).shape.size()));
    for (std::size_t i = 0; i < own.size(); ++i) own[i].assign(1, from + static_cast<std::uint32_t>(i));
    last_use_[id - first_] = none;
  }
  void keep(NodeId id) { last_use_[id - first_] = none; }

  void run(NodeId last) {
    for (NodeId i = first_; i <= last; ++i) {
      const Node& n = tape_.node(i);
      if (sets(i).empty() && n.role == Role::op && n.needs_grad) visit(n, sets(i));
      for (NodeId in : n.in())
        if (in >= first_ && last_use_[in - first_] == i) Sets().swap(sets(in));
    }
  }

  Sets& sets(NodeId id) { return sets_[id - first_]; }

 private:
  bool depends(NodeId id) { return id >= first_ && !sets(id).empty(); }
  bool depends(const Node& n, std::size_t i) {
    const ElementwiseFact* fact = n.info->elementwise;
    return depends(n.input[i]) && (fact == nullptr || fact->gradient[i].f32 != nullptr);
  }
  const Set& element(const Node& n, std::size_t input, Index i) {
    return sets(n.input[input])[static_cast<std::size_t>(i)];
  }

  void visit(const Node& n, Sets& out) {
    bool any = false;
    for (std::size_t i = 0; i < n.arity; ++i) any = any || depends(n, i);
    if (!any) return;
    out.resize(static_cast<std::size_t>(n.shape.size()));
    if (n.info->elementwise != nullptr || n.info == &op_info<AddN>() || n.info == &op_info<BroadcastTo>())
      return aligned(n, out);
    if (n.info == &op_info<SumTo>()) return summed(n, out);
    if (n.info->any_dtype && moved(n, out, DType::i32)) return;
    if (n.info->moves_elements && moved(n, out, DType::f64)) return;
    if (n.info->product != nullptr && n.arity == 2 && product(n, out)) return;
    if (n.info->rows_are_independent != nullptr && n.arity == 1 && rows(n, out)) return;
    dense(n, out);
  }

  void aligned(const Node& n, Sets& out) {
    for (std::size_t k = 0; k < n.arity; ++k) {
      if (!depends(n, k)) continue;
      const Shape& from = tape_.node(n.input[k]).shape;
      for (std::size_t i = 0; i < out.size(); ++i)
        unite(out[i], element(n, k, stretched(static_cast<Index>(i), n.shape, from)));
    }
  }

  void summed(const Node& n, Sets& out) {
    const Shape& from = tape_.node(n.input[0]).shape;
    std::vector<Set> gathered(out.size());
    for (Index i = 0; i < from.size(); ++i) {
      const Set& one = element(n, 0, i);
      Set& all = gathered[static_cast<std::size_t>(stretched(i, from, n.shape))];
      all.insert(all.end(), one.begin(), one.end());
    }
    for (std::size_t i = 0; i < out.size(); ++i) {
      std::sort(gathered[i].begin(), gathered[i].end());
      gathered[i].erase(std::unique(gathered[i].begin(), gathered[i].end()), gathered[i].end());
      out[i].swap(gathered[i]);
    }
  }

  // An op that moves elements, run on their numbers, from 1 on, says where each came from.
  bool moved(const Node& n, Sets& out, DType dtype) {
    std::vector<Array> numbers;
    std::vector<ConstView> views;
    std::vector<std::pair<std::size_t, Index>> origin{{0, 0}};
    for (std::size_t k = 0; k < n.arity; ++k) {
      const Node& from = tape_.node(n.input[k]);
      if (!n.info->any_dtype && k > 0) {
        if (from.data == nullptr) return false;
        numbers.emplace_back(from.value());
        continue;
      }
      Array own(from.shape, DType::f64);
      for (Index i = 0; i < from.shape.size(); ++i) {
        own.span<double>()[static_cast<std::size_t>(i)] = static_cast<double>(origin.size());
        origin.emplace_back(k, i);
      }
      numbers.push_back(own.to(dtype));
    }
    views.assign(numbers.begin(), numbers.end());
    Array where(n.shape, dtype);
    n.info->eval(n.op, views, where.view());
    const std::vector<double> found = where.to_vector<double>();
    for (std::size_t i = 0; i < out.size(); ++i) {
      const auto [k, at] = origin[static_cast<std::size_t>(found[i])];
      if (found[i] > 0 && depends(n, k)) out[i] = element(n, k, at);
    }
    return true;
  }

  // Row i of the one and column j of the other.
  bool product(const Node& n, Sets& out) {
    const ProductFact fact = n.info->product(n.op);
    const Shape &a = tape_.node(n.input[0]).shape, &b = tape_.node(n.input[1]).shape;
    if (b.rank() != 2 || (fact.ta && a.rank() != 2)) return false;
    const Index m = n.shape.rows(), cols = n.shape.cols();
    Sets of_row(static_cast<std::size_t>(m)), of_column(static_cast<std::size_t>(cols));
    const auto gather = [&](std::size_t input, Sets& lines, bool along_columns) {
      if (!depends(n, input)) return;
      const Shape& s = tape_.node(n.input[input]).shape;
      for (Index i = 0; i < s.size(); ++i)
        unite(lines[static_cast<std::size_t>(along_columns ? i % s.cols() : i / s.cols())], element(n, input, i));
    };
    gather(0, of_row, fact.ta);
    gather(1, of_column, !fact.tb);
    for (std::size_t i = 0; i < out.size(); ++i) {
      unite(out[i], of_row[i / static_cast<std::size_t>(cols)]);
      unite(out[i], of_column[i % static_cast<std::size_t>(cols)]);
    }
    return true;
  }

  bool rows(const Node& n, Sets& out) {
    const Shape& from = tape_.node(n.input[0]).shape;
    if (!n.info->rows_are_independent(n.op) || from.rows() != n.shape.rows()) return false;
    for (Index r = 0; r < from.rows(); ++r) {
      Set all;
      for (Index c = 0; c < from.cols(); ++c) unite(all, element(n, 0, r * from.cols() + c));
      std::fill_n(out.begin() + r * n.shape.cols(), n.shape.cols(), all);
    }
    return true;
  }

  void dense(const Node& n, Sets& out) {
    Set all;
    for (std::size_t k = n.info == &op_info<OwnRule>() ? 1 : 0; k < n.arity; ++k)
      if (depends(n, k))
        for (const Set& s : sets(n.input[k])) unite(all, s);
    std::fill(out.begin(), out.end(), all);
  }

  Tape& tape_;
  NodeId first_;
  std::vector<Sets> sets_;
  std::vector<NodeId> last_use_;
};

}  // namespace

SparsityPattern find_pattern(Tape& tape, std::span<const Tensor> y, std::span<const Tensor> x) {
  SparsityPattern out;
  for (const Tensor& t : x) out.columns += t.size();
  for (const Tensor& t : y) out.rows += t.size();
  out.of_row.reserve(static_cast<std::size_t>(out.rows));
  NodeId first = no_node, last = 0;
  for (const Tensor& t : x) first = std::min(first, tape.id(t)), last = std::max(last, tape.id(t));
  for (const Tensor& t : y) last = std::max(last, tape.id(t));
  if (first == no_node) {
    out.of_row.resize(static_cast<std::size_t>(out.rows));
    return out;
  }
  PatternFinder finder(tape, first, last);
  std::uint32_t from = 0;
  for (const Tensor& t : x) {
    finder.seed(tape.id(t), from);
    from += static_cast<std::uint32_t>(t.size());
  }
  for (const Tensor& t : y)
    if (tape.id(t) >= first) finder.keep(tape.id(t));
  finder.run(last);
  for (const Tensor& t : y) {
    const Sets* sets = tape.id(t) >= first ? &finder.sets(tape.id(t)) : nullptr;
    for (Index i = 0; i < t.size(); ++i)
      out.of_row.push_back(sets == nullptr || sets->empty() ? Set{} : (*sets)[static_cast<std::size_t>(i)]);
  }
  return out;
}

}  // namespace detail

}  // namespace rw
