#pragma once

#include <cmath>

#include <rewind/core/dtype.h>

namespace rw {

/// A learning rate that falls in steps: the first rate until `after` epochs are done, then times `factor` after each
/// `every` epochs more, the first time at once. (char-rnn: {.rate = 2e-3, .factor = 0.97, .after = 10}.)
struct StepDecay {
  double rate = 1e-3;
  double factor = 1;
  Index after = 0;
  Index every = 1;

  /// The rate to use once `done` epochs (or steps: whatever is counted) are done.
  double operator()(Index done) const {
    return done < after ? rate : rate * std::pow(factor, static_cast<double>(1 + (done - after) / every));
  }
};

}  // namespace rw
