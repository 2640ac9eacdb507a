#include <string>

#include <doctest/doctest.h>

#include <rewind/autograd/program/queries.h>
#include <rewind/autograd/program/text.h>

namespace rw {
namespace {

// The product of a program that ends with one.
Index inner_length_of(const std::string& program) {
  const ir::Graph g = ir::parse("program f32\n" + program + "return p\n");
  return ir::inner_length(g, g.size() - 1);
}

TEST_CASE("the length over which a product sums, of matrices and of stacks of them, transposed or not") {
  CHECK(inner_length_of("a = input 0 : (2, 3)\nb = input 1 : (3, 5)\np = matmul a b\n") == 3);
  CHECK(inner_length_of("a = input 0 : (3, 2)\nb = input 1 : (3, 5)\np = matmul(ta=true) a b\n") == 3);
  CHECK(inner_length_of("a = input 0 : (2, 3)\nb = input 1 : (5, 3)\np = matmul(tb=true) a b\n") == 3);
  CHECK(inner_length_of("a = input 0 : (4, 2, 3)\nb = input 1 : (3, 5)\np = matmul a b\n") == 3);
  CHECK(inner_length_of("a = input 0 : (4, 3, 2)\nb = input 1 : (4, 3, 5)\np = matmul(ta=true) a b\n") == 3);
  CHECK(inner_length_of("a = input 0 : (7, 4, 3, 2)\nb = input 1 : (7, 4, 5, 3)\np = matmul(ta=true, tb=true) a b\n") ==
        3);
}

}  // namespace
}  // namespace rw
