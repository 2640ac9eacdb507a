#include <cmath>
#include <string_view>

#include <fmt/format.h>

#include <rewind/tools/gradcheck/gradcheck.h>
#include <rewind/tools/json_text.h>

namespace rw {
namespace {

using detail::json_string;

// JSON has no infinity and no nan.
std::string number(double x) { return std::isfinite(x) ? fmt::format("{}", x) : "null"; }

std::string list(const std::vector<std::string>& items) { return fmt::format("[{}]", fmt::join(items, ", ")); }

template <class Items, class F>
std::string list(const Items& items, F&& text) {
  std::vector<std::string> out;
  out.reserve(std::size(items));
  for (const auto& item : items) out.push_back(text(item));
  return list(out);
}

std::string json_of(const GradParameter& p) {
  std::string counts;
  for (int v = 0; v < verdicts; ++v)
    counts += fmt::format("{}{}: {}", v == 0 ? "" : ", ", json_string(name_of(static_cast<Verdict>(v))),
                          p.count(static_cast<Verdict>(v)));
  return fmt::format(
      R"({{"name": {}, "shape": {}, "order": {}, "checked": {}, "directions": {}, "counts": {{{}}}, "max_error": {}, )"
      R"("max_bound": {}, "remark": {}}})",
      json_string(p.name), list(p.shape, [](Index n) { return fmt::format("{}", n); }), p.order, p.checked,
      p.directions, counts, number(p.error), number(p.bound), json_string(p.remark));
}

std::string json_of(const GradElement& e) {
  return fmt::format(
      R"({{"parameter": {}, "position": {}, "rows": {}, "order": {}, "analytic": {}, "numeric": {}, "bound": {}, )"
      R"("verdict": {}}})",
      json_string(e.parameter), list(e.position, [](Index n) { return fmt::format("{}", n); }), e.rows, e.order,
      number(e.analytic), number(e.numeric), number(e.bound), json_string(name_of(e.verdict)));
}

// A node's number, or null for none.
std::string node(NodeId id) { return id == no_node ? "null" : fmt::format("{}", id); }

std::string json_of(const GradFault& f) {
  constexpr std::string_view kinds[] = {"rule", "edge", "off tape", "plan"};
  return fmt::format(R"({{"kind": {}, "op": {}, "scope": {}, "node": {}, "input": {}, "from": {}, "text": {}}})",
                     json_string(kinds[static_cast<std::size_t>(f.kind)]), json_string(f.op), json_string(f.scope),
                     node(f.node), f.input, node(f.from), json_string(f.text));
}

std::string json_of(const GradCut& c) {
  return fmt::format(R"({{"op": {}, "scope": {}, "node": {}, "text": {}}})", json_string(c.op), json_string(c.scope),
                     node(c.node), json_string(c.text));
}

std::string json_of(const RoundingFault& f) {
  return fmt::format(
      R"({{"op": {}, "scope": {}, "node": {}, "element": {}, "f32": {}, "f64": {}, "bound": {}, "text": {}}})",
      json_string(f.op), json_string(f.scope), node(f.node), f.element, number(f.f32), number(f.f64), number(f.bound),
      json_string(f.text));
}

constexpr auto each = [](const auto& x) { return json_of(x); };

}  // namespace

std::string GradReport::json() const {
  return fmt::format(
      "{{\"verdict\": {}, \"ok\": {}, \"nodes\": {}, \"evaluations\": {},\n \"parameters\": {},\n \"worst\": {},\n "
      "\"faults\": {},\n \"cuts\": {},\n \"kinks\": {}}}\n",
      json_string(name_of(verdict)), ok(), nodes, evaluations, list(parameters, each), list(worst, each),
      list(faults, each), list(cuts, each), list(kinks, json_string));
}

std::string RoundingReport::json() const {
  return fmt::format("{{\"ok\": {}, \"nodes\": {}, \"worst\": {}, \"worst_node\": {},\n \"faults\": {}}}\n", ok(),
                     nodes, number(worst), json_string(worst_node), list(faults, each));
}

}  // namespace rw
