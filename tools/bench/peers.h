#pragma once

// libtorch, where it was found when this was built; otherwise every maker gives null.

#include <memory>
#include <string>
#include <vector>

#include <rewind/core/dtype.h>

#include "recurrent.h"

namespace rw::bench {

/// Empty when it is not there.
std::string torch_version();
void torch_set_threads(int n);

/// nn::LSTM, nn::GRU, nn::RNN.
std::unique_ptr<Network> torch_layer(const Problem&, const Inputs&);
/// nn::LSTM on the first so many steps, one length after the other.
std::unique_ptr<Network> torch_lengths(const Problem&, const Inputs&, const std::vector<Index>& lengths);
/// The same cell composed of ops by hand; and with the product of the inputs taken out of the loop.
std::unique_ptr<Network> torch_composed(const Problem&, const Inputs&);
std::unique_ptr<Network> torch_hoisted(const Problem&, const Inputs&);

/// A chain of `length` ops, tanh and mul in turn, on 16 numbers, without recording, or recorded and with its backward.
std::unique_ptr<Network> torch_chain(Index length, bool with_backward);
/// One elementwise op ("tanh", "sigmoid", "exp", "mul") into memory that is there already.
std::unique_ptr<Network> torch_elementwise(const std::string& op, const Array& x);

}  // namespace rw::bench
