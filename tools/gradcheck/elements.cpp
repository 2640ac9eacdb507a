#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include <fmt/format.h>

#include <rewind/core/random.h>
#include <rewind/tools/gradcheck/elements.h>
#include <rewind/tools/gradcheck/judge.h>
#include <rewind/tools/gradcheck/node.h>

namespace rw::detail {
namespace {

constexpr int rows_to_name = 4;  // of a parameter whose directions are wrong

std::vector<Index> position(const Shape& shape, Index flat) {
  std::vector<Index> p(static_cast<std::size_t>(shape.rank()));
  for (int axis = shape.rank(); axis-- > 0; flat /= shape[axis]) p[static_cast<std::size_t>(axis)] = flat % shape[axis];
  return p;
}

// The worst elements first.
void keep_worst(GradReport& report, std::size_t n) {
  std::stable_sort(report.worst.begin(), report.worst.end(), [](const GradElement& a, const GradElement& b) {
    return a.verdict != b.verdict ? a.verdict > b.verdict : a.excess() > b.excess();
  });
  if (report.worst.size() > n) report.worst.resize(n);
}

/// The check of one parameter.
class ParameterCheck {
 public:
  ParameterCheck(CheckedFunction& f, std::size_t leaf, int order, const Array* recorded, double reach,
                 const GradcheckOptions& options, GradReport& report)
      : f_(f),
        i_(leaf),
        leaf_(f.leaves()[leaf]),
        order_(order),
        recorded_(recorded),
        reach_(reach),
        options_(options),
        report_(report),
        rng_(Rng(options.seed).split(1000 + leaf)) {
    out_.name = leaf_.name;
    out_.shape = leaf_.value.shape();
    out_.order = order;
    rows_ = leaf_.value.shape().rank() > 1 ? leaf_.value.shape().rows() : leaf_.value.size();
    cols_ = leaf_.value.size() / std::max<Index>(rows_, 1);
    rms_ = root_mean_square(leaf_.value.span<double>());
    scale_ = largest(leaf_.gradient);
  }

  void run(Index budget);
  void not_deterministic();

 private:
  void unreached();
  void element(Index flat);
  Verdict direction(Index first_row, Index rows, bool only_if_wrong = false);
  void search_rows(Index first_row, Index rows);
  void file(const Answer& answer, double analytic, Index flat, Index rows);
  void all_elements(Index count);
  double noise();
  Line along(const std::vector<double>& v);

