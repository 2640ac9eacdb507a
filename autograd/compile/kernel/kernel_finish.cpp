#include <algorithm>
#include <cstring>

#include <rewind/autograd/compile/kernel/kernel.h>
#include <rewind/core/error.h>

namespace rw::ir {

bool KernelProgram::fills_vectors() const {
  const Index n = rows * cols, lanes = 64 / static_cast<Index>(size_of(dtype));
  constexpr Index few = 64;  // elements, fewer than a block has
  return !by_rows && n <= few && n % lanes != 0;
}

// A register whose value is read after its run of instructions, or summed, holds whole rows.
void KernelProgram::find_runs() {
  constexpr std::size_t nowhere = static_cast<std::size_t>(-1);
  std::vector<std::size_t> written(registers, nowhere);
  for (std::size_t k = 0; k < instructions.size(); ++k) {
    const Instruction& i = instructions[k];
    const bool elements = i.over == Over::elements;
    if (!elements || runs_.empty() || instructions[runs_.back().begin].over != Over::elements) runs_.push_back({k, k});
    runs_.back().end = k + 1;
    const std::size_t run = runs_.size() - 1;
    for (const std::uint16_t r : i.in)
      if (written[r] != nowhere && (i.over == Over::sum || written[r] != run)) moves_[r] = -1;
    written[i.out] = elements ? run : nowhere;
  }
}

void KernelProgram::finish() {
  if (registers > most_registers) throw Error("compile: a kernel of too many registers");
  const Index bytes = Index{24} * 1024;  // half of the first-level cache
  const Index each = bytes / std::max<Index>(registers, 1) / static_cast<Index>(size_of(dtype));
  const Index row = (cols + 63) / 64 * 64;
  block_ = std::clamp<Index>(each / 64 * 64, 256, 512);
  const auto sums_constant = [this](const Instruction& i) {
    return i.over == Over::sum && i.in[0] >= operands.size() && i.in[0] < operands.size() + constants.size();
  };
  if (std::any_of(instructions.begin(), instructions.end(), sums_constant))
    block_ = row;  // constants have but one block
  else if (by_rows)
    block_ = std::min(row, block_);
  moves_.assign(registers, 0);
  if (by_rows) find_runs();
  for (std::size_t i = 0; i < registers; ++i) {
    at_.push_back(memory_);
    memory_ += static_cast<std::size_t>(moves_[i] == 0 ? block_ : row);
    const bool moving = i < operands.size() && operands[i] != OperandKind::scalar &&
                        operands[i] != OperandKind::column && operands[i] != OperandKind::output_column;
    if (moving) moves_[i] = -1;
  }
  for (std::size_t i = 0; i < operands.size(); ++i) {
    if (operands[i] == OperandKind::scalar)
      scalars_.push_back(i);
    else if (!room[i])
      (operands[i] == OperandKind::output ? copied_out_ : copied_in_).push_back(i);
  }
  const std::size_t n = constants.size() * static_cast<std::size_t>(block_);
  constant_blocks_.resize(n);
  visit_real(dtype, [&]<class T>() {
    T* to = reinterpret_cast<T*>(constant_blocks_.data());
    for (double value : constants) {
      std::fill_n(to, block_, static_cast<T>(value));
      to += block_;
    }
  });
}

std::uint64_t KernelProgram::hash() const {
  std::uint64_t h = detail::mix(static_cast<std::uint64_t>(rows) * 31 + static_cast<std::uint64_t>(dtype),
                                static_cast<std::uint64_t>(cols));
  for (OperandKind k : operands) h = detail::mix(h, static_cast<std::uint64_t>(k));
  for (const RowsOf& r : rows_of) h = detail::mix(h, static_cast<std::uint64_t>(r.each * 31 + r.count));
  h = detail::mix(h, std::hash<std::vector<bool>>()(room));
  for (double c : constants) h = detail::hash_attributes(c, h);
  for (const Instruction& i : instructions) {
    h = detail::mix(h, reinterpret_cast<std::uintptr_t>(i.loop));
    h = detail::mix(h, static_cast<std::uint64_t>(i.in[0]) | static_cast<std::uint64_t>(i.in[1]) << 16 |
                           static_cast<std::uint64_t>(i.in[2]) << 32 | static_cast<std::uint64_t>(i.in[3]) << 48);
    h = detail::mix(h, static_cast<std::uint64_t>(i.out) | static_cast<std::uint64_t>(i.over) << 16);
  }
  return h;
}

bool KernelProgram::same(const KernelProgram& o) const {
  if (dtype != o.dtype || rows != o.rows || cols != o.cols || by_rows != o.by_rows || operands != o.operands ||
      rows_of != o.rows_of || room != o.room || registers != o.registers || constants.size() != o.constants.size() ||
      instructions.size() != o.instructions.size())
    return false;
  if (!constants.empty() && std::memcmp(constants.data(), o.constants.data(), constants.size() * 8) != 0) return false;
  for (std::size_t k = 0; k < instructions.size(); ++k) {
    const Instruction &a = instructions[k], &b = o.instructions[k];
    if (a.loop != b.loop || a.out != b.out || a.over != b.over || !std::equal(a.in, a.in + most_inputs, b.in))
      return false;
    if (a.fn != b.fn && !(a.equal != nullptr && a.equal(a.fn, b.fn))) return false;
  }
  return true;
}

}  // namespace rw::ir
