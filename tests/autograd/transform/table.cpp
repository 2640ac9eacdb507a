// Every op and every transform: each meets each here, and docs/transforms.md has the table that comes of it.
// REWIND_WRITE_DOCS=1 writes it anew.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <numeric>
#include <sstream>

#include <doctest/doctest.h>

#include <rewind/autograd/compile/compile.h>
#include <rewind/autograd/transform/checkpoint.h>
#include <rewind/autograd/transform/custom_vjp.h>
#include <rewind/autograd/transform/sparse.h>
#include <rewind/autograd/transform/vmap.h>
#include <rewind/ops/ops.h>

#include "../../paths.h"
#include "../../tools/gradcheck/op_cases.h"
#include "../support.h"

using namespace rw;
using ::test::list;
using ::test::numbers;
using Tensors = std::vector<Tensor>;
using Function = std::function<Tensor(const Tensors&)>;

namespace {

const std::vector<Shape> shapes = {{2, 3}, {3, 3}, {3, 2}, {2, 3}, {3}, {2, 1}, {}, {2, 2, 3}, {2, 2, 3}, {3}};

std::vector<Array> arrays(std::uint64_t seed, Index examples = 0) {
  std::vector<Array> out;
  for (const Shape& s : shapes) out.push_back(numbers(examples == 0 ? s : s.inserted(0, examples), seed++, DType::f64));
  return out;
}

Tensors constants(Tape& tape, const std::vector<Array>& values) {
  Tensors out;
  for (const Array& a : values) out.push_back(tape.constant(a));
  return out;
}

std::vector<double> flat(const Tensors& all) {
  std::vector<double> out;
  for (const Tensor& t : all)
    for (double e : list(t.value())) out.push_back(e);
  return out;
}
double dot(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}
double distance(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]) / (1 + std::abs(b[i])));
  return most;
}

/// What the table says of one op.
struct Row {
  std::string op, gradient, hessian, vmap, pattern;
};

bool all_zero(const std::vector<double>& x) {
  return std::all_of(x.begin(), x.end(), [](double e) { return e == 0; });
}

// A scalar of the result in which every element counts differently.
Tensor scalar(const Tensor& y) { return sum(square(y + 0.3) * y.tape().constant(numbers(y.shape(), 50, DType::f64))); }

void check_first_order(Tape& tape, const Function& f, Row& row) {
  const Tensors x = constants(tape, arrays(1)), v = constants(tape, arrays(100));
  const auto [y, dy] = jvp(f, x, v);
  const auto [same, pull] = vjp(f, x);
  const Tensor u = tape.constant(numbers(y.shape(), 300, DType::f64));
  const Tensors dx = pull(u);
  const double forward = dot(flat({u}), flat({dy})), back = dot(flat(dx), flat(v));
  CHECK(std::abs(forward - back) <= 1e-13 * (1 + std::abs(forward)));
  const Tensor j = jacobian(f, x, Direction::rows);
  CHECK(distance(flat({matmul(j, tape.constant(Array(flat(v), Shape{j.size(1), 1})))}), flat({dy})) < 1e-12);
  row.gradient = all_zero(flat(dx)) ? "0" : "yes";
  const auto kept = [&](const Tensors& a) { return scalar(f(a)); };
  CHECK(distance(flat(value_and_grad(checkpoint(kept), x).second), flat(value_and_grad(kept, x).second)) == 0);
  const auto own = custom_vjp(f, [&](const Tensors& a, Tensor, Tensor d) { return vjp(f, a).second(d); });
  CHECK(distance(flat(vjp(own, x).second(u)), flat(dx)) == 0);
}

void check_second_order(Tape& tape, const Function& f, Row& row) {
  const Tensors x = constants(tape, arrays(1)), v = constants(tape, arrays(100)), w = constants(tape, arrays(200));
  const auto g = [&](const Tensors& a) { return scalar(f(a)); };
  const std::vector<double> hv = flat(hvp(g, x, v)), hw = flat(hvp(g, x, w));
  CHECK(std::abs(dot(hv, flat(w)) - dot(hw, flat(v))) <= 1e-12 * (1 + std::abs(dot(hv, flat(w)))));
  const auto slope = [&](const Tensors& a) { return jvp(g, a, v).second; };
  CHECK(distance(flat(value_and_grad(slope, x).second), hv) < 1e-12);  // reverse over forward
  row.hessian = all_zero(hv) ? "0" : "yes";
}

void check_vmap(Tape& tape, const Function& f, Row& row) {
  std::vector<NodeId> nodes;
  for (const Index examples : {3, 5}) {
    const Tensors all = constants(tape, arrays(1, examples));
    tape.set_draw(0);
    const NodeId before = tape.size();
    const Tensor y = vmap(f)(all);
    nodes.push_back(tape.size() - before);
    std::vector<double> each;
    for (Index e = 0; e < examples; ++e) {
      Tensors one;
      for (const Tensor& t : all) one.push_back(select(t, 0, e));
      tape.set_draw(0);
      for (double value : list(f(one).value())) each.push_back(value);
    }
    CHECK(distance(flat({y}), each) < 1e-13);
  }
  row.vmap = nodes[0] == nodes[1] ? "at once" : "one by one";
}

