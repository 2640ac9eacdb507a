#include <map>
#include <span>

#include <fmt/format.h>

#include <rewind/tools/export/op_calls.h>

namespace rw::detail {
namespace {

using Write = std::optional<std::string> (*)(const OpCall&);

const std::string& x(const OpCall& c, std::size_t k = 0) { return c.in[k].pointer; }
const std::string& y(const OpCall& c) { return c.out.pointer; }
std::string all_of(const Lengths& shape) { return product_text(shape); }
/// All but the last `axes` ones, as one number; and one that is counted from the end.
std::string before(const Lengths& shape, std::size_t axes) {
  return product_text(std::span(shape).first(shape.size() - axes));
}
std::string from_end(const Lengths& shape, std::size_t axis) { return text_of(shape[shape.size() - axis]); }

std::string row_call(std::string_view function, const OpCall& c) {
  return fmt::format("math::{}({}, {}, {}, {});", function, x(c), before(c.in[0].shape, 1), from_end(c.in[0].shape, 1),
                     y(c));
}
/// Of rows, with an index each.
std::string indexed_rows(std::string_view function, const OpCall& c, const Lengths& rows) {
  return fmt::format("math::{}({}, {}, {}, {}, {});", function, x(c), x(c, 1), before(rows, 1), from_end(rows, 1),
                     y(c));
}

std::string scatter_rows(const OpCall& c) {
  return fmt::format("math::scatter_rows({}, {}, {}, {}, {}, {});", x(c), x(c, 1), all_of(c.in[1].shape),
                     from_end(c.out.shape, 2), from_end(c.out.shape, 1), y(c));
}

std::string elements(std::string_view function, const OpCall& c, const Lengths& bound) {
  return fmt::format("math::{}({}, {}, {}, {}, {});", function, x(c), x(c, 1), all_of(c.in[1].shape), all_of(bound),
                     y(c));
}

std::string sorted(std::string_view function, const OpCall& c, const Lengths& few, double falling) {
  return fmt::format("math::{}({}, {}, {}, {}, {}, {}, {});", function, x(c), x(c, 1), before(c.in[0].shape, 1),
                     from_end(c.in[0].shape, 1), from_end(few, 1), falling != 0, y(c));
}

// ---- Padding: steps first, then sequences

std::string clear_padding(const OpCall& c) {
  const Lengths& s = c.out.shape;
  return fmt::format("math::clear_padding({}, {}, {}, {}, {}, {});", x(c), x(c, 1), text_of(s[0]), text_of(s[1]),
                     all_of(Lengths(s.begin() + 2, s.end())), y(c));
}
std::string sequence_mask(const OpCall& c) {
  return fmt::format("math::sequence_mask({}, {}, {}, {});", x(c), text_of(c.out.shape[0]), text_of(c.out.shape[1]),
                     y(c));
}
std::string lengths_within(const OpCall& c) {
  return fmt::format("math::lengths_within({}, {}, {}, {}, {});", x(c), all_of(c.out.shape),
                     text_of(c.length("from", 0, 0)), text_of(c.length("count", 0, 0)), y(c));
}

// ---- Matrices

std::string cholesky(const OpCall& c) {
  const Lengths& s = c.out.shape;
  return fmt::format("math::cholesky({}, {}, {}, {});", x(c), before(s, 2), from_end(s, 1), y(c));
}
/// It works on a local variable.
std::optional<std::string> lower_factor(const OpCall& c) {
  const Lengths& s = c.in[0].shape;
  const Length &rows = s[s.size() - 2], &columns = s.back();
  if (!rows.is_number() || !columns.is_number()) return std::nullopt;
  return fmt::format("math::lower_factor<{}, {}>({}, {}, {});", text_of(rows), text_of(columns), x(c), before(s, 2),
                     y(c));
}
std::string tril(const OpCall& c) {
  const Lengths& s = c.out.shape;
  return fmt::format("math::tril({}, {}, {}, {}, {}, {});", x(c), before(s, 2), from_end(s, 2), from_end(s, 1),
                     c.number("diagonal", 1), y(c));
}
std::string solve_triangular(const OpCall& c) {
  const Lengths& s = c.out.shape;
  return fmt::format("math::solve_triangular({}, {}, {}, {}, {}, {}, {});", c.number("transposed", 0) != 0, x(c),
                     x(c, 1), before(s, 2), from_end(s, 2), from_end(s, 1), y(c));
}
/// Its matrix is a local variable.
std::optional<std::string> solve_linear(const OpCall& c) {
  const Length& n = c.in[0].shape[0];
  if (!n.is_number()) return std::nullopt;
  const std::string rows = all_of(c.out.shape) + " / " + text_of(n);
  return fmt::format("math::solve_linear<{}>({}, {}, {}, {});", text_of(n), x(c), x(c, 1), rows, y(c));
}

std::string linear_recurrence(const OpCall& c) {
  const std::span<const Length> s(c.out.shape);
  const auto axis = static_cast<std::size_t>(c.number("axis", 0));
  return fmt::format("math::linear_recurrence({}, {}, {}, {}, {}, {}, {});", x(c), x(c, 1), product_text(s.first(axis)),
                     text_of(s[axis]), product_text(s.subspan(axis + 1)), c.number("transposed", 0) != 0, y(c));
}

// ---- Convolutions

std::string pair(const std::string& a, const std::string& b) { return "{" + a + ", " + b + "}"; }
/// Numbers k and k + 1 of an attribute.
std::string pair_of(const OpCall& c, std::string_view name, std::size_t k, Index usual) {
  return pair(text_of(c.length(name, k, usual)), text_of(c.length(name, k + 1, usual)));
}
std::string last_of(const Lengths& s) { return pair(from_end(s, 2), from_end(s, 1)); }

/// How a convolution goes: conv's own attributes, or `way`, which holds them all.
struct Way {
  std::string stride, dilation, before, groups;

