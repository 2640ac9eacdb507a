// One elementwise op over many numbers, beside libtorch and a copy of the same memory.

#include <cstring>

#include <fmt/format.h>

#include <rewind/rewind.h>

#include "comparisons.h"
#include "peers.h"

namespace rw::bench {

namespace {

struct Op {
  const char* name;
  Tensor (*apply)(const Tensor&);
};
constexpr Op ops[] = {{"tanh", [](const Tensor& x) { return tanh(x); }},
                      {"sigmoid", [](const Tensor& x) { return sigmoid(x); }},
                      {"exp", [](const Tensor& x) { return exp(x); }},
                      {"mul", [](const Tensor& x) { return x * x; }}};

Array numbers(Index n) {
  Array x(Shape{n});
  Index i = 0;
  for (float& v : x.span<float>()) v = static_cast<float>(i++ * 7919 % 20011) / 5000 - 2;
  return x;
}

/// Records one op again and again; its memory is the tape's, and is used again.
class RewindElementwise : public Network {
 public:
  RewindElementwise(const Op& op, const Array& x) : op_(op), x_(tape_.constant(x)), mark_(tape_.mark()) {}
  void run() override {
    tape_.rewind(mark_);
    y_ = op_.apply(x_);
  }
  Result result() override {
    const Array y = y_.array();
    return {{"y", sample(y.span<float>().data(), y.size())}};
  }

 private:
  Op op_;
  Tape tape_;
  Tensor x_, y_;
  TapeMark mark_;
};

Contender contender(const char* name, std::shared_ptr<Network> network) {
  return {name, [network] { network->run(); }, [network] { return network->result(); }};
}

Field field(const Op& op, Index n, int threads) {
  const Array x = numbers(n);
  Field out;
  out.contenders.push_back(contender("Rewind eager", std::make_unique<RewindElementwise>(op, x)));
  if (auto torch = torch_elementwise(op.name, x))
    out.contenders.push_back(contender("libtorch", std::move(torch)));
  else
    out.absent.emplace_back("libtorch: it was not found");
  const auto from = std::make_shared<Array>(x), to = std::make_shared<Array>(Shape{n});
  out.contenders.push_back({"copy of the memory", [from, to, threads] {
                              const std::span<const float> a = std::as_const(*from).span<float>();
                              const std::span<float> b = to->span<float>();
                              const std::size_t part = a.size() / static_cast<std::size_t>(threads);
                              parallel_for(threads, [&](Index i) {
                                const std::size_t at = static_cast<std::size_t>(i) * part;
                                std::memcpy(&b[at], &a[at], part * sizeof(float));
                              });
                            }});
  return out;
}

}  // namespace

std::vector<Comparison> elementwise_comparisons() {
  std::vector<Comparison> all;
  for (Index n : {Index(4096), Index(1) << 18, Index(1) << 24})
    for (const Op& op : ops) {
      Comparison c;
      c.name = fmt::format("elementwise/{}/{}", op.name, n);
      c.unit = "Gelements/s", c.scale = static_cast<double>(n) * 1e-9, c.rate = true;
      c.note = "GB/s read and written: 8 times as much";
      c.all_cores = n > 4096, c.quick = n == 4096;
      c.make = [op, n](const Setting& setting) { return field(op, n, setting.threads); };
      all.push_back(std::move(c));
    }
  return all;
}

}  // namespace rw::bench