void check_pattern(Tape& tape, const Function& f, Row& row) {
  const Tensors x = constants(tape, arrays(1));
  const SparseJacobian sparse = sparse_jacobian(f, x);
  const std::vector<double> j = list(jacobian(f, x).value()), values = list(sparse.values.value());
  std::size_t at = 0, entries = 0;
  std::vector<double> dense(j.size(), 0);
  for (std::size_t r = 0; r < sparse.pattern.of_row.size(); ++r)
    for (const std::uint32_t c : sparse.pattern.of_row[r]) {
      dense[r * static_cast<std::size_t>(sparse.pattern.columns) + c] = values[at++];
      ++entries;
    }
  CHECK(distance(dense, j) < 1e-12);
  CHECK(sparse.colours <= std::min(sparse.pattern.rows, sparse.pattern.columns));
  std::size_t nonzero = 0;
  for (double e : j) nonzero += e != 0;
  row.pattern = entries == 0 ? "none" : nonzero == entries ? "exact" : "wider";
}

void check_compiled(const Function& f) {
  const auto all = [&](Tape& tape, const Tensors& x, const Tensors& v) {
    const auto at = [&](const Tensors& a) {
      tape.set_draw(0);
      return f(a);
    };
    const auto g = [&](const Tensors& a) { return scalar(at(a)); };
    Tensors out{jvp(at, x, v).second};
    for (const Tensor& t : hvp(g, x, v)) out.push_back(t);
    out.push_back(jacobian(at, x));
    Tensors twice;
    for (const Tensor& t : x) twice.push_back(stack({t, t}));
    out.push_back(vmap(at)(twice));
    return out;
  };
  const std::vector<Array> x = arrays(1), v = arrays(100);
  Tape tape(DType::f64);
  const Tensors eager = all(tape, constants(tape, x), constants(tape, v));
  auto compiled = compile(all, {.dtype = DType::f64, .verify = true}, x, v);
  CHECK(distance(flat(compiled(x, v)), flat(eager)) < 1e-12);
}

Row row_of(const std::string& name, const Function& f) {
  CAPTURE(name);
  Tape tape(DType::f64);
  const Function at = [&](const Tensors& x) {
    tape.set_draw(0);
    return f(x);
  };
  Row row{name, {}, {}, {}, {}};
  check_first_order(tape, at, row);
  check_second_order(tape, at, row);
  check_vmap(tape, at, row);
  check_pattern(tape, at, row);
  check_compiled(f);
  return row;
}

// The op on inputs that it can take: which ones is chosen at random.
Function chosen(const rw::test::OpCase& c) {
  for (std::uint64_t seed = 11;; ++seed) {
    const Function f = [&c, seed](const Tensors& x) {
      rw::test::Pool pool(x[0].tape(), x);
      Rng rng(seed);
      return c.make(pool, rng);
    };
    try {
      Tape tape(DType::f64);
      // An op of twice the same tensor, x - x, would show nothing.
      if (!all_zero(flat({jvp(f, constants(tape, arrays(1)), constants(tape, arrays(100))).second})) || seed > 60)
        return f;
    } catch (const Error&) {  // shapes that do not fit
    }
  }
}

std::string table() {
  std::ostringstream out;
  out << "| op | vjp, jvp, Jacobian | hvp, Hessian | vmap | pattern of the Jacobian |\n|---|---|---|---|---|\n";
  const auto add = [&](const Row& r) {
    for (const std::string* cell : {&r.gradient, &r.hessian, &r.vmap, &r.pattern}) CHECK_FALSE(cell->empty());
    out << "| " << r.op << " | " << r.gradient << " | " << r.hessian << " | " << r.vmap << " | " << r.pattern << " |\n";
  };
  for (const rw::test::OpCase& c : rw::test::op_cases()) add(row_of(c.name, chosen(c)));
  add(row_of("a user's own op", [](const Tensors& x) { return record(::test::Product{}, {x[0], x[3]}); }));
  return out.str();
}

}  // namespace

TEST_CASE("every op meets every transform, and the table in docs/transforms.md is what comes of it") {
  const std::string begin = "<!-- table -->\n", end = "<!-- end of table -->\n";
  const std::filesystem::path path = std::filesystem::path(source_dir()) / "docs" / "transforms.md";
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  const std::string page = text.str();
  const std::size_t from = page.find(begin), to = page.find(end);
  REQUIRE(from != std::string::npos);
  REQUIRE(to != std::string::npos);
  const std::string found = table();
  if (std::getenv("REWIND_WRITE_DOCS") != nullptr) {
    std::ofstream(path) << page.substr(0, from + begin.size()) << found << page.substr(to);
    return;
  }
  CHECK_MESSAGE(page.substr(from + begin.size(), to - from - begin.size()) == found,
                "docs/transforms.md has another table: REWIND_WRITE_DOCS=1 writes it");
}
