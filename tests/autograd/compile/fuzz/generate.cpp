#include "generate.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <optional>

#include <doctest/doctest.h>

namespace rw::fuzz {
namespace {

constexpr Index most_elements = 1 << 14;

bool moderate(const Array& x, double most) {
  if (!is_real(x.dtype()) || x.size() > most_elements || x.shape().rank() > 4) return false;
  const std::vector<double> numbers = x.to_vector<double>();
  return std::all_of(numbers.begin(), numbers.end(), [&](double v) { return std::abs(v) < most; });
}

bool broadcasts(const Shape& a, const Shape& b) {
  for (int i = 1; i <= std::min(a.rank(), b.rank()); ++i) {
    const Index m = a[a.rank() - i], n = b[b.rank() - i];
    if (m != n && m != 1 && n != 1) return false;
  }
  return true;
}

/// Makes one program by trying ops on a tape.
class Generator {
 public:
  explicit Generator(Rng rng) : rng_(rng), tape_(DType::f64) { p_.values = 200; }

  std::optional<Program> run() {
    loop_ = rng_.below(3) != 0;
    choose_leaves();
    Run values(p_, tape_);
    for (std::size_t i = 0; i < p_.leaves.size(); ++i) {
      const int number = static_cast<int>(i);
      values.value(number) = tape_.variable(random_leaf(p_.leaves[i], i, DType::f64));
      pool_.push_back(number);
    }
    next_ = static_cast<int>(p_.leaves.size());
    add_steps(p_.before, loop_ ? rng_.below(5) : 3 + rng_.below(12), values);
    if (loop_) {
      make_loop(values);
      add_steps(p_.after, rng_.below(6), values);
    }
    choose_outputs();
    p_.values = next_;
    p_.gradient = one_of(
        {Gradient::none, Gradient::plain, Gradient::plain, Gradient::recorded, Gradient::recorded, Gradient::second});
    return behaves() ? std::optional<Program>(p_) : std::nullopt;
  }

 private:
  template <class T>
  T one_of(std::initializer_list<T> all) {
    return all.begin()[rng_.below(static_cast<Index>(all.size()))];
  }

  void choose_leaves() {
    rows_ = one_of<Index>({1, 1, 2, 3, 5, 16});
    cols_ = one_of<Index>({1, 2, 3, 15, 16, 17, 31, 32, 33, 63, 64, 65, 200, 520, 640});
    if (cols_ > 200) rows_ = std::min<Index>(rows_, 2);
    is_cell_ = loop_ && rng_.below(2) == 0;
    if (is_cell_) cols_ = std::min<Index>(cols_, 65);
    const Index wide = one_of<Index>({1, 2, 4, 16, 33, 64}), depth = one_of<Index>({1, 2, 3});
    const Shape shapes[] = {{rows_, cols_},
                            {rows_, 1},
                            {rows_, 1},
                            {1, cols_},
                            {cols_},
                            {},
                            {1},
                            {1, 1},
                            {depth, rows_, 1},
                            {depth, 1, cols_},
                            {rows_, wide},
                            {depth, rows_, cols_},
                            {1, rows_, cols_},
                            {rows_, cols_},
                            {rows_, rows_, cols_},
                            {rows_, 1, cols_}};
    add_leaf({rows_, cols_});
    for (Index k = 1 + rng_.below(4); k > 0; --k) add_leaf(shapes[rng_.below(static_cast<Index>(std::size(shapes)))]);
    if (rng_.below(2) == 0 && cols_ <= 200) add_leaf({cols_, cols_});
    if (rng_.below(3) == 0) add_leaf({cols_, wide});
    if (rng_.below(25) == 0) add_leaf(rng_.below(2) == 0 ? Shape{0, cols_} : Shape{rows_, 0});
    steps_ = one_of<Index>({1, 2, 3, 7, 40});
    if (rows_ * cols_ * steps_ > most_elements / 2) steps_ = 3;
    if (is_cell_) return add_cell_leaves();
    if (rng_.below(3) != 0) add_sequence(rng_.below(4) == 0 ? 1 : cols_);
  }
  void add_sequence(Index cols) {
    add_leaf({steps_, rows_, cols});
    // Shapes of parameters do not depend on the length.
    if (!p_.leaves.back().is_parameter) p_.sequences.push_back(static_cast<int>(p_.leaves.size()) - 1);
  }
  // A sequence, a matrix and a bias for two gates of it and of the state, two square matrices, and where the sequence
  // of each row ends.
  void add_cell_leaves() {
    first_of_cell_ = static_cast<int>(p_.leaves.size());
    add_sequence(cols_);
    for (const Shape& shape :
         {Shape{cols_, 2 * cols_}, Shape{cols_, 2 * cols_}, Shape{2 * cols_}, Shape{cols_, cols_}, Shape{cols_, cols_}})
      add_leaf(shape);
    add_sequence(1);
  }
  void add_leaf(const Shape& shape) {
    const bool matrix = shape.rank() == 2 && shape[0] == cols_ && cols_ > 3;
    p_.leaves.push_back(
        {shape, matrix ? 1.4 / std::sqrt(static_cast<double>(cols_)) : 1.0, !p_.leaves.empty() && rng_.below(2) == 0});
  }

