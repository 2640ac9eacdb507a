#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include <rewind/autograd/compile/kernel/kernel.h>
#include <rewind/autograd/parameter.h>
#include <rewind/core/array.h>

namespace rw::ir {

/// Numbers for what listings cannot hold as words, the same whichever trace or plan it is a part of. Only
/// grows, and keeps what it has numbers for alive.
class Dictionary {
 public:
  std::int64_t parameter(const std::shared_ptr<Parameter::Data>& data);
  /// Equal type, shape and bits are one constant.
  std::int64_t constant(ConstView value);
  /// The number of a constant that is known; -1 otherwise.
  std::int64_t known_constant(ConstView value) const;
  /// Equal but for lengths, the values of constants, and what has room, are one program. `store` has its attributes.
  std::int64_t program(const KernelProgram& program, const std::shared_ptr<const void>& store);

  const std::vector<std::shared_ptr<Parameter::Data>>& parameters() const { return parameters_; }
  const std::vector<Array>& constants() const { return constants_; }
  const KernelProgram& program(std::int64_t number) const { return programs_[static_cast<std::size_t>(number)]; }
  /// Whether it has as many words, or as large ones, as are worth keeping, of a program with so many parameters: those
  /// of 16 models, as there are plans.
  bool full(std::size_t parameters) const {
    return constants_.size() > 256 || bytes_ > (std::size_t{1} << 24) || programs_.size() > 4096 ||
           parameters_.size() > std::max<std::size_t>(16 * parameters, 64);
  }

 private:
  std::vector<std::shared_ptr<Parameter::Data>> parameters_;
  std::vector<Array> constants_;
  std::vector<KernelProgram> programs_;
  std::vector<std::shared_ptr<const void>> stores_;
  std::size_t bytes_ = 0;
};

/// A copy of a program that `finish` has not been called for, of these lengths and constants.
KernelProgram with_lengths(const KernelProgram& like, Index rows, Index cols);

}  // namespace rw::ir
