#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <rewind/autograd/tape.h>
#include <rewind/core/error.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/axes.h>
#include <rewind/ops/einsum.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/view.h>

namespace rw {
namespace {

struct Letters {
  std::string a, b, out;
};

bool distinct(std::string text) {
  std::sort(text.begin(), text.end());
  return std::adjacent_find(text.begin(), text.end()) == text.end();
}

bool has(const std::string& text, char letter) { return text.find(letter) != std::string::npos; }

std::string without_spaces(std::string_view text) {
  std::string out;
  std::copy_if(text.begin(), text.end(), std::back_inserter(out), [](char c) { return c != ' '; });
  return out;
}

// The letters of a text such as "ij,jk->ik"; nothing when it says something else.
std::optional<Letters> parsed(const std::string& text) {
  const std::size_t comma = text.find(','), arrow = text.find("->");
  if (comma == text.npos || arrow == text.npos || comma > arrow) return std::nullopt;
  Letters l{text.substr(0, comma), text.substr(comma + 1, arrow - comma - 1), text.substr(arrow + 2)};
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  for (const std::string* side : {&l.a, &l.b, &l.out})
    if (!std::all_of(side->begin(), side->end(), is_letter) || !distinct(*side)) return std::nullopt;
  const auto is_there = [&](char c) { return has(l.a, c) || has(l.b, c); };
  return std::all_of(l.out.begin(), l.out.end(), is_there) ? std::optional(l) : std::nullopt;
}

/// An operand and the letters of its axes.
struct Named {
  Tensor x;
  std::string letters;

  Index length(char letter) const { return x.shape()[static_cast<int>(letters.find(letter))]; }

  // Sums over what nobody else has.
  void keep(const std::string& wanted) {
    for (auto i = static_cast<int>(letters.size()); i-- > 0;)
      if (!has(wanted, letters[static_cast<std::size_t>(i)])) {
        x = sum(x, i);
        letters.erase(static_cast<std::size_t>(i), 1);
      }
  }
  void order(const std::string& wanted) {
    std::vector<int> axes;
    for (const char c : wanted) axes.push_back(static_cast<int>(letters.find(c)));
    if (!std::is_sorted(axes.begin(), axes.end())) x = permute(x, std::span<const int>(axes));
    letters = wanted;
  }
};

Shape shape_of(const std::string& letters, const Named& a, const Named& b) {
  Shape out;
  for (const char c : letters) out = out.inserted(out.rank(), has(a.letters, c) ? a.length(c) : b.length(c));
  return out;
}

// Both as stacks of matrices, [batch, rows, shared] and [batch, shared, columns], and their product.
Tensor product(Named a, Named b, const std::string& out) {
  std::string batch, shared, rows, columns;
  for (const char c : a.letters) (!has(b.letters, c) ? rows : has(out, c) ? batch : shared) += c;
  for (const char c : b.letters)
    if (!has(a.letters, c)) columns += c;
  a.order(batch + rows + shared);
  b.order(batch + shared + columns);
  const Index n = shape_of(batch, a, b).size(), k = shape_of(shared, a, b).size();
  const Index m = shape_of(rows, a, b).size(), p = shape_of(columns, a, b).size();
  const bool one = batch.empty();
  const Tensor y =
      matmul(reshape(a.x, one ? Shape{m, k} : Shape{n, m, k}), reshape(b.x, one ? Shape{k, p} : Shape{n, k, p}));
  const std::string order = batch + rows + columns;
  Named result{reshape(y, shape_of(order, a, b)), order};
  result.order(out);
  return result.x;
}

}  // namespace

Tensor outer(Operand a, Operand b) {
  Tape& tape = checked_tensor("outer", a.tensor() != nullptr ? a : b).tape();
  const Tensor left = tape.resolve(a), right = tape.resolve(b);
  Shape rows = left.shape();
  if (rows.rank() + right.shape().rank() > max_rank)
    throw tape.error("outer", fmt::format("more than {} axes: {} and {}", max_rank, rows.str(), right.shape().str()));
  for (int i = 0; i < right.shape().rank(); ++i) rows = rows.inserted(rows.rank(), 1);
  return reshape(left, rows) * right;
}

Tensor einsum(std::string_view text, Operand a, Operand b) {
  Tape& tape = checked_tensor("einsum", a.tensor() != nullptr ? a : b).tape();
  Named left{tape.resolve(a), {}}, right{tape.resolve(b), {}};
  const std::string shapes = left.x.shape().str() + " and " + right.x.shape().str();
  const std::optional<Letters> letters = parsed(without_spaces(text));
  if (!letters.has_value())
    throw tape.error(
        "einsum", fmt::format("\"{}\" for {}: it must be like \"ij,jk->ik\", no letter twice on a side, those of the "
                              "result among those of the operands",
                              text, shapes));
  if (static_cast<int>(letters->a.size()) != left.x.shape().rank() ||
      static_cast<int>(letters->b.size()) != right.x.shape().rank())
    throw tape.error("einsum", fmt::format("\"{}\" does not have a letter for each axis of {}", text, shapes));
  left.letters = letters->a;
  right.letters = letters->b;
  for (const char c : letters->a)
    if (has(letters->b, c) && left.length(c) != right.length(c))
      throw tape.error("einsum", fmt::format("\"{}\": the lengths of {} differ in {}", text, c, shapes));
  left.keep(letters->b + letters->out);
  right.keep(letters->a + letters->out);
  return product(left, right, letters->out);
}

}  // namespace rw
