#include <algorithm>
#include <cstring>

#include <rewind/autograd/compile/lengths/dictionary.h>

namespace rw::ir {

std::int64_t Dictionary::parameter(const std::shared_ptr<Parameter::Data>& data) {
  const auto known = std::find(parameters_.begin(), parameters_.end(), data);
  if (known != parameters_.end()) return known - parameters_.begin();
  parameters_.push_back(data);
  return static_cast<std::int64_t>(parameters_.size() - 1);
}

std::int64_t Dictionary::known_constant(ConstView value) const {
  const auto equal = [&](const Array& known) {
    return known.dtype() == value.dtype && known.shape() == value.shape &&
           (known.size() == 0 || std::memcmp(known.view().data, value.data,
                                             static_cast<std::size_t>(known.size()) * size_of(known.dtype())) == 0);
  };
  const auto known = std::find_if(constants_.begin(), constants_.end(), equal);
  return known == constants_.end() ? -1 : known - constants_.begin();
}

std::int64_t Dictionary::constant(ConstView value) {
  if (const std::int64_t known = known_constant(value); known >= 0) return known;
  constants_.emplace_back(value);
  bytes_ += static_cast<std::size_t>(value.size()) * size_of(value.dtype);
  return static_cast<std::int64_t>(constants_.size() - 1);
}

KernelProgram with_lengths(const KernelProgram& like, Index rows, Index cols) {
  KernelProgram out;
  out.dtype = like.dtype;
  out.rows = rows;
  out.cols = cols;
  out.by_rows = like.by_rows;
  out.operands = like.operands;
  out.rows_of = like.rows_of;
  out.room.assign(like.operands.size(), false);
  out.constants = like.constants;
  out.instructions = like.instructions;
  out.registers = like.registers;
  return out;
}

std::int64_t Dictionary::program(const KernelProgram& program, const std::shared_ptr<const void>& store) {
  KernelProgram without_numbers = with_lengths(program, 1, 1);
  std::fill(without_numbers.constants.begin(), without_numbers.constants.end(), 0.0);
  const auto known =
      std::find_if(programs_.begin(), programs_.end(), [&](const KernelProgram& p) { return p.same(without_numbers); });
  if (known != programs_.end()) return known - programs_.begin();
  if (std::find(stores_.begin(), stores_.end(), store) == stores_.end()) stores_.push_back(store);
  programs_.push_back(std::move(without_numbers));
  return static_cast<std::int64_t>(programs_.size() - 1);
}

}  // namespace rw::ir
