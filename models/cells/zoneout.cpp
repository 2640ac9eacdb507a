#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/cells/zoneout.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/compare.h>
#include <rewind/ops/dropout.h>

namespace rw::detail {

std::vector<double> zoneout_rates(std::vector<double> rates, std::size_t tensors) {
  if (rates.size() != 1 && rates.size() != tensors)
    throw Error(fmt::format("zoneout: {} rates for a state of {} tensors: give one for each, or one for all",
                            rates.size(), tensors));
  for (double rate : rates)
    if (!(rate >= 0 && rate < 1)) throw Error(fmt::format("zoneout: a rate is {}: it must be in [0, 1)", rate));
  if (rates.size() == 1) rates.assign(tensors, rates[0]);
  return rates;
}

Tensor zoned_out(Tensor before, Tensor after, double rate, bool training) {
  if (rate == 0) return after;
  if (training) return where(bernoulli_mask(after.tape(), after.shape(), rate), after, before);
  return after + rate * (before - after);
}

}  // namespace rw::detail
