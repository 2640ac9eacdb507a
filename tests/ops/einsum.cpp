#include <map>
#include <string>

#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/ops/einsum.h>
#include <rewind/tools/gradcheck/check_op.h>

using namespace rw;

namespace {

// By its definition: a loop over all letters.
Array summed(const std::string& a_letters, const std::string& b_letters, const std::string& out, const Array& a,
             const Array& b) {
  std::map<char, Index> lengths, at;
  for (std::size_t i = 0; i < a_letters.size(); ++i) lengths[a_letters[i]] = a.shape()[static_cast<int>(i)];
  for (std::size_t i = 0; i < b_letters.size(); ++i) lengths[b_letters[i]] = b.shape()[static_cast<int>(i)];
  const auto place = [&](const std::string& letters) {
    Index offset = 0;
    for (const char c : letters) offset = offset * lengths[c] + at[c];
    return static_cast<std::size_t>(offset);
  };
  Shape shape;
  Index all = 1;
  for (const char c : out) shape = shape.inserted(shape.rank(), lengths[c]);
  for (const auto& [letter, length] : lengths) all *= length;
  Array y(shape, DType::f64);
  for (Index i = 0; i < all; ++i) {
    Index rest = i;
    for (const auto& [letter, length] : lengths) {
      at[letter] = rest % length;
      rest /= length;
    }
    y.span<double>()[place(out)] += a.span<double>()[place(a_letters)] * b.span<double>()[place(b_letters)];
  }
  return y;
}

void check_einsum(const std::string& a, const std::string& b, const std::string& out, const Shape& sa,
                  const Shape& sb) {
  const std::string text = a + "," + b + "->" + out;
  CAPTURE(text);
  CHECK(check_op(
      "einsum", [&](Tensor x, Tensor y) { return einsum(text, x, y); },
      [&](const Array& x, const Array& y) { return summed(a, b, out, x, y); },
      {.shapes = {{sa, sb}},
       .no_special_values = "sums of products in another order",
       .no_zero_gradients = "a matrix product adds 0 times what is not finite"}));
}

}  // namespace

TEST_CASE("outer") {
  CHECK(check_op(
      "outer", [](Tensor a, Tensor b) { return outer(a, b); },
      [](const Array& a, const Array& b) {
        Shape shape = a.shape();
        for (int i = 0; i < b.shape().rank(); ++i) shape = shape.inserted(shape.rank(), b.shape()[i]);
        Array y(shape, DType::f64);
        for (Index i = 0; i < y.size(); ++i)
          y.span<double>()[static_cast<std::size_t>(i)] = a.span<double>()[static_cast<std::size_t>(i / b.size())] *
                                                          b.span<double>()[static_cast<std::size_t>(i % b.size())];
        return y;
      },
      {.shapes = {{{3}, {2}}, {{2, 2}, {3}}, {{}, {2}}, {{0}, {2}}}, .bad = {{{1, 1, 1, 1}, {1, 1, 1}}}}));
}

TEST_CASE("einsum of two: products, stacks, sums, any order") {
  check_einsum("ij", "jk", "ik", {2, 3}, {3, 4});
  check_einsum("ij", "jk", "ki", {2, 3}, {3, 4});
  check_einsum("ij", "kj", "ik", {2, 3}, {4, 3});
  check_einsum("nij", "njk", "nik", {2, 3, 2}, {2, 2, 3});
  check_einsum("nij", "nj", "ni", {2, 3, 2}, {2, 2});
  check_einsum("bqd", "bkd", "bqk", {2, 2, 3}, {2, 4, 3});
  check_einsum("i", "i", "", {3}, {3});
  check_einsum("i", "j", "ij", {3}, {2});
  check_einsum("ij", "ij", "ij", {2, 3}, {2, 3});
  check_einsum("ijk", "j", "k", {2, 3, 2}, {3});
  check_einsum("ij", "kl", "jl", {2, 3}, {2, 2});
  check_einsum("hni", "hio", "nho", {2, 3, 2}, {2, 2, 2});
  check_einsum("ij", "jk", "ik", {2, 0}, {0, 3});
}

TEST_CASE("einsum refuses what it cannot do") {
  Tape tape;
  const Tensor a = tape.constant(1, Shape{2, 3}), b = tape.constant(1, Shape{3, 4});
  CHECK(einsum(" ij , jk -> ik ", a, b).shape() == Shape{2, 4});
  const char* const texts[] = {"ij,jk", "ij->ij", "ii,jk->ik", "ij,jk->il", "i1,jk->ik", "ij,jk->ii", "->,", ""};
  const NodeId before = tape.size();
  for (const char* text : texts) {
    CAPTURE(text);
    CHECK_THROWS_AS(einsum(text, a, b), Error);
  }
  CHECK_THROWS_WITH_AS(einsum("i,jk->ik", a, b),
                       "[einsum] \"i,jk->ik\" does not have a letter for each axis of (2, 3) and (3, 4)", Error);
  CHECK_THROWS_WITH_AS(einsum("ij,ik->jk", a, b),
                       "[einsum] \"ij,ik->jk\": the lengths of i differ in (2, 3) and (3, 4)", Error);
  CHECK(tape.size() == before);
}