  CheckedFunction& f_;
  std::size_t i_;
  CheckedFunction::Leaf& leaf_;
  int order_;
  const Array* recorded_;
  double reach_;
  const GradcheckOptions& options_;
  GradReport& report_;
  Rng rng_;
  GradParameter out_;
  Index rows_ = 0, cols_ = 0;
  double rms_ = 0, scale_ = 0, noise_ = 0;
  int named_ = 0;
};

Line ParameterCheck::along(const std::vector<double>& v) {
  return [this, &v](double t) {
    Array x = leaf_.value;
    const auto numbers = x.span<double>();
    for (std::size_t k = 0; k < v.size(); ++k) numbers[k] += t * v[k];
    return f_.at(i_, std::move(x));
  };
}

double ParameterCheck::noise() {
  std::vector<double> v(at(leaf_.value.size()));
  for (std::size_t k = 0; k < v.size(); ++k)
    v[k] = (rng_.uniform() < 0.5 ? -1 : 1) * natural_step(leaf_.value.span<double>()[k], rms_);
  // All elements together move the function about as far as one would alone.
  return noise_of(along(v), 0x1p-4 / power_of_two(std::sqrt(static_cast<double>(v.size()))));
}

void ParameterCheck::file(const Answer& answer, double analytic, Index flat, Index rows) {
  ++out_.counts[static_cast<std::size_t>(answer.verdict)];
  ++(rows == 0 ? out_.checked : out_.directions);
  const double size = std::max(scale_, std::fabs(answer.numeric));
  if (rows == 0 && size > 0 && std::isfinite(answer.bound)) {
    out_.error = std::max(out_.error, std::fabs(analytic - answer.numeric) / size);
    out_.bound = std::max(out_.bound, answer.bound / size);
  }
  report_.verdict = std::max(report_.verdict, answer.verdict);
  report_.worst.push_back(
      {.parameter = leaf_.name,
       .position = rows == 0 ? position(leaf_.value.shape(), flat) : std::vector<Index>{flat / cols_},
       .rows = rows,
       .order = order_,
       .analytic = analytic,
       .numeric = answer.numeric,
       .bound = answer.bound,
       .verdict = answer.verdict});
  if (report_.worst.size() > 4096) keep_worst(report_, options_.worst);
}

void ParameterCheck::element(Index flat) {
  const double x = leaf_.value.span<double>()[at(flat)];
  double analytic[2] = {leaf_.gradient.span<double>()[at(flat)], 0};
  std::size_t ways = 1;
  if (recorded_ != nullptr) analytic[ways++] = recorded_->span<double>()[at(flat)];
  const Line line = [&](double t) {
    Array moved = leaf_.value;
    moved.span<double>()[at(flat)] = x + t;
    return f_.at(i_, std::move(moved));
  };
  const Answer a = judge({.line = line,
                          .f0 = f_.value(),
                          .analytic = {analytic, ways},
                          .step = natural_step(x, rms_),
                          .noise = noise_,
                          .scale = scale_,
                          .reach = reach_});
  file(a, analytic[a.worst], flat, 0);
}

Verdict ParameterCheck::direction(Index first_row, Index rows, bool only_if_wrong) {
  std::vector<double> v(at(leaf_.value.size()), 0.0);
  double analytic[2] = {0, 0}, size = 0;
  for (Index k = first_row * cols_; k < (first_row + rows) * cols_; ++k) {
    // A few magnitudes, so that no symmetry of the function hides an error.
    v[at(k)] = std::ldexp(rng_.uniform() < 0.5 ? -1.0 : 1.0, -static_cast<int>(rng_.below(3))) * natural_step(0, rms_);
    const double g = leaf_.gradient.span<double>()[at(k)];
    analytic[0] += g * v[at(k)];
    size += g * g * v[at(k)] * v[at(k)];
    if (recorded_ != nullptr) analytic[1] += recorded_->span<double>()[at(k)] * v[at(k)];
  }
  const double step = power_of_two(1 / std::sqrt(static_cast<double>(rows * cols_)));
  const Line line = along(v);
  const Answer a = judge({.line = line,
                          .f0 = f_.value(),
                          .analytic = {analytic, recorded_ != nullptr ? 2u : 1u},
                          .step = step,
                          .noise = std::max(noise_, noise_of(line, step * 0x1p-3)),
                          .scale = std::sqrt(size),
                          .reach = reach_});
  if (!only_if_wrong || a.verdict == Verdict::wrong) file(a, analytic[a.worst], first_row * cols_, rows);
  return a.verdict;
}

// Halves until the wrong rows are found, then checks their elements.
void ParameterCheck::search_rows(Index first_row, Index rows) {
  if (named_ >= rows_to_name) return;
  if (rows == 1) {
    ++named_;
    for (Index c = 0; c < std::min<Index>(cols_, 64); ++c) element(first_row * cols_ + c);
    return;
  }
  const Index half = rows / 2;
  if (direction(first_row, half) == Verdict::wrong) search_rows(first_row, half);
  if (named_ < rows_to_name && direction(first_row + half, rows - half) == Verdict::wrong)
    search_rows(first_row + half, rows - half);
}

void ParameterCheck::all_elements(Index count) {
  const Index n = leaf_.value.size();
  if (count >= n) {
    for (Index k = 0; k < n; ++k) element(k);
    return;
  }
  std::set<Index> sample;
  while (static_cast<Index>(sample.size()) < count) sample.insert(rng_.below(n));
  for (Index k : sample) element(k);
  for (int d = 0; d < options_.directions; ++d)
    if (direction(0, rows_) == Verdict::wrong) search_rows(0, rows_);
}

void ParameterCheck::unreached() {
  const Index n = leaf_.value.size();
  if (leaf_.frozen)
    out_.remark = "frozen";
  else if (!leaf_.on_tape)
    out_.remark = "not on the tape";
  else
    out_.remark = "on the tape, but no gradient reaches it";
  for (NodeId cut : f_.cuts()) {
    const std::vector<bool> above = ancestors(f_.tape(), cut);
    for (NodeId i = 0; i <= cut; ++i)
      if (above[i] && f_.tape().node(i).role == Role::parameter &&
          f_.tape().parameter_of(f_.tape().node(i)) == leaf_.parameter->data())
        out_.remark = "cut off by " + node_text(f_.tape(), cut);
  }
  const bool on_purpose = leaf_.frozen || out_.remark.starts_with("cut off");
  if (!leaf_.frozen && direction(0, rows_, true) == Verdict::wrong) return;  // the function depends on it all the same
  out_.counts[static_cast<std::size_t>(Verdict::not_reached)] = n;
  if (!on_purpose) report_.verdict = std::max(report_.verdict, Verdict::not_reached);
}

void ParameterCheck::not_deterministic() {
  out_.counts[static_cast<std::size_t>(Verdict::not_deterministic)] = leaf_.value.size();
  report_.parameters.push_back(std::move(out_));
}

void ParameterCheck::run(Index budget) {
  if (leaf_.value.size() > 0 && !leaf_.reached && order_ == 1) {
    unreached();
  } else if (leaf_.value.size() > 0) {
    noise_ = std::max(noise(), std::numeric_limits<double>::epsilon() * reach_);  // what arrives has been rounded
    all_elements(budget);
  }
  report_.parameters.push_back(std::move(out_));
}

// Elements that half a minute or so is enough for, when the caller does not say.
Index automatic_budget(const Tape& tape) {
  double nanoseconds = 0;
  for (NodeId i = 0; i < tape.size(); ++i) nanoseconds += 200 + 3 * static_cast<double>(tape.node(i).shape.size());
  return std::clamp<Index>(static_cast<Index>(3e10 / 12 / nanoseconds), 64, 2000);
}

// How far a natural step moves the function, at most; for a constant function, its size.
double reach_of(CheckedFunction& f) {
  double reach = 0;
  for (const CheckedFunction::Leaf& leaf : f.leaves())
    reach = std::max(reach, largest(leaf.gradient) * natural_step(0, root_mean_square(leaf.value.span<double>())));
  return reach > 0 ? reach : std::fabs(f.value());
}

// How many elements of each parameter: small ones whole, the rest of the budget in equal shares.
std::vector<Index> shares(const std::vector<CheckedFunction::Leaf>& leaves, Index budget) {
  std::vector<std::size_t> order(leaves.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return leaves[a].value.size() < leaves[b].value.size(); });
  std::vector<Index> out(leaves.size());
  auto left = static_cast<Index>(leaves.size());
  for (std::size_t i : order) {
    out[i] = std::min(leaves[i].value.size(), std::max<Index>(budget / left--, 1));
    budget = std::max<Index>(budget - out[i], 0);
  }
  return out;
}

}  // namespace

void check_elements(CheckedFunction& f, int order, const std::vector<std::optional<Array>>& recorded,
                    const GradcheckOptions& options, GradReport& report) {
  const bool deterministic = f.deterministic();
  Index budget = options.elements > 0 ? options.elements : automatic_budget(f.tape());
  if (options.full) budget = std::numeric_limits<Index>::max();
  const std::vector<Index> share = shares(f.leaves(), budget);
  const double reach = reach_of(f);
  for (std::size_t i = 0; i < f.leaves().size(); ++i) {
    // What no first derivative reaches was reported with these.
    if (order > 1 && !f.leaves()[i].recorded.has_value()) continue;
    ParameterCheck check(f, i, order, recorded.empty() || !recorded[i].has_value() ? nullptr : &*recorded[i], reach,
                         options, report);
    if (deterministic)
      check.run(share[i]);
    else
      check.not_deterministic();
  }
  keep_worst(report, options.worst);
  if (!deterministic) report.verdict = Verdict::not_deterministic;
}

}  // namespace rw::detail
