// The log likelihood of a mixture of Gaussians, with a Wishart prior, and its gradient by everything but the data.

#include <algorithm>
#include <cmath>
#include <numbers>

#include <rewind/autograd/transform/derivatives.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/lookup.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/view.h>

#include "evals.h"

namespace rw::bench::gradbench {
namespace {

struct Sizes {
  Index d = 0, k = 0, n = 0;
  double gamma = 1;
  Index m = 0;
};

// What does not depend on the parameters: of the Gaussians, and of the prior (log of the multivariate gamma function).
double constant_part(const Sizes& s) {
  const double d = static_cast<double>(s.d), n = d + static_cast<double>(s.m) + 1;
  double log_gamma = d * (d - 1) / 4 * std::log(std::numbers::pi);
  for (Index j = 1; j <= s.d; ++j) log_gamma += std::lgamma(n / 2 + 0.5 * (1 - static_cast<double>(j)));
  const double prior = n * d * (std::log(s.gamma) - 0.5 * std::log(2)) - log_gamma;
  return -static_cast<double>(s.n) * d * 0.5 * std::log(2 * std::numbers::pi) + static_cast<double>(s.k) * prior;
}

// Where the numbers of l, and a 0 behind them, stand in a matrix: the strict lower triangle, column by column.
Array places(Index d) {
  std::vector<std::int32_t> at(static_cast<std::size_t>(d * d), static_cast<std::int32_t>(d * (d - 1) / 2));
  std::int32_t next = 0;
  for (Index column = 0; column < d; ++column)
    for (Index row = column + 1; row < d; ++row) at[static_cast<std::size_t>(row * d + column)] = next++;
  return Array(at);
}

Tensor lse(Tensor x, int axis) {
  const Tensor largest = max(x, axis, true);
  return reshape(largest, max(x, axis).shape()) + log(sum(exp(x - largest), axis));
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
  return fit - prior + constant_part(s);
}

double plain_lse(const Numbers& x) {
  const double largest = *std::max_element(x.begin(), x.end());
  double total = 0;
  for (double e : x) total += std::exp(e - largest);
  return largest + std::log(total);
}

double plain_likelihood(const Sizes& s, const Numbers& x, const Numbers& alpha, const Numbers& mu, const Numbers& q,
                        const Numbers& l) {
  const auto d = static_cast<std::size_t>(s.d), k = static_cast<std::size_t>(s.k), n = static_cast<std::size_t>(s.n);
  const std::size_t triangle = d * (d - 1) / 2;
  Numbers diagonal(q.size()), sums(k), terms(k), centred(d), turned(d);
  for (std::size_t i = 0; i < q.size(); ++i) diagonal[i] = std::exp(q[i]), sums[i / d] += q[i];
  double fit = 0;
  for (std::size_t p = 0; p < n; ++p) {
    for (std::size_t c = 0; c < k; ++c) {
      for (std::size_t i = 0; i < d; ++i) {
        centred[i] = x[p * d + i] - mu[c * d + i];
        turned[i] = diagonal[c * d + i] * centred[i];
      }
      const double* lower = l.data() + c * triangle;
      for (std::size_t i = 0; i < d; ++i)
        for (std::size_t j = i + 1; j < d; ++j) turned[j] += *lower++ * centred[i];
      double distance = 0;
      for (double e : turned) distance += e * e;
      terms[c] = alpha[c] + sums[c] - 0.5 * distance;
    }
    fit += plain_lse(terms);
  }
  double prior = 0;
  for (double e : diagonal) prior += e * e;
  for (double e : l) prior += e * e;
  prior *= 0.5 * s.gamma * s.gamma;
  for (double e : sums) prior -= static_cast<double>(s.m) * e;
  return fit - static_cast<double>(n) * plain_lse(alpha) - prior + constant_part(s);
}

}  // namespace

Eval gmm_eval() {
  return {"gmm", {"objective", "jacobian"}, [](std::string_view function, const json& input, Engine engine) -> Work {
            const Sizes s{input.at("d").get<Index>(), input.at("k").get<Index>(), input.at("n").get<Index>(),
                          input.at("gamma").get<double>(), input.at("m").get<Index>()};
            const auto alpha = input.at("alpha").get<Numbers>();
            if (engine == Engine::plain && function == "objective")
              return plain([s, alpha, x = flat(input.at("x")), mu = flat(input.at("mu")), q = flat(input.at("q")),
                            l = flat(input.at("l"))] { return json(plain_likelihood(s, x, alpha, mu, q, l)); });
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
