// The log likelihood of a mixture of Gaussians, with a Wishart prior, and its gradient by everything but the data.

#include <rewind/autograd/transform/derivatives.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/lookup.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/view.h>

#include "evals.h"
#include "plain.h"

namespace rw::bench::gradbench {
namespace {

struct Sizes {
  Index d = 0, k = 0, n = 0;
  double gamma = 1;
  Index m = 0;

  plain_cpp::GmmSizes plain() const {
    const auto size = [](Index i) { return static_cast<std::size_t>(i); };
    return {size(d), size(k), size(n), gamma, size(m)};
  }
};

// Where the numbers of l, and a 0 behind them, stand in a matrix: the strict lower triangle, column by column.
Array places(Index d) {
  std::vector<std::int32_t> at(static_cast<std::size_t>(d * d), static_cast<std::int32_t>(d * (d - 1) / 2));
  std::int32_t next = 0;
  for (Index column = 0; column < d; ++column)
    for (Index row = column + 1; row < d; ++row) at[static_cast<std::size_t>(row * d + column)] = next++;
  return Array(at);
}

Tensor lse(Tensor x, int axis) {
  const Tensor largest = max(x, {axis}, true);
  return reshape(largest, max(x, {axis}).shape()) + log(sum(exp(x - largest), axis));
}

// x [n, d], alpha [k], mu [k, d], q [k, d] (logs of the diagonal), l [k, d (d - 1) / 2].
Tensor likelihood(const Sizes& s, Tensor x, Tensor at, Tensor alpha, Tensor mu, Tensor q, Tensor l) {
  const Tensor diagonal = exp(q), sums = sum(q, 1);
  const Tensor numbers = concat({transpose(l), x.tape().constant(0, {1, s.k})});  // [numbers + 1, k]
  const Tensor lower = reshape(lookup(numbers, at), {s.d, s.d, s.k});
  // Q (x - mu) = Q x - Q mu, for each component.
  const Tensor factors = permute(lower, {2, 0, 1}) + reshape(diagonal, {s.k, s.d, 1}) * x.tape().constant([&] {
    Array eye(Shape{s.d, s.d}, DType::f64);
    for (Index i = 0; i < s.d; ++i) eye.span<double>()[static_cast<std::size_t>(i * s.d + i)] = 1;
    return eye;
  }());
  const Tensor centred = matmul(x, reshape(factors, {s.k * s.d, s.d}), {.transpose_b = true});  // [n, k d]
  const Tensor shift = reshape(matmul(factors, reshape(mu, {s.k, s.d, 1})), {s.k * s.d});
  const Tensor distance = sum(square(reshape(centred - shift, {s.n, s.k, s.d})), 2);  // [n, k]
  const Tensor terms = alpha + sums - 0.5 * distance;
  const Tensor fit = sum(lse(terms, 1)) - static_cast<double>(s.n) * lse(alpha, 0);
  const Tensor frobenius = sum(square(diagonal)) + sum(square(l));
  const Tensor prior = 0.5 * s.gamma * s.gamma * frobenius - static_cast<double>(s.m) * sum(sums);
  return fit - prior + plain_cpp::gmm_constant(s.plain());
}

}  // namespace

Eval gmm_eval() {
  return {"gmm", {"objective", "jacobian"}, [](std::string_view function, const json& input, Engine engine) -> Work {
            const Sizes s{input.at("d").get<Index>(), input.at("k").get<Index>(), input.at("n").get<Index>(),
                          input.at("gamma").get<double>(), input.at("m").get<Index>()};
            const auto alpha = input.at("alpha").get<Numbers>();
            if (engine == Engine::plain && function == "objective")
              return plain(
                  [s, alpha, x = flat(input.at("x")), mu = flat(input.at("mu")), q = flat(input.at("q")),
                   l = flat(input.at("l"))] { return json(plain_cpp::gmm<double>(s.plain(), x, alpha, mu, q, l)); });
            if ((function != "objective" && function != "jacobian") || engine == Engine::plain)
              no_function("gmm", function);
            const Array l(flat(input.at("l")), Shape{s.k, s.d * (s.d - 1) / 2});
            const Record record = [s, derive = function == "jacobian"](Tape&, const std::vector<Tensor>& at) {
              const auto f = [&](Tensor a, Tensor mu, Tensor q, Tensor low) {
                return likelihood(s, at[0], at[1], a, mu, q, low);
              };
              const auto by = std::tuple(at[2], at[3], at[4], at[5]);
              if (!derive) return std::vector<Tensor>{std::apply(f, by)};
              const auto [a, mu, q, low] = value_and_grad(f, by).second;
              return std::vector<Tensor>{a, mu, q, low};
            };
            const auto gradient = [](const std::vector<Array>& r) {
              return json{{"alpha", r.at(0).to_vector<double>()},
                          {"mu", rows(r.at(1))},
                          {"q", rows(r.at(2))},
                          {"l", rows(r.at(3))}};
            };
            const auto shape =
                function == "objective" ? std::function<json(const std::vector<Array>&)>(number) : gradient;
            return ours(engine, record,
                        {matrix_of(input.at("x")), places(s.d), vector_of(alpha), matrix_of(input.at("mu")),
                         matrix_of(input.at("q")), l},
                        shape);
          }};
}

}  // namespace rw::bench::gradbench
