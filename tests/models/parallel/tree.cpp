#include <algorithm>

#include <doctest/doctest.h>

#include <rewind/models/parallel/tree.h>

using namespace rw;
using namespace rw::detail;

namespace {

std::vector<ShardRange> singles(Index first, Index last) {
  std::vector<ShardRange> out;
  for (Index i = first; i < last; ++i) out.push_back({i, i + 1});
  return out;
}

// The formula that a tree computes, with brackets: "((0+1)+2)".
std::string formula(std::vector<std::string> leaves, const TreeSum& sum) {
  for (const auto& [to, from] : sum.additions) leaves[to] = "(" + leaves[to] + "+" + leaves[from] + ")";
  std::string out;
  for (const std::size_t top : sum.tops) out += (out.empty() ? "" : " ") + leaves[top];
  return out;
}

std::vector<std::string> numbers(Index first, Index last) {
  std::vector<std::string> out;
  for (Index i = first; i < last; ++i) out.push_back(std::to_string(i));
  return out;
}

}  // namespace

TEST_CASE("shards are added in pairs, and pairs in pairs") {
  const auto of = [](Index n) { return formula(numbers(0, n), tree_sum(singles(0, n), n)); };
  CHECK(of(1) == "0");
  CHECK(of(2) == "(0+1)");
  CHECK(of(3) == "((0+1)+2)");
  CHECK(of(4) == "((0+1)+(2+3))");
  CHECK(of(7) == "(((0+1)+(2+3))+((4+5)+6))");
}

TEST_CASE("a part of the shards makes up the fewest nodes of the tree") {
  const auto nodes = [](Index first, Index last, Index n) { return nodes_of({first, last}, n); };
  CHECK(nodes(0, 4, 8) == std::vector<ShardRange>{{0, 4}});
  CHECK(nodes(2, 5, 8) == std::vector<ShardRange>{{2, 4}, {4, 5}});
  CHECK(nodes(1, 8, 8) == std::vector<ShardRange>{{1, 2}, {2, 4}, {4, 8}});
  CHECK(nodes(4, 7, 7) == std::vector<ShardRange>{{4, 7}});
  CHECK(nodes(3, 3, 8).empty());
  CHECK(formula(numbers(2, 5), tree_sum(singles(2, 5), 8)) == "(2+3) 4");
}

TEST_CASE("the sum is the same formula for any number of processes") {
  for (Index shards = 1; shards <= 17; ++shards) {
    const std::string whole = formula(numbers(0, shards), tree_sum(singles(0, shards), shards));
    for (int ranks = 1; ranks <= 20; ++ranks) {
      CAPTURE(shards);
      CAPTURE(ranks);
      std::vector<ShardRange> nodes;
      std::vector<std::string> parts;
      Index next = 0, most = 0;
      for (int r = 0; r < ranks; ++r) {
        const ShardRange mine = shards_of(r, ranks, shards);
        REQUIRE(mine.first == next);
        next = mine.last;
        most = std::max(most, mine.last - mine.first);
        const TreeSum local = tree_sum(singles(mine.first, mine.last), shards);
        std::vector<std::string> leaves = numbers(mine.first, mine.last);
        for (const auto& [to, from] : local.additions) leaves[to] = "(" + leaves[to] + "+" + leaves[from] + ")";
        for (const std::size_t top : local.tops) parts.push_back(leaves[top]);
        nodes.insert(nodes.end(), local.nodes.begin(), local.nodes.end());
      }
      CHECK(next == shards);
      CHECK(most == (shards + ranks - 1) / ranks);
      CHECK(formula(parts, tree_sum(nodes, shards)) == whole);
    }
  }
}
