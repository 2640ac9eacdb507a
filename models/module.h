#pragma once

#include <algorithm>
#include <compare>
#include <concepts>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <rewind/autograd/tape.h>
#include <rewind/models/inline_vector.h>

namespace rw {

/// A parameter and its dotted name within a module: "encoder.lstm.W".
struct NamedParameter {
  std::string name;
  Parameter* parameter = nullptr;

  /// The parameter itself.
  operator Parameter&() const { return *parameter; }
};

namespace detail {

/// Calls f(p) for each parameter once: a tied one, which a list may have under several names, under its first. Takes
/// nothing from the heap for up to 64.
template <class F>
void for_each_once(std::span<const NamedParameter> parameters, F&& f) {
  struct Occurrence {
    const void* storage;
    std::size_t index;
    auto operator<=>(const Occurrence&) const = default;
  };
  InlineVector<Occurrence, 64> places(parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) places[i] = {parameters[i].parameter->data().get(), i};
  std::sort(places.begin(), places.end());
  InlineVector<char, 64> repeated(parameters.size());
  for (std::size_t i = 1; i < parameters.size(); ++i)
    if (places[i].storage == places[i - 1].storage) repeated[places[i].index] = 1;
  for (std::size_t i = 0; i < parameters.size(); ++i)
    if (repeated[i] == 0) f(parameters[i]);
}

}  // namespace detail

/// What has parameters and parts. Both live on the heap, so references to them stay valid when the module moves. A
/// module is movable and not copyable: a copy would silently share or silently not share its weights. `clone()`, which
/// every module of the library has, is the copy.
///
///     class Scale : public Module {
///      public:
///       explicit Scale(Index n) : Module("scale"), a_(param("a", full({n}, 1))) {}
///       Tensor operator()(Tensor x) const { return x * a_; }
///      private:
///       Parameter& a_;
///     };
class Module {
 public:
  /// `name` is the module's scope in graphs and messages; a parent's `child` gives it another.
  explicit Module(std::string name = "module") : name_(std::move(name)) {}
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;
  Module(Module&&) noexcept = default;
  Module& operator=(Module&&) noexcept = default;

  /// Its scope in graphs and messages.
  const std::string& name() const { return name_; }
  /// Gives it another.
  void set_name(std::string name) { name_ = std::move(name); }

  /// Own parameters, then those of the children, each in the order in which it was made. A tied parameter appears once,
  /// under its first name.
  std::vector<NamedParameter> parameters() const;
  /// The same, with every name of a tied parameter.
  std::vector<NamedParameter> named_parameters() const;
  /// The parameter of this dotted name. Throws Error, listing the names there are, when there is none.
  Parameter& parameter(const std::string& dotted_name) const;
  /// Constants that belong to the module, made by `buffer`, by dotted name. Files have them beside the parameters.
  std::vector<NamedParameter> buffers() const;
  /// Numbers in all parameters; tied ones count once.
  Index parameter_count() const;

  /// Sets all gradients to 0.
  void zero_grad() const;
  /// Frozen parameters are constants to tapes, and optimizers leave them alone.
  void freeze(bool frozen = true) const;
  /// Converts all parameters and buffers to f32 or f64.
  void to(DType dtype) const;

  /// Training mode, in which dropout drops: on at first. Both switch this module and everything below it.
  void train(bool on = true);
  void eval() { train(false); }
  /// Whether the module trains (`train`) or not (`eval`). A compiled function that looked at it is traced again for the
  /// other mode.
  bool training() const {
    if (detail::active_trace != nullptr) [[unlikely]]
      detail::note_flag(training_);
    return training_ == nullptr || *training_;
  }

 protected:
  /// Makes a parameter. Throws Error for a name that is taken, empty, or has a dot.
  Parameter& param(std::string name, Array init);
  /// Makes a constant that belongs to the module, such as a fixed mask or the mean of its training data: used in
  /// expressions as a parameter is, saved and cloned with the module, and never trained. Throws Error as `param` does.
  Parameter& buffer(std::string name, Array value);
  /// Takes a part over and names it; the reference stays valid for the life of this module.
  template <class M>
  requires(std::derived_from<M, Module> && !std::is_lvalue_reference_v<M>) M& child(std::string name, M&& module) {
    check_new(name);
    auto part = std::make_unique<M>(std::move(module));
    M& reference = *part;
    adopt(std::move(name), std::move(part));
    return reference;
  }
  /// Takes over a part that this module merely wraps: the parameters keep their names, with no part's name before them.
  template <class M>
  requires(std::derived_from<M, Module> && !std::is_lvalue_reference_v<M>) M& wrapped(M&& module) {
    auto part = std::make_unique<M>(std::move(module));
    M& reference = *part;
    std::string name = part->name_;
    part->transparent_ = true;
    adopt(std::move(name), std::move(part));
    return reference;
  }

 private:
  void adopt(std::string name, std::unique_ptr<Module> part);
  void check_new(const std::string& name) const;
  using Own = std::vector<std::unique_ptr<Parameter>>;
  void collect(Own Module::*own, const std::string& prefix, std::vector<NamedParameter>& into) const;

  std::string name_;
  Own parameters_, buffers_;
  std::vector<std::unique_ptr<Module>> children_;
  std::shared_ptr<bool> training_ = std::make_shared<bool>(true);  // shared with plans; null when moved from
  bool transparent_ = false;                                       // in the parameters' names
};

namespace detail {
/// What a file of a module holds: its parameters, a tied one once, then its buffers.
std::vector<NamedParameter> saved_parts(const Module& module);
}  // namespace detail

/// Copies the values of all parameters and buffers, matched by dotted name and converted to the type of `to`'s. Throws
/// Error, listing all of them, for names that only one side has and for shapes that differ; nothing is changed then.
void copy_parameters(const Module& from, const Module& to);

/// What `clone()` functions end with: gives `copy`, built from the same options, the values, types, frozen marks, name
/// and mode of `from`.
template <std::derived_from<Module> M>
M cloned(M copy, const Module& from) {
  copy.set_name(from.name());
  copy.train(from.training());
  const auto old_parameters = from.named_parameters(), new_parameters = copy.named_parameters();
  for (std::size_t i = 0; i < old_parameters.size() && i < new_parameters.size(); ++i) {
    new_parameters[i].parameter->convert(old_parameters[i].parameter->dtype());
    new_parameters[i].parameter->freeze(old_parameters[i].parameter->frozen());
  }
  const auto old_buffers = from.buffers(), new_buffers = copy.buffers();
  for (std::size_t i = 0; i < old_buffers.size() && i < new_buffers.size(); ++i)
    new_buffers[i].parameter->convert(old_buffers[i].parameter->dtype());
  copy_parameters(from, copy);
  return copy;
}

}  // namespace rw
