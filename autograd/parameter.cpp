#include <utility>

#include <rewind/autograd/detail/trace_reads.h>
#include <rewind/autograd/parameter.h>
#include <rewind/core/error.h>

namespace rw {

Parameter::Parameter(std::string name, Array value) : name_(std::move(name)), data_(std::make_shared<Data>()) {
  if (!is_real(value.dtype())) throw Error("parameter '" + name_ + "' must be f32 or f64, not i32");
  data_->grad = Array(value.shape(), value.dtype());
  data_->value = std::move(value);
  data_->name = name_;
}

void Parameter::set(ConstView value) {
  if (value.shape != shape())
    throw Error("parameter '" + name_ + "' has shape " + shape().str() + "; it cannot be set to " + value.shape.str());
  copy(value, edit());
}

void Parameter::convert(DType dtype) {
  if (!is_real(dtype)) throw Error("parameter '" + name_ + "' must be f32 or f64, not i32");
  if (dtype == this->dtype()) return;
  refuse("is converted");
  Array value = data_->value.to(dtype);
  data_->grad = data_->grad.to(dtype);
  data_->former.push_back(std::exchange(data_->value, std::move(value)));
  ++data_->version;
}

void Parameter::tie(Parameter& other) {
  if (other.shape() != shape())
    throw Error("parameters '" + name_ + "' " + shape().str() + " and '" + other.name_ + "' " + other.shape().str() +
                " cannot be tied: their shapes differ");
  if (data_ == other.data_) return;
  refuse("is tied");
  ++data_->left;
  data_ = other.data_;
}

void Parameter::throw_refused(const char* what) const { detail::throw_in_trace("parameter '" + name_ + "' " + what); }
void Parameter::note_value() const { detail::active_trace->value(data_); }
void Parameter::note_use() const { detail::active_trace->parameter(data_); }

void Parameter::Data::throw_replaced() const {
  throw Error("parameter '" + name + "' " + value.shape().str() + ": its grad was replaced by " +
              std::string(name_of(grad.dtype())) + " " + grad.shape().str() + ": set it to zeros of that shape, " +
              std::string(name_of(value.dtype())));
}

}  // namespace rw