  // The newer ones more often.
  int any() {
    const auto n = static_cast<Index>(pool_.size());
    return pool_[static_cast<std::size_t>(std::max(rng_.below(n), rng_.below(n)))];
  }
  template <class Fits>
  int pick(Run& values, const Fits& fits) {
    std::vector<int> found;
    for (int i : pool_)
      if (fits(values.value(i).shape())) found.push_back(i);
    return found.empty() ? -1 : found[static_cast<std::size_t>(rng_.below(static_cast<Index>(found.size())))];
  }

  // Inputs and numbers for an op; false when nothing fits.
  bool choose(Step& s, Run& values) {
    const Takes takes = ops()[s.op].takes;
    const auto ranked = [&](int least, int most) {
      return pick(values, [&](const Shape& x) { return x.rank() >= least && x.rank() <= most && x.size() > 0; });
    };
    switch (takes) {
      case Takes::one:
      case Takes::pair:
      case Takes::alike: s.a = any(); break;
      case Takes::matrix:
      case Takes::product_t:
      case Takes::t_product: s.a = ranked(2, 2); break;
      case Takes::product:
      case Takes::classes: s.a = ranked(2, 3); break;
      case Takes::cube:
      case Takes::batches: s.a = ranked(3, 3); break;
      case Takes::stretch: s.a = ranked(0, 2); break;
      default: s.a = ranked(1, 4);
    }
    if (s.a < 0) return false;
    const Shape a = values.value(s.a).shape();
    s.flag = rng_.below(2) == 0;
    s.seed = static_cast<std::uint64_t>(rng_.below(1000));
    if (a.rank() > 0) choose_axis(s, a);
    return choose_second(s, a, takes, values) && choose_shape(s, a, takes);
  }

  void choose_axis(Step& s, const Shape& a) {
    s.axis = static_cast<int>(rng_.below(a.rank()));
    const Index n = ops()[s.op].takes == Takes::windows ? a[0] : a[s.axis];
    s.length = n <= 1 ? n : 1 + rng_.below(n);
    if (n % 2 == 0 && rng_.below(2) == 0) s.length = n / 2;
    s.start = rng_.below(n - s.length + 1);
    s.other = rng_.below(n - s.length + 1);
  }

  bool choose_second(Step& s, const Shape& a, Takes takes, Run& values) {
    const auto matrix = [&](int axis, Index length) {
      return pick(values, [&](const Shape& x) { return x.rank() == 2 && x[axis] == length && x.size() > 0; });
    };
    switch (takes) {
      case Takes::pair: s.b = pick(values, [&](const Shape& x) { return broadcasts(a, x); }); break;
      case Takes::alike: s.b = pick(values, [&](const Shape& x) { return x == a; }); break;
      case Takes::product: s.b = matrix(0, a.cols()); break;
      case Takes::product_t: s.b = matrix(1, a.cols()); break;
      case Takes::t_product: s.b = matrix(0, a[0]); break;
      case Takes::batches:
        s.b = pick(values, [&](const Shape& x) { return x.rank() == 3 && x[0] == a[0] && x[1] == a[2]; });
        break;
      default: return true;
    }
    return s.b >= 0;
  }

  bool choose_shape(Step& s, const Shape& a, Takes takes) {
    if (takes == Takes::stretch) {
      s.shape =
          a.rank() > 0 && rng_.below(2) == 0 && a.cols() == 1 ? a.with(a.rank() - 1, cols_) : a.inserted(0, rows_);
    } else if (takes == Takes::reshape) {
      s.shape = one_of<Shape>({{a.size()},
                               {1, a.size()},
                               {a.size(), 1},
                               {a.rows(), a.cols()},
                               {a.cols(), a.rows()},
                               {1, a.rows(), a.cols()},
                               {a.rows(), 1, a.cols()}});
    }
    return true;
  }

