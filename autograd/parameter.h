#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <rewind/core/array.h>

namespace rw {

/// A trained array with its gradient. Parameters are owned by modules, on the heap, and used by tapes, which convert
/// them to their own element type. Copies of the handle share one storage: `tie` makes two names of one parameter.
class Parameter {
 public:
  /// `value` is f32 or f64.
  Parameter(std::string name, Array value);
  Parameter(const Parameter&) = delete;
  Parameter& operator=(const Parameter&) = delete;

  /// The name within the module, "W"; `Module::parameters` gives dotted names.
  const std::string& name() const { return name_; }
  /// Of the value.
  const Shape& shape() const { return data_->value.shape(); }
  /// Number of elements.
  Index size() const { return data_->value.size(); }
  /// f32 or f64.
  DType dtype() const { return data_->value.dtype(); }

  /// The numbers; see `edit` and `set` for changing them.
  const Array& value() const { return data_->value; }
  /// The value, to be changed in place, at once. A tape that recorded the old one refuses to go backward through it.
  View edit() {
    ++data_->version;
    return data_->value.view();
  }
  /// Replaces the value; the shape must be the same (else throws Error). The element type stays.
  void set(ConstView value);
  /// Converts value and gradient to f32 or f64 (else throws Error), for all of its names. Tapes that have recorded it
  /// keep the old storage.
  void convert(DType dtype);

  /// The sum of all gradients since `zero_grad` or an optimizer's step, of the value's shape and type.
  const Array& grad() const { return data_->grad; }
  /// The same, to be changed.
  Array& grad() { return data_->grad; }
  /// Sets the gradient to 0.
  void zero_grad() { data_->grad.fill(0); }

  /// A frozen parameter is a constant to tapes that use it from now on.
  bool frozen() const { return data_->frozen; }
  /// Freezes it, or with false lets it be trained again.
  void freeze(bool frozen = true) { data_->frozen = frozen; }

  /// From now on this is another name for `other`: one value, one gradient. Shapes must be equal (else throws Error).
  void tie(Parameter& other);
  /// Whether both are names of one value.
  bool tied_to(const Parameter& other) const { return data_ == other.data_; }

  /// What tapes and plans share.
  struct Data {
    Array value, grad;
    std::vector<Array> former;  // what `convert` replaced: leaves of live tapes may still look at it
    std::string name;
    std::uint64_t version = 0;
    bool frozen = false;
  };
  /// The shared storage.
  const std::shared_ptr<Data>& data() const { return data_; }

 private:
  std::string name_;
  std::shared_ptr<Data> data_;
};

}  // namespace rw
