#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace rw::ir {

/// Memory of whole vectors.
struct FreeBytes {
  void operator()(std::byte* p) const;
};
using Bytes = std::unique_ptr<std::byte[], FreeBytes>;

/// Memory for the values of a plan, or of several that run one after another. It may grow between replays: what stood
/// in it then stays until the replay after the next begins, since results may be the next call's arguments.
class PlanMemory {
 public:
  /// At least so many bytes, of 0 when they are new. Throws Error when there are none.
  std::byte* reserve(std::size_t bytes);
  std::byte* data() const { return now_.get(); }
  std::size_t bytes() const { return bytes_; }
  /// A replay begins.
  void begin_replay() { before_ = std::exchange(grown_out_of_, {}); }

 private:
  Bytes now_;
  std::size_t bytes_ = 0;
  std::vector<Bytes> grown_out_of_, before_;
};

}  // namespace rw::ir
