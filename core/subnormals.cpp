#include <rewind/core/subnormals.h>

namespace rw {
namespace {

#if defined(__x86_64__)
// The register MXCSR: flags of what has happened below, control bits above.
constexpr std::uint32_t happened = 0x3f, met_subnormal = 0x2, operands_and_results = 0x8040;

std::uint32_t mxcsr() { return __builtin_ia32_stmxcsr(); }

std::uint64_t read_mode() { return mxcsr() & ~happened; }
void write_mode(std::uint64_t mode) { __builtin_ia32_ldmxcsr(static_cast<std::uint32_t>(mode) | (mxcsr() & happened)); }
constexpr std::uint64_t flushing = operands_and_results;

void forget_subnormals() { __builtin_ia32_ldmxcsr(mxcsr() & ~met_subnormal); }
bool met_subnormals() { return (mxcsr() & met_subnormal) != 0; }
#elif defined(__aarch64__)
std::uint64_t read_mode() {
  std::uint64_t mode;
  __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
  return mode;
}
void write_mode(std::uint64_t mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }
constexpr std::uint64_t flushing = std::uint64_t{1} << 24;

void forget_subnormals() {}
bool met_subnormals() { return false; }
#else
std::uint64_t read_mode() { return 0; }
void write_mode(std::uint64_t) {}
constexpr std::uint64_t flushing = 0;

void forget_subnormals() {}
bool met_subnormals() { return false; }
#endif

}  // namespace

FlushSubnormals::FlushSubnormals(bool on) : before_(read_mode()) {
  if (on) write_mode(before_ | flushing);
}
FlushSubnormals::~FlushSubnormals() { write_mode(before_); }

namespace detail {

std::uint64_t arithmetic_mode() { return read_mode(); }
void set_arithmetic_mode(std::uint64_t mode) {
  if (mode != read_mode()) write_mode(mode);
}

SubnormalsMet::SubnormalsMet() { forget_subnormals(); }
SubnormalsMet::operator bool() const { return met_subnormals(); }

}  // namespace detail
}  // namespace rw