  explicit Way(const OpCall& c)
      : stride(pair_of(c, "stride", 0, 1)),
        dilation(pair_of(c, "dilation", 0, 1)),
        before(pair_of(c, "before", 0, 0)),
        groups(text_of(c.length("groups", 0, 1))) {}
  Way(const OpCall& c, std::string_view way)
      : stride(pair_of(c, way, 0, 1)),
        dilation(pair_of(c, way, 2, 1)),
        before(pair_of(c, way, 4, 0)),
        groups(text_of(c.length(way, 8, 1))) {}
};

/// Of pictures [N, C, H, W], kernels [O, C / groups, K, L] and places [N, O, H', W'].
std::string convolution(std::string_view function, const OpCall& c, const Way& way, const Lengths& pictures,
                        const Lengths& kernels, const Lengths& places) {
  return fmt::format("math::{}({{{}, {}, {}, {} / {}, {}, {}, {}, {}, {}, {}}}, {}, {}, {}, {});", function,
                     text_of(pictures[0]), way.groups, text_of(kernels[1]), text_of(kernels[0]), way.groups,
                     last_of(pictures), last_of(kernels), way.stride, way.dilation, way.before, last_of(places), x(c),
                     x(c, 1), all_of(c.out.shape), y(c));
}

/// Of pictures [..., H, W] and windows [..., H', W', K L].
std::string window_call(std::string_view function, const OpCall& c, const Lengths& pictures, const Lengths& windows,
                        const std::string& window, const std::string& stride, const std::string& padding) {
  return fmt::format("math::{}({{{}, 1, 1, 1, {}, {}, {}, {{1, 1}}, {}, {}}}, {}, {}, {});", function,
                     before(pictures, 2), last_of(pictures), window, stride, padding,
                     pair(from_end(windows, 3), from_end(windows, 2)), x(c), all_of(c.out.shape), y(c));
}
std::string windows(const OpCall& c) {
  return window_call("windows", c, c.in[0].shape, c.out.shape, pair_of(c, "window", 0, 1), pair_of(c, "stride", 0, 1),
                     pair_of(c, "padding", 0, 0));
}
std::string from_windows(const OpCall& c) {
  return window_call("from_windows", c, c.out.shape, c.in[0].shape, pair_of(c, "windows", 0, 1),
                     pair_of(c, "windows", 2, 1), pair_of(c, "windows", 4, 0));
}

const std::map<std::string_view, Write>& calls() {
  using C = const OpCall&;
  using Text = std::optional<std::string>;
  static const std::map<std::string_view, Write> all{
      {"add_elements", [](C c) -> Text { return elements("add_elements", c, c.out.shape); }},
      {"cholesky", [](C c) -> Text { return cholesky(c); }},
      {"clear_padding", [](C c) -> Text { return clear_padding(c); }},
      {"conv", [](C c) -> Text { return convolution("conv", c, Way(c), c.in[0].shape, c.in[1].shape, c.out.shape); }},
      {"conv_data",
       [](C c) -> Text {
         return convolution("conv_data", c, Way(c, "way"), c.out.shape, c.in[1].shape, c.in[0].shape);
       }},
      {"conv_weights",
       [](C c) -> Text {
         return convolution("conv_weights", c, Way(c, "way"), c.in[0].shape, c.out.shape, c.in[1].shape);
       }},
      {"cross_entropy", [](C c) -> Text { return indexed_rows("cross_entropy", c, c.in[0].shape); }},
      {"from_windows", [](C c) -> Text { return from_windows(c); }},
      {"hardmax", [](C c) -> Text { return row_call("hardmax", c); }},
      {"lengths_within", [](C c) -> Text { return lengths_within(c); }},
      {"linear_recurrence", [](C c) -> Text { return linear_recurrence(c); }},
      {"lower_factor", lower_factor},
      {"negative",
       [](C c) -> Text { return fmt::format("math::negative({}, {}, {});", x(c), all_of(c.out.shape), y(c)); }},
      {"place", [](C c) -> Text { return indexed_rows("place", c, c.out.shape); }},
      {"scatter_rows", [](C c) -> Text { return scatter_rows(c); }},
      {"sequence_mask", [](C c) -> Text { return sequence_mask(c); }},
      {"solve_linear", solve_linear},
      {"solve_triangular", [](C c) -> Text { return solve_triangular(c); }},
      {"sort", [](C c) -> Text { return sorted("sort_by", c, c.out.shape, c.number("1", 0)); }},
      {"take_elements", [](C c) -> Text { return elements("take_elements", c, c.in[0].shape); }},
      {"tril", [](C c) -> Text { return tril(c); }},
      {"unsort", [](C c) -> Text { return sorted("unsort", c, c.in[1].shape, c.number("0", 0)); }},
      {"windows", [](C c) -> Text { return windows(c); }}};
  return all;
}

}  // namespace

std::optional<std::string> op_call(std::string_view op, const OpCall& call) {
  const auto found = calls().find(op);
  return found == calls().end() ? std::nullopt : found->second(call);
}

}  // namespace rw::detail
