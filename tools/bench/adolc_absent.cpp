#include "gradbench_peers.h"

namespace rw::bench {

Peer adolc_peer() { return {"ADOL-C", "it was not found (tools/setup bench)", nullptr}; }

}  // namespace rw::bench
