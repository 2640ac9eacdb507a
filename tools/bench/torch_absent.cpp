// In the place of the libtorch peers where libtorch is not installed.

#include "char_rnn.h"
#include "peers.h"

namespace rw::bench {

std::string torch_version() { return {}; }
void torch_set_threads(int) {}
std::unique_ptr<Network> torch_layer(const Problem&, const Inputs&) { return nullptr; }
std::unique_ptr<Network> torch_lengths(const Problem&, const Inputs&, const std::vector<Index>&) { return nullptr; }
std::unique_ptr<Network> torch_composed(const Problem&, const Inputs&) { return nullptr; }
std::unique_ptr<Network> torch_hoisted(const Problem&, const Inputs&) { return nullptr; }
std::unique_ptr<Network> torch_chain(Index, bool) { return nullptr; }
std::unique_ptr<Network> torch_elementwise(const std::string&, const Array&) { return nullptr; }
std::unique_ptr<Network> torch_char_rnn(const CharRnn&) { return nullptr; }

}  // namespace rw::bench
