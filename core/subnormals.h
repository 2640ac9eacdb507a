#pragma once

#include <cstdint>

namespace rw {

/// While it lives, numbers nearer to 0 than the least normal one (1.2e-38 in f32, 2.2e-308 in f64), which are called
/// subnormal, count as 0, operands and results alike: in the thread that made it, in threads that it starts then, and
/// in the library's helpers, which compute as the thread does for which they work. So results have the same bits for
/// any number of threads.
///
/// Gradients that vanish on their way back through a long sequence become subnormal before they become 0, and some
/// processors take a hundred times as long for an operation on them: an LSTM of 128 units over 1,000 steps, with a loss
/// on the last state, trained at 825 ms a step on an Intel Xeon, and at 43 ms with this. Nothing else is lost but what
/// is that small. On x86-64 and 64-bit ARM; elsewhere it changes nothing.
///
///     const FlushSubnormals flush;  // for all of main, say
class FlushSubnormals {
 public:
  /// Without `on` nothing changes.
  explicit FlushSubnormals(bool on = true);
  ~FlushSubnormals();
  FlushSubnormals(const FlushSubnormals&) = delete;
  FlushSubnormals& operator=(const FlushSubnormals&) = delete;

 private:
  std::uint64_t before_;
};

namespace detail {

/// How the calling thread computes with floating-point numbers: how it rounds, and what it does with subnormal ones.
/// The processor's own word for it, the same for equal ways; 0 on processors that are not known.
std::uint64_t arithmetic_mode();
void set_arithmetic_mode(std::uint64_t mode);

/// Whether the calling thread has computed with a subnormal number since this was made. Always false on processors
/// other than x86-64.
class SubnormalsMet {
 public:
  SubnormalsMet();
  explicit operator bool() const;
};

}  // namespace detail
}  // namespace rw
