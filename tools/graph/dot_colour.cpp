#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include <rewind/tools/graph/dot_colour.h>
#include <rewind/tools/graph/dot_text.h>

namespace rw::detail {
namespace {

constexpr double none = std::numeric_limits<double>::quiet_NaN();

const char* role_colour(const GraphNode& node) {
  switch (node.role) {
    case GraphRole::parameter: return "#ffe2b8";
    case GraphRole::input: return "#cfe4fa";
    case GraphRole::constant: return node.attributes.empty() ? "#e3ecf5" : "#eaeef2";  // data, and a written number
    case GraphRole::loss: return "#c9efd0";
    default: return node.backward ? "#ece2fb" : "#ffffff";
  }
}

/// From pale yellow over green to deep blue, so that it also reads in grey.
std::string scale(double x) {
  constexpr double stops[][3] = {{255, 249, 196}, {161, 218, 180}, {65, 182, 196}, {34, 94, 168}, {8, 29, 88}};
  const double at = std::clamp(x, 0.0, 1.0) * 4;
  const auto i = std::min(static_cast<std::size_t>(at), std::size_t{3});
  const double w = at - static_cast<double>(i);
  const auto mix = [&](std::size_t c) { return static_cast<int>(stops[i][c] * (1 - w) + stops[i + 1][c] * w + 0.5); };
  return fmt::format("#{:02x}{:02x}{:02x}", mix(0), mix(1), mix(2));
}

const GraphStatistics* numbers_of(const GraphNode& node, Overlay overlay) {
  if (overlay == Overlay::value_norm && node.value.known) return &node.value;
  if (overlay == Overlay::gradient_norm && node.gradient.known) return &node.gradient;
  return nullptr;
}

}  // namespace

Colouring::Colouring(const GraphView& view, Overlay overlay) : overlay_(overlay) {
  bool any = false;
  for (const GraphNode& node : view.nodes) {
    const double x = number(node);
    if (!(x > 0)) continue;
    const double l = std::log10(x);
    low_ = any ? std::min(low_, l) : l;
    high_ = any ? std::max(high_, l) : l;
    any = true;
  }
}

double Colouring::number(const GraphNode& node) const {
  if (overlay_ == Overlay::bytes) return node.bytes > 0 ? static_cast<double>(node.bytes) : none;
  const GraphStatistics* s = numbers_of(node, overlay_);
  return s != nullptr ? s->norm : none;
}

std::string Colouring::fill(const GraphNode& node) const {
  if (overlay_ == Overlay::role) return role_colour(node);
  const GraphStatistics* s = numbers_of(node, overlay_);
  if (s != nullptr && s->nans + s->infs > 0) return "#cf222e";
  const double x = number(node);
  if (std::isnan(x)) return "#eaeef2";
  if (x <= 0) return scale(0);
  return scale(high_ > low_ ? (std::log10(x) - low_) / (high_ - low_) : 0.5);
}

std::string Colouring::note(const GraphNode& node) const {
  if (overlay_ == Overlay::role) return {};
  if (overlay_ == Overlay::bytes) return node.bytes > 0 ? "\n" + bytes_text(node.bytes) : "";
  const GraphStatistics* s = numbers_of(node, overlay_);
  if (s == nullptr) return {};
  std::string out = fmt::format("\n|{}| {:.3g}", overlay_ == Overlay::value_norm ? "x" : "dx", s->norm);
  if (s->nans > 0) out += fmt::format("\n{} nan", s->nans);
  if (s->infs > 0) out += fmt::format("\n{} inf", s->infs);
  return out;
}

bool dark(const std::string& colour) {
  const auto part = [&](std::size_t at) { return std::stoi(colour.substr(at, 2), nullptr, 16); };
  return colour.size() == 7 && part(1) * 0.3 + part(3) * 0.59 + part(5) * 0.11 < 130;
}

}  // namespace rw::detail