  // Tries one op; its number, or -1.
  int try_step(std::vector<Step>& list, Run& values) {
    Step s;
    s.op = static_cast<std::size_t>(rng_.below(static_cast<Index>(ops().size())));
    if (next_ + 1 >= p_.values || !choose(s, values)) return -1;
    s.out = next_;
    try {
      if (!moderate(values.step(s, 0).array(), 20)) return -1;
    } catch (const Error&) {
      return -1;
    }
    list.push_back(s);
    pool_.push_back(next_);
    return next_++;
  }
  void add_steps(std::vector<Step>& list, Index count, Run& values) {
    for (Index tries = 0, made = 0; made < count && tries < 20 * count; ++tries) made += try_step(list, values) >= 0;
  }

  void carry(int first, Run& values) {
    if (first < 0) return;
    p_.carried.push_back({next_, first, -1});
    values.value(next_) = values.value(first);
    pool_.push_back(next_++);
  }

  // An op of the body that is known to fit.
  int body_step(const std::string& text, int a, int b, Run& values, Index start = 0) {
    Step s;
    while (ops()[s.op].text != text) ++s.op;
    s.a = a;
    s.b = b;
    s.axis = 1;
    s.start = s.other = start;
    s.length = cols_;
    s.out = next_;
    values.step(s, 0);
    p_.body.push_back(s);
    pool_.push_back(next_);
    return next_++;
  }
  // What recurrent cells begin with: two products, gates, and perhaps products that wait for those.
  void begin_cell(Run& values) {
    const int x = first_of_cell_, h = p_.carried[0].value;
    const std::string at = rng_.below(3) == 0 ? "select(a, 0, a.size(0) - 1 - t % a.size(0))"  // the other direction
                                              : "select(a, 0, t % a.size(0))";
    const int now = body_step(at, x, -1, values);
    const int from_x = body_step("matmul(a, b)", now, x + 1, values);
    const int from_h = body_step("matmul(a, b)", h, x + 2, values);
    int sum = body_step("a + b", from_x, from_h, values);
    if (rng_.below(3) != 0) sum = body_step("a + b", sum, x + 3, values);
    const int p = body_step("slice(a, axis, start, length)", sum, -1, values);
    const int q = body_step("slice(a, axis, start, length)", sum, -1, values, cols_);
    const int mixed = body_step("sigmoid(a) * b + (1 - sigmoid(a)) * tanh(b)", p, q, values);
    next_of_cell_ = mixed;
    if (rng_.below(2) == 0) more_products(mixed, x, values);
    if (rng_.below(3) == 0) pad(body_step(at, x + 6, -1, values), h, values);
  }
  void more_products(int mixed, int x, Run& values) {
    const int left = body_step("tanh(matmul(a, b))", mixed, x + 4, values);
    const int right = body_step("tanh(matmul(a, b))", rng_.below(2) == 0 ? mixed : left, x + 5, values);
    next_of_cell_ = body_step("a * b", left, right, values);
  }
  // Rows that are padded keep their state.
  void pad(int inside, int h, Run& values) {
    const int change = body_step("a - b", next_of_cell_, h, values);
    next_of_cell_ = body_step("a + b", h, body_step("where(a > 0, b, b * 0)", inside, change, values), values);
  }

  void make_loop(Run& values) {
    p_.steps = steps_;
    const std::size_t outside = pool_.size();
    if (is_cell_) carry(0, values);
    for (Index k = 1 + rng_.below(2); k > 0; --k)
      carry(pick(values, [&](const Shape& x) { return x.size() > 0 && x.rank() <= 2 && x.rows() == rows_; }), values);
    const std::size_t inside = pool_.size();
    if (is_cell_) begin_cell(values);
    add_steps(p_.body, 3 + rng_.below(6), values);
    for (Carried& c : p_.carried) close(c, inside, values);
    std::erase_if(p_.carried, [](const Carried& c) { return c.next < 0; });
    keep(inside, values);
    // The loop's own values are not seen outside, but for those that it carries and keeps.
    pool_.resize(outside);
    for (const Carried& c : p_.carried) pool_.push_back(c.value);
    for (const Kept& k : p_.kept) pool_.push_back(k.all);
  }

