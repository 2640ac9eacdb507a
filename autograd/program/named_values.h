#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <rewind/autograd/node.h>
#include <rewind/autograd/text_reader.h>

namespace rw::ir {

/// A loop of a text that is being read, at its step t.
struct TextLoop {
  std::size_t line = 0;  // that begins it: the same loop at every step of one around it
  std::string letter;
  std::int64_t steps = 0, t = 0;
};

/// The nodes of a text by their names, which lines read: a, a[t-1], a[0..-1], {a b}[t], (...), and a|t=0:b.
class NamedValues {
 public:
  /// Of so many reads, those of lines in loops counted at each step.
  explicit NamedValues(std::int64_t most_reads) : most_reads_(most_reads) {}

  /// The lines from here on are those of one more loop. Throws Error when a loop around has its letter.
  void open(const TextLoop& loop);
  void set_step(std::int64_t t) { loops_.back().t = t; }
  void close() { loops_.pop_back(); }

  /// The line with what is linear in the steps, as 3+2*t, as a number; valid until the next call.
  std::string_view with_numbers(std::string_view line);

  /// Throws Error when the name has a node at this step.
  void check_new(const std::string& name) const;
  void add(const std::string& name, NodeId id);

  /// Appends what is read. Throws Error, saying what is wrong, where that is nothing.
  void read(TextReader& in, std::vector<NodeId>& to);
  /// The same of one value.
  NodeId read_one(TextReader& in);

 private:
  /// The nodes of one name: one, or those of all steps of the loops around its line, the innermost counting fastest.
  struct Named {
    std::vector<TextLoop> loops;
    std::vector<NodeId> nodes;
  };
  using Steps = std::vector<std::pair<std::int64_t, std::int64_t>>;  // from, to: for each loop

  const TextLoop* loop_of(std::string_view letter) const;
  const TextLoop& known_loop(const std::string& letter) const;
  bool linear(std::string_view line, std::size_t& at, std::int64_t& first, std::int64_t& terms) const;
  void values(TextReader& in, std::vector<NodeId>& to, std::string& error);
  void one_value(TextReader& in, std::vector<NodeId>& to, std::string& error);
  void one_of(TextReader& in, std::vector<NodeId>& to, std::string& error);
  void named_values(TextReader& in, std::vector<NodeId>& to, std::string& error);
  Steps steps(TextReader& in, const Named& named);
  void append(const std::string& name, const Named& named, const Steps& steps, std::size_t k, std::int64_t at,
              std::vector<NodeId>& to, std::string& error);
  std::int64_t step(TextReader& in, std::int64_t steps);

  std::unordered_map<std::string, Named> names_;
  std::vector<TextLoop> loops_;  // around the line, the outermost first
  int nested_ = 0;               // parentheses
  std::int64_t most_reads_, reads_ = 0;
  std::string line_;
};

}  // namespace rw::ir
