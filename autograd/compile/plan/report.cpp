#include <algorithm>
#include <map>
#include <sstream>

#include <fmt/format.h>

#include <rewind/autograd/compile/plan/report.h>
#include <rewind/autograd/program/queries.h>

namespace rw::ir {
namespace {

// "lstm/t=3" and "lstm/t=4" are one place: "lstm/t".
std::string place_of(const Graph& g, const Node& n) {
  const std::string path = g.scope_path(n.scope);
  std::string out;
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '=')
      while (i < path.size() && path[i] != '/') ++i;
    if (i < path.size()) out += path[i];
  }
  if (!n.backward) return out;
  return out.empty() ? "backward" : out + " backward";
}

std::string what_of(const Plan& plan, const Plan::Step& s) {
  const Graph& g = plan.graph;
  const Node& n = g.nodes[s.node];
  if (s.kind == Plan::Kind::kernel) {
    const KernelProgram& p = plan.program(s);
    return fmt::format("kernel of {} instructions, {} x {}", p.instructions.size(), p.rows, p.cols);
  }
  if (s.kind == Plan::Kind::copy) return fmt::format("copy for {} {}", n.info->name, n.shape.str());
  if (s.kind == Plan::Kind::pack) return "packing " + g.nodes[g.in(s.node, 1)].shape.str();
  const std::span<const NodeId> in = g.in(s.node);
  constexpr std::size_t shown = 3;
  std::string inputs = in.empty() ? n.shape.str() : "";
  for (std::size_t k = 0; k < std::min(shown, in.size()); ++k)
    inputs += (k == 0 ? "" : " x ") + g.nodes[in[k]].shape.str();
  if (in.size() > shown) inputs += fmt::format(" and {} more", in.size() - shown);
  return fmt::format("{} {}", n.info->name, inputs);
}

double flops_of(const Plan& plan, const Plan::Step& s) {
  const Graph& g = plan.graph;
  const Node& n = g.nodes[s.node];
  if (s.kind == Plan::Kind::kernel) {
    const KernelProgram& p = plan.program(s);
    return static_cast<double>(p.rows * p.cols) * static_cast<double>(p.instructions.size());
  }
  if (s.kind == Plan::Kind::copy || s.kind == Plan::Kind::pack) return 0;
  const auto elements = [&](NodeId i) { return static_cast<double>(g.nodes[i].shape.size()); };
  double most = static_cast<double>(n.shape.size());
  // Every element of `a` meets every column of the result once, whichever way they lie and whatever the batch.
  if (is_product(g, s.node)) return 2 * elements(g.in(s.node, 0)) * static_cast<double>(n.shape.cols());
  for (NodeId in : g.in(s.node)) most = std::max(most, elements(in));
  return most;
}

double bytes_of(const Plan& plan, const Plan::Step& s) {
  const Graph& g = plan.graph;
  const auto bytes = [&](NodeId i) {
    return static_cast<double>(g.nodes[i].shape.size()) * static_cast<double>(size_of(g.nodes[i].dtype));
  };
  if (s.kind == Plan::Kind::kernel) {
    const KernelProgram& p = plan.program(s);
    double full = 0;
    for (OperandKind k : p.operands) full += k == OperandKind::full || k == OperandKind::output;
    return full * static_cast<double>(p.rows * p.cols) * static_cast<double>(size_of(p.dtype));
  }
  double total = bytes(s.node);
  for (NodeId in : g.in(s.node)) total += bytes(in);
  return total;
}

/// Lines of text, each once, in the order in which they came first, with how often they came.
class Lines {
 public:
  void add(const std::string& text, int times = 1) {
    const auto [at, fresh] = known_.emplace(text, lines_.size());
    if (fresh) lines_.emplace_back(text, 0);
    lines_[at->second].second += times;
  }
  std::string str(std::string_view before) const {
    std::string out;
    for (const auto& [text, times] : lines_)
      out += fmt::format("{}{}{}\n", before, text, times > 1 ? fmt::format(" (x {})", times) : "");
    return out;
  }

 private:
  std::map<std::string, std::size_t> known_;
  std::vector<std::pair<std::string, int>> lines_;
};

std::string in(const std::string& place) { return place.empty() ? "" : ", in " + place; }

// "tanh (3, 40)", or what kind of leaf it is.
std::string short_name(const Graph& g, NodeId i) {
  const Node& n = g.nodes[i];
  std::string what(n.info->name);
  if (n.role == Role::parameter) what = "parameter '" + g.store->parameters[n.leaf]->name + "'";
  if (n.role == Role::input) what = "an argument";
  return what + " " + n.shape.str();
}

// Why a piece of a concatenation is not computed where that wants it.
std::string reason(const Graph& g, NodeId piece) {
  switch (g.nodes[behind_views(g, piece)].role) {
    case Role::parameter: return "it is a parameter's memory";
    case Role::input: return "it is the caller's memory";
    case Role::constant: return "it is a constant";
    default: return "it is computed once, and its place is in another value that wants it, too";
  }
}

}  // namespace

