#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <rewind/autograd/program/program.h>
#include <rewind/autograd/program/repeats.h>

namespace rw::ir {

/// Finds the loops of a graph, the inner ones first: pass by pass, stretches of items whose labels repeat become items
/// themselves, where their steps follow one rule.
class Folder {
 public:
  explicit Folder(const Graph& g) : g_(g), words_(*g.store) { begin(); }

  Program run() {
    while (pass(false) || (partly_ && pass(true))) {
    }
    follow();
    return finish();
  }

 private:
  /// An op, or a loop that was found, in the order of the graph.
  struct Item {
    std::uint32_t op = 0, loop = no_entry;
    std::int32_t begin = 0, size = 1;  // positions
    std::uint64_t label = 0;           // of all but which shared leaves it reads
    std::uint64_t leaves = 0;          // and of that
  };
  /// What the loops around an op make of it.
  struct Rule {
    std::uint32_t depth = 0;
    bool free_scope = false;
    PerLoop scope{}, size{}, steps{};
    std::array<const std::uint64_t*, most_nested> attributes{};
  };
  struct Op {
    NodeId like = 0;
    std::uint32_t reads = 0, rule = 0;  // rule 0: no loop
  };
  struct Loop {
    std::int32_t steps = 0;
    bool carries = false;
    std::vector<Item> body;          // the items of its first step
    std::vector<std::uint32_t> ops;  // all ops of its first step
  };
  /// Why two steps do not belong to one loop.
  struct Reason {
    std::uint32_t op = 0;
    const char* what = "";
    std::uint32_t input = 0;
  };
  /// Steps that follow one rule, and save too little.
  struct Small {
    std::int32_t begin = 0, step_size = 0, steps = 0;
    std::uint32_t period = 0;
  };
  struct Failure {
    NodeId begin, end;
    Index period;
    Reason why;
  };

  void begin();
  bool pass(bool with_leaves);
  void fold_repeat(const Repeat& repeat);
  std::uint32_t best_phase(const Repeat& repeat, std::uint32_t slack) const;
  std::span<const std::uint32_t> ops_of(const Item& item) const {
    return item.loop == no_entry ? std::span(&item.op, 1) : std::span(loops_[item.loop].ops);
  }
  const Rule& rule(std::uint32_t op) const { return rules_[ops_[op].rule]; }
  const Node& node(std::uint32_t op) const { return g_.nodes[ops_[op].like]; }

  // Whether three steps in a row, x the first of the loop or not, follow one rule; at `s` steps from the first.
  bool fits(std::uint32_t at, std::int32_t s, std::uint32_t period);
  bool same_structure(const Item& x, const Item& y) const;
  bool op_fits(std::uint32_t w, std::uint32_t x, std::uint32_t y, std::uint32_t z, std::int32_t s, char& free_scope);
  bool attributes_fit(std::uint32_t first, std::uint32_t second, std::uint32_t z, std::int32_t s);
  bool same_attribute_rule(const Rule& a, const Rule& b, const OpInfo& info) const;
  bool same_rule(const Read& x, const Read& y, std::uint32_t depth) const;
  bool read_fits(const Read& x, const Read& y, const Read& z, std::uint32_t depth, bool first) const;
  bool continues(const Read& x, const Read& y, const Read& z, std::uint32_t depth, bool first) const;

  void make_loop(std::uint32_t at, std::int32_t steps, std::uint32_t period, bool carries);
  bool worth_it(std::uint32_t at, std::int32_t steps, std::uint32_t period, bool& carries) const;
  bool carried(const Read& second, const Read& third) const;
  void put_op(std::uint32_t x, std::uint32_t y, std::int32_t steps);
  Read put_read(Read x, Read y, Read z, std::uint32_t depth);
  void follow();
  bool keeps_step(const Small& small) const;
  void renew();

  Program finish();
  void write(const Item& item, Program& p) const;
  void write_op(std::uint32_t op, Program& p) const;
  void free_scopes(ProgramOp& to, Program& p) const;

  const Graph& g_;
  Store& words_;
  std::vector<std::int32_t> position_;  // by node
  std::vector<NodeId> node_at_;         // by position
  std::vector<SharedLeaf> leaves_;
  std::vector<Op> ops_;  // by position
  std::vector<Rule> rules_{1};
  std::vector<Read> reads_;  // of op i: as many as its node has inputs
  std::vector<Item> items_;
  std::vector<std::uint32_t> item_at_;  // by position
  std::vector<Loop> loops_;
  std::vector<std::uint32_t> into_;  // by item: the loop that it became a part of
  bool partly_ = false;              // a run was not folded to its end

  // Of the loop that is being looked for.
  std::int32_t begin_ = 0, step_size_ = 0;
  std::vector<char> free_scope_;
  std::vector<std::uint64_t> scratch_;
  Reason why_;
  std::vector<Failure> failures_;
  std::vector<Small> small_;
};

}  // namespace rw::ir