  // What a carried value becomes: the result of the cell, something of its shape that the step has made, or another
  // carried value as it was.
  void close(Carried& c, std::size_t inside, Run& values) {
    const Shape shape = values.value(c.value).shape();
    if (is_cell_ && c.value == p_.carried[0].value && rng_.below(2) == 0) c.next = next_of_cell_;
    if (c.next < 0 && rng_.below(6) == 0)
      for (const Carried& other : p_.carried)
        if (other.value != c.value && values.value(other.value).shape() == shape) c.next = other.value;
    for (int tries = 0; c.next < 0 && tries < 60; ++tries) {
      std::vector<int> found;
      for (std::size_t i = inside; i < pool_.size(); ++i)
        if (values.value(pool_[i]).shape() == shape) found.push_back(pool_[i]);
      if (!found.empty()) c.next = found[static_cast<std::size_t>(rng_.below(static_cast<Index>(found.size())))];
      if (c.next < 0) try_step(p_.body, values);
    }
    if (c.next < 0) std::erase(pool_, c.value), drop_users(c.value);
  }
  // A value that is not carried after all is the one before the loop.
  void drop_users(int value) {
    int first = value;
    for (const Carried& c : p_.carried)
      if (c.value == value) first = c.first;
    for (Step& s : p_.body) {
      if (s.a == value) s.a = first;
      if (s.b == value) s.b = first;
    }
    for (Carried& c : p_.carried)
      if (c.next == value) c.next = first;
  }

  void keep(std::size_t inside, Run& values) {
    for (Index k = rng_.below(3); k > 0 && pool_.size() > inside; --k) {
      const int each = pool_[inside + static_cast<std::size_t>(rng_.below(static_cast<Index>(pool_.size() - inside)))];
      const Tensor x = values.value(each);
      if (x.shape().rank() > 3 || x.size() * steps_ > most_elements || next_ + 1 >= p_.values) continue;
      p_.kept.push_back({each, next_});
      values.value(next_) = stack(std::vector<Tensor>(static_cast<std::size_t>(steps_), x));
      pool_.push_back(next_++);
    }
  }

  void choose_outputs() {
    for (Index k = 1 + rng_.below(3); k > 0; --k)
      if (const int o = any(); std::find(p_.outputs.begin(), p_.outputs.end(), o) == p_.outputs.end())
        p_.outputs.push_back(o);
  }

  bool behaves() const {
    try {
      for (const Array& x : reference(p_, DType::f64))
        if (!moderate(x, 1e3)) return false;
      return true;
    } catch (const Error&) {
      return false;
    }
  }

  Rng rng_;
  Tape tape_;
  Program p_;
  std::vector<int> pool_;
  Index rows_ = 1, cols_ = 1, steps_ = 1;
  int next_ = 0, first_of_cell_ = -1, next_of_cell_ = -1;
  bool loop_ = false, is_cell_ = false;
};

}  // namespace

std::vector<Array> reference(const Program& p, DType leaves) {
  Tape tape(DType::f64);
  std::vector<std::unique_ptr<Parameter>> parameters;
  std::vector<Tensor> x;
  for (std::size_t i = 0; i < p.leaves.size(); ++i) {
    const Array value = random_leaf(p.leaves[i], i, leaves).to(DType::f64);
    if (p.gradient == Gradient::plain && p.leaves[i].is_parameter) {
      parameters.push_back(std::make_unique<Parameter>("p", value));
      x.push_back(tape.leaf(*parameters.back()));
    } else {
      x.push_back(tape.variable(value));
    }
  }
  std::vector<Array> out;
  for (const Tensor& t : Run(p, tape)(x)) out.push_back(t.array());
  for (const auto& parameter : parameters) out.push_back(parameter->grad());
  return out;
}

Program random_program(std::uint64_t seed) {
  for (std::uint64_t k = 0;; ++k)
    if (const std::optional<Program> p = Generator(Rng(seed).split(k)).run()) return *p;
}

// ---- Its tests ----

namespace {

TEST_CASE("random programs are made of every op, with and without loops") {
  std::vector<bool> seen(ops().size());
  int loops = 0, second = 0, empty = 0;
  for (std::uint64_t seed = 0; seed < 600; ++seed) {
    const Program p = random_program(seed);
    for (const std::vector<Step>* list : {&p.before, &p.body, &p.after})
      for (const Step& s : *list) seen[s.op] = true;
    loops += p.steps > 1;
    second += p.gradient == Gradient::second;
    for (const Leaf& leaf : p.leaves) empty += leaf.shape.size() == 0;
  }
  for (std::size_t i = 0; i < seen.size(); ++i) {
    CAPTURE(ops()[i].text);
    CHECK(seen[i]);
  }
  CHECK(loops > 150);
  CHECK(second > 40);
  CHECK(empty > 5);
}

}  // namespace

}  // namespace rw::fuzz
