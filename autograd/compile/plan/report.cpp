#include <algorithm>
#include <map>

#include <fmt/format.h>

#include <rewind/autograd/compile/plan/report.h>

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
  return out + (n.backward ? " backward" : "");
}

std::string what_of(const Plan& plan, const Plan::Step& s) {
  const Graph& g = plan.graph();
  const Node& n = g.nodes[s.node];
  if (s.kind == Plan::Kind::kernel) {
    const Program& p = plan.program(s);
    return fmt::format("kernel of {} instructions, {} x {}", p.instructions.size(), p.rows, p.cols);
  }
  if (s.kind == Plan::Kind::copy) return fmt::format("copy for {} {}", n.info->name, n.shape.str());
  if (s.kind == Plan::Kind::pack) return "packing " + g.nodes[g.in(s.node, 1)].shape.str();
  std::string inputs;
  for (NodeId in : g.in(s.node).subspan(0, std::min<std::size_t>(3, g.in(s.node).size())))
    inputs += (inputs.empty() ? "" : " x ") + g.nodes[in].shape.str();
  return fmt::format("{} {}", n.info->name, inputs);
}

double flops_of(const Plan& plan, const Plan::Step& s) {
  const Graph& g = plan.graph();
  const Node& n = g.nodes[s.node];
  if (s.kind == Plan::Kind::product) {
    const Node& a = g.nodes[g.in(s.node, 0)];
    const Index k = n.info->product(n.op).ta ? a.shape.rows() : a.shape.cols();
    return 2.0 * static_cast<double>(n.shape.size()) * static_cast<double>(k);
  }
  if (s.kind == Plan::Kind::kernel) {
    const Program& p = plan.program(s);
    return static_cast<double>(p.rows * p.cols) * static_cast<double>(p.instructions.size());
  }
  return static_cast<double>(n.shape.size());
}

double bytes_of(const Plan& plan, const Plan::Step& s) {
  const Graph& g = plan.graph();
  const auto bytes = [&](NodeId i) {
    return static_cast<double>(g.nodes[i].shape.size()) * static_cast<double>(size_of(g.nodes[i].dtype));
  };
  if (s.kind == Plan::Kind::kernel) {
    const Program& p = plan.program(s);
    double full = 0;
    for (OperandKind k : p.operands) full += k == OperandKind::full || k == OperandKind::output;
    return full * static_cast<double>(p.rows * p.cols) * static_cast<double>(size_of(p.dtype));
  }
  double total = bytes(s.node);
  for (NodeId in : g.in(s.node)) total += bytes(in);
  return total;
}

}  // namespace

std::string explain(const Plan& plan, const Notes& notes) {
  const Graph& g = plan.graph();
  std::size_t products = 0, kernels = 0, copies = 0, others = 0;
  std::map<std::string, int> unfused;
  for (const Plan::Step& s : plan.steps()) {
    products += s.kind == Plan::Kind::product;
    kernels += s.kind == Plan::Kind::kernel;
    copies += s.kind == Plan::Kind::copy;
    others += s.kind == Plan::Kind::generic;
    if (s.kind == Plan::Kind::generic) ++unfused[what_of(plan, s) + ", " + place_of(g, g.nodes[s.node])];
  }
  std::string out = fmt::format(
      "{} nodes in {} steps: {} products, {} kernels (of {} programs), {} copies, {} other ops; {:.1f} MB\n", g.size(),
      plan.steps().size(), products, kernels, plan.programs(), copies, others,
      static_cast<double>(plan.memory()) / 1e6);
  for (const std::string& line : notes.lines) out += "batched: " + line + "\n";
  for (const std::string& line : notes.schedule) out += line + "\n";
  std::map<std::string, int> copied;
  for (const Layout::Copy& c : plan.copies())
    ++copied[fmt::format("{} into {}: it stands elsewhere already", g.describe(c.piece), g.describe(c.concat))];
  int lines = 0;
  for (const auto& [text, count] : copied) {
    if (++lines > 20) break;
    out += fmt::format("copied: {}{}\n", text, count > 1 ? fmt::format(" ({} times)", count) : "");
  }
  for (const auto& [text, count] : unfused)
    out += fmt::format("on its own: {}{}\n", text, count > 1 ? fmt::format(" ({} times)", count) : "");
  return out;
}

std::string profile(const Plan& plan, const std::vector<double>& seconds, int replays) {
  struct Row {
    int count = 0;
    double seconds = 0, flops = 0, bytes = 0;
  };
  std::map<std::pair<std::string, std::string>, Row> rows;
  double total = 0;
  for (std::size_t i = 0; i < plan.steps().size(); ++i) {
    const Plan::Step& s = plan.steps()[i];
    Row& row = rows[{what_of(plan, s), place_of(plan.graph(), plan.graph().nodes[s.node])}];
    ++row.count;
    row.seconds += seconds[i] / replays;
    row.flops += flops_of(plan, s);
    row.bytes += bytes_of(plan, s);
    total += seconds[i] / replays;
  }
  std::vector<std::pair<std::pair<std::string, std::string>, Row>> by_time(rows.begin(), rows.end());
  std::stable_sort(by_time.begin(), by_time.end(),
                   [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  std::string out =
      fmt::format("{:>10} {:>6} {:>6} {:>9} {:>9}  what, where\n", "us", "share", "times", "GFLOP/s", "MB");
  for (const auto& [what, row] : by_time)
    out += fmt::format("{:10.1f} {:5.1f}% {:6} {:9.1f} {:9.2f}  {}, {}\n", row.seconds * 1e6, 100 * row.seconds / total,
                       row.count, row.flops / row.seconds / 1e9, row.bytes / 1e6, what.first, what.second);
  return out + fmt::format("{:10.1f} in all\n", total * 1e6);
}

}  // namespace rw::ir