std::string describe(const Plan& plan, const Plan::Step& step) {
  return what_of(plan, step) + in(place_of(plan.graph, plan.graph.nodes[step.node]));
}

std::vector<std::string> held_arrays(const Graph& traced) {
  Lines lines;
  for (const Node& n : traced.nodes)
    if (n.info == &op_info<Constant>())
      lines.add(fmt::format("{} {}{}", name_of(n.dtype), n.shape.str(), in(place_of(traced, n))));
  std::vector<std::string> out;
  std::istringstream text(lines.str(""));
  for (std::string line; std::getline(text, line);) out.push_back(line);
  return out;
}

std::string explain(const Plan& plan, const Notes& notes, const Said& said) {
  const Graph& g = plan.graph;
  std::size_t products = 0, kernels = 0, copies = 0, others = 0;
  Lines unfused, copied;
  for (const Plan::Step& s : plan.steps) {
    products += s.kind == Plan::Kind::product;
    kernels += s.kind == Plan::Kind::kernel;
    copies += s.kind == Plan::Kind::copy;
    others += s.kind == Plan::Kind::generic;
    if (s.kind == Plan::Kind::generic) unfused.add(describe(plan, s));
  }
  for (const Layout::Copy& c : plan.layout.copies)
    copied.add(fmt::format("{} into {}{}: {}", short_name(g, c.piece), short_name(g, c.concat),
                           in(place_of(g, g.nodes[c.concat])), reason(g, c.piece)));
  Lines batched, schedule, memory, held, reads;
  for (const std::string& line : notes.lines) batched.add(line);
  for (const std::string& line : notes.schedule) schedule.add(line);
  for (const std::string& line : notes.memory) memory.add(line);
  for (const std::string& line : said.held) held.add(line);
  for (const std::string& line : said.reads) reads.add(line);
  std::string out = fmt::format(
      "{} nodes in {} steps: {} products, {} kernels (of {} programs), {} copies, {} other ops; {:.1f} MB\n", g.size(),
      plan.steps.size(), products, kernels, plan.programs.size(), copies, others,
      static_cast<double>(plan.layout.arena + plan.packed_bytes()) / 1e6);
  out += "check: " + said.checked + "\n";
  out += "lengths: " + said.lengths + "\n";
  for (const std::string& line : said.choices) out += line + "\n";
  out += memory.str("memory: ");
  out += reads.str("depends on: ");
  if (!said.held.empty())
    out +=
        "arrays that the function holds are constants, as they were when it was traced; give it as an argument what "
        "may change:\n" +
        held.str("  ");
  std::string passes;
  for (const Notes::Ran& ran : notes.passes)
    passes += (passes.empty() ? "" : ", ") +
              (ran.before == ran.after ? std::string(ran.pass) : fmt::format("{} to {}", ran.pass, ran.after));
  if (!notes.passes.empty()) out += fmt::format("passes, from {} nodes: {}\n", notes.passes[0].before, passes);
  return out + batched.str("batched: ") + schedule.str("") + copied.str("copied: ") + unfused.str("on its own: ");
}

std::string profile(const Plan& plan, const std::vector<double>& seconds, bool subnormals_met) {
  struct Row {
    std::string what, where;
    int count = 0;
    double seconds = 0, flops = 0, bytes = 0;
  };
  std::map<std::pair<std::string, std::string>, Row> rows;
  double total = 0;
  const auto add = [&](const std::string& what, const std::string& where, double time, double flops, double bytes) {
    Row& row = rows[{what, where}];
    row = {what, where, row.count + 1, row.seconds + time, row.flops + flops, row.bytes + bytes};
    total += time;
  };
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const Plan::Step& s = plan.steps[i];
    add(what_of(plan, s), place_of(plan.graph, plan.graph.nodes[s.node]), seconds[i], flops_of(plan, s),
        bytes_of(plan, s));
  }
  add("taking arguments and adding gradients", "", seconds.back(), 0, 0);
  std::vector<Row> by_time;
  by_time.reserve(rows.size());
  for (const auto& [key, row] : rows) by_time.push_back(row);
  std::stable_sort(by_time.begin(), by_time.end(), [](const Row& a, const Row& b) { return a.seconds > b.seconds; });
  std::string out =
      fmt::format("{:>10} {:>6} {:>6} {:>9} {:>9}  what, where\n", "us", "share", "times", "GFLOP/s", "MB");
  for (const Row& row : by_time)
    out += fmt::format("{:10.2f} {:5.1f}% {:6} {:9.1f} {:9.2f}  {}{}\n", row.seconds * 1e6, 100 * row.seconds / total,
                       row.count, row.flops / std::max(row.seconds, 1e-12) / 1e9, row.bytes / 1e6, row.what,
                       row.where.empty() ? "" : ", " + row.where);
  out += fmt::format("{:10.2f} in all\n", total * 1e6);
  if (subnormals_met)
    out +=
        "met numbers nearer to 0 than normal ones are, which some processors compute slowly: FlushSubnormals makes "
        "them 0\n";
  return out;
}

}  // namespace rw::ir
