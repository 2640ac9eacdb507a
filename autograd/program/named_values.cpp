#include <fmt/format.h>

#include <rewind/autograd/characters.h>
#include <rewind/autograd/program/named_values.h>
#include <rewind/core/error.h>
#include <rewind/core/shown.h>

namespace rw::ir {
namespace {

using rw::detail::continues_name;
using rw::detail::is_digit;

constexpr std::size_t most_nested_loops = 16;
constexpr int most_parentheses = 64;

/// Whether a number may begin at `at`: not within a name, nor behind the point of another number.
bool begins_number(std::string_view line, std::size_t at) {
  if (!is_digit(line[at])) return false;
  if (at == 0) return true;
  if (line[at - 1] == '.') return at > 1 && line[at - 2] == '.';
  return !continues_name(line[at - 1]);
}

class Nested {
 public:
  explicit Nested(int& count) : count_(count) {
    if (count_ == most_parentheses) throw Error("parentheses nested too deep");
    ++count_;
  }
  ~Nested() { --count_; }
  Nested(const Nested&) = delete;
  Nested& operator=(const Nested&) = delete;

 private:
  int& count_;
};

}  // namespace

void NamedValues::open(const TextLoop& loop) {
  if (loop_of(loop.letter) != nullptr) throw Error("a loop around counts '" + loop.letter + "' already");
  if (loops_.size() == most_nested_loops)
    throw Error(fmt::format("more than {} loops within each other", most_nested_loops));
  loops_.push_back(loop);
}

const TextLoop* NamedValues::loop_of(std::string_view letter) const {
  for (const TextLoop& l : loops_)
    if (l.letter == letter) return &l;
  return nullptr;
}
const TextLoop& NamedValues::known_loop(const std::string& letter) const {
  const TextLoop* loop = loop_of(letter);
  if (loop == nullptr) throw Error("no loop around counts '" + shown(letter) + "'");
  return *loop;
}

// ---- Numbers

std::string_view NamedValues::with_numbers(std::string_view line) {
  if (loops_.empty()) return line;
  line_.clear();
  bool quoted = false;
  for (std::size_t i = 0; i < line.size();) {
    if (line[i] == '"') quoted = !quoted;
    std::size_t end = i;
    std::int64_t first = 0, terms = 0;
    const bool begins = !quoted && begins_number(line, i);
    if (begins && linear(line, end, first, terms)) {
      const bool negative = i > 0 && line[i - 1] == '-';
      if (negative) line_.pop_back();
      line_ += std::to_string((negative ? -first : first) + terms);
    } else {
      for (end = i + 1; begins && end < line.size() && is_digit(line[end]);) ++end;
      line_.append(line.substr(i, end - i));
    }
    i = end;
  }
  return line_;
}

/// Takes a number and the terms after it, at least one.
bool NamedValues::linear(std::string_view line, std::size_t& at, std::int64_t& first, std::int64_t& terms) const {
  std::size_t end = at;
  const auto number = [&] {
    std::int64_t n = 0;
    for (const std::size_t from = end; end < line.size() && is_digit(line[end]) && end - from < 15; ++end)
      n = 10 * n + (line[end] - '0');
    return n;
  };
  first = number();
  bool some = false;
  while (end + 1 < line.size() && (line[end] == '+' || line[end] == '-') && is_digit(line[end + 1])) {
    const std::int64_t sign = line[end++] == '-' ? -1 : 1, factor = number();
    if (end >= line.size() || line[end] != '*') return false;
    const bool from_end = ++end < line.size() && line[end] == '~';
    if (from_end) ++end;
    std::size_t word = end;
    while (word < line.size() && continues_name(line[word])) ++word;
    const TextLoop* loop = loop_of(line.substr(end, word - end));
    if (loop == nullptr) return false;
    terms += sign * factor * (from_end ? loop->steps - 1 - loop->t : loop->t);
    end = word;
    some = true;
  }
  if (some) at = end;
  return some;
}

// ---- Names

void NamedValues::check_new(const std::string& name) const {
  const auto at = names_.find(name);
  if (at == names_.end()) return;
  const Named& named = at->second;
  std::int64_t next = 0;
  bool same = named.loops.size() == loops_.size() && !loops_.empty();
  for (std::size_t k = 0; same && k < loops_.size(); ++k) {
    same = named.loops[k].line == loops_[k].line;
    next = next * loops_[k].steps + loops_[k].t;
  }
  if (!same || next != static_cast<std::int64_t>(named.nodes.size()))
    throw Error("two nodes are called '" + shown(name) + "'");
}

void NamedValues::add(const std::string& name, NodeId id) {
  Named& named = names_[name];
  if (named.nodes.empty()) named.loops = loops_;
  named.nodes.push_back(id);
}

// ---- What is read

NodeId NamedValues::read_one(TextReader& in) {
  std::vector<NodeId> all;
  read(in, all);
  if (all.size() != 1) throw Error(fmt::format("one value is needed here, not {}", all.size()));
  return all[0];
}

void NamedValues::read(TextReader& in, std::vector<NodeId>& to) {
  std::string error;
  values(in, to, error);
  if (!error.empty()) throw Error(error);
}

// What is not there yet sets `error`: that is none where something else is chosen.
void NamedValues::values(TextReader& in, std::vector<NodeId>& to, std::string& error) {
  std::vector<NodeId> found, other;
  bool chosen = false;
  one_value(in, found, error);
  while (in.take("|")) {
    const TextLoop& loop = known_loop(std::string(in.name("a loop's letter")));
    for (const std::string_view token : {"=", "0", ":"}) in.expect(token);
    std::string other_error;
    other.clear();
    one_value(in, other, other_error);
    if (chosen || loop.t != 0) continue;
    chosen = true;
    found = other;
    error = other_error;
  }
  to.insert(to.end(), found.begin(), found.end());
}

void NamedValues::one_value(TextReader& in, std::vector<NodeId>& to, std::string& error) {
  if (in.take("(")) {
    const Nested deeper(nested_);
    values(in, to, error);
    in.expect(")");
  } else if (in.take("{")) {
    const Nested deeper(nested_);
    one_of(in, to, error);
  } else {
    named_values(in, to, error);
  }
}

// {a b c}[t]
void NamedValues::one_of(TextReader& in, std::vector<NodeId>& to, std::string& error) {
  std::vector<std::vector<NodeId>> all;
  std::vector<std::string> errors;
  while (!in.take("}")) values(in, all.emplace_back(), errors.emplace_back());
  in.expect("[");
  const std::int64_t at = step(in, static_cast<std::int64_t>(all.size()));
  in.expect("]");
  if (at < 0 || at >= static_cast<std::int64_t>(all.size())) {
    error = fmt::format("a list of {} values has none at {}", all.size(), at);
    return;
  }
  to.insert(to.end(), all[static_cast<std::size_t>(at)].begin(), all[static_cast<std::size_t>(at)].end());
  error = errors[static_cast<std::size_t>(at)];
}

void NamedValues::named_values(TextReader& in, std::vector<NodeId>& to, std::string& error) {
  static const Named nothing;
  const std::string name(in.name("the name of a node above"));
  const auto at = names_.find(name);
  const Named& named = at == names_.end() ? nothing : at->second;
  const Steps asked = steps(in, named);
  if (at == names_.end())
    error = "no node above is called '" + shown(name) + "'";
  else if (asked.size() != named.loops.size())
    throw Error(fmt::format("'{}' stands within {} loop{}: say at which step, as in {}[-1]", shown(name),
                            named.loops.size(), named.loops.size() == 1 ? "" : "s", shown(name)));
  else
    append(name, named, asked, 0, 0, to, error);
}

// [t-1, 0..-1]; where nothing is said, those of the loops that both stand in.
NamedValues::Steps NamedValues::steps(TextReader& in, const Named& named) {
  Steps out;
  if (!in.take("[")) {
    for (std::size_t k = 0; k < named.loops.size() && k < loops_.size() && loops_[k].line == named.loops[k].line; ++k)
      out.emplace_back(loops_[k].t, loops_[k].t);
    return out;
  }
  do {
    const std::int64_t of = out.size() < named.loops.size() ? named.loops[out.size()].steps : 0, from = step(in, of),
                       last = in.take("..") ? step(in, of) : from;
    out.emplace_back(from, last);
  } while (in.take(","));
  in.expect("]");
  return out;
}

void NamedValues::append(const std::string& name, const Named& named, const Steps& steps, std::size_t k,
                         std::int64_t at, std::vector<NodeId>& to, std::string& error) {
  if (k == steps.size()) {
    if (++reads_ > most_reads_) throw Error(fmt::format("a program that reads more than {} values", most_reads_));
    if (at >= static_cast<std::int64_t>(named.nodes.size()))
      error = fmt::format("'{}' has not come to that step yet", shown(name));
    else
      to.push_back(named.nodes[static_cast<std::size_t>(at)]);
    return;
  }
  const std::int64_t count = named.loops[k].steps, last = steps[k].second;
  for (std::int64_t t = steps[k].first;; t += t <= last ? 1 : -1) {
    if (t < 0 || t >= count)
      error = fmt::format("'{}' has {} steps, and none is {}", shown(name), count, t);
    else
      append(name, named, steps, k + 1, at * count + t, to, error);
    if (t == last || !error.empty()) return;
  }
}

// t-1, or a number; what begins with a negative one counts from the end of `steps`.
std::int64_t NamedValues::step(TextReader& in, std::int64_t steps) {
  const bool from_end = in.sees("-");
  const std::string letter(in.take_name());
  const std::int64_t value = letter.empty() ? in.integer() + (from_end ? steps : 0) : known_loop(letter).t;
  if (in.take("+") || in.sees("-")) return value + in.integer();
  return value;
}

}  // namespace rw::ir
