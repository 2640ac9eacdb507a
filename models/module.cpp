#include <map>

#include <rewind/core/error.h>
#include <rewind/models/module.h>

namespace rw {

void Module::check_new(const std::string& name) const {
  if (name.empty() || name.find('.') != std::string::npos)
    throw Error("module '" + name_ + "': '" + name + "' cannot name a part: names are not empty and have no dots");
  for (const auto& p : parameters_)
    if (p->name() == name) throw Error("module '" + name_ + "' already has a parameter '" + name + "'");
  for (const auto& b : buffers_)
    if (b->name() == name) throw Error("module '" + name_ + "' already has a buffer '" + name + "'");
  for (const auto& c : children_)
    if (c->name() == name) throw Error("module '" + name_ + "' already has a part '" + name + "'");
}

Parameter& Module::param(std::string name, Array init) {
  check_new(name);
  return *parameters_.emplace_back(std::make_unique<Parameter>(std::move(name), std::move(init)));
}

Parameter& Module::buffer(std::string name, Array value) {
  check_new(name);
  Parameter& made = *buffers_.emplace_back(std::make_unique<Parameter>(std::move(name), std::move(value)));
  made.freeze();
  return made;
}

void Module::adopt(std::string name, std::unique_ptr<Module> part) {
  part->name_ = std::move(name);
  part->train(training());
  children_.push_back(std::move(part));
  // What graphs and messages call them: the dotted name in the largest module so far.
  for (const NamedParameter& p : detail::saved_parts(*this)) p.parameter->data()->name = p.name;
}

void Module::collect(Own Module::*own, const std::string& prefix, std::vector<NamedParameter>& into) const {
  for (const auto& p : this->*own) into.push_back({prefix + p->name(), p.get()});
  for (const auto& c : children_) c->collect(own, c->transparent_ ? prefix : prefix + c->name_ + ".", into);
}

std::vector<NamedParameter> Module::named_parameters() const {
  std::vector<NamedParameter> all;
  collect(&Module::parameters_, "", all);
  return all;
}

std::vector<NamedParameter> Module::buffers() const {
  std::vector<NamedParameter> all;
  collect(&Module::buffers_, "", all);
  return all;
}

std::vector<NamedParameter> Module::parameters() const {
  std::vector<NamedParameter> once;
  detail::for_each_once(named_parameters(), [&](const NamedParameter& p) { once.push_back(p); });
  return once;
}

Parameter& Module::parameter(const std::string& dotted_name) const {
  std::string names;
  for (const NamedParameter& p : named_parameters()) {
    if (p.name == dotted_name) return *p.parameter;
    names += (names.empty() ? "" : ", ") + p.name;
  }
  throw Error("module '" + name_ + "' has no parameter '" + dotted_name + "'; it has: " + names);
}

Index Module::parameter_count() const {
  Index count = 0;
  for (const NamedParameter& p : parameters()) count += p.parameter->size();
  return count;
}

void Module::zero_grad() const {
  for (const NamedParameter& p : parameters()) p.parameter->zero_grad();
}
void Module::freeze(bool frozen) const {
  for (const NamedParameter& p : parameters()) p.parameter->freeze(frozen);
}
void Module::to(DType dtype) const {
  for (const NamedParameter& p : detail::saved_parts(*this)) p.parameter->convert(dtype);
}

void Module::train(bool on) {
  if (training() != on) detail::refuse_in_trace("module '" + name_ + "' changes between train() and eval()");
  if (training_ != nullptr) *training_ = on;
  for (const auto& c : children_) c->train(on);
}

std::vector<NamedParameter> detail::saved_parts(const Module& module) {
  std::vector<NamedParameter> all = module.parameters();
  for (const NamedParameter& b : module.buffers()) all.push_back(b);
  return all;
}

namespace {

std::vector<NamedParameter> parts_by_all_names(const Module& module) {
  std::vector<NamedParameter> all = module.named_parameters();
  for (const NamedParameter& b : module.buffers()) all.push_back(b);
  return all;
}

}  // namespace

void copy_parameters(const Module& from, const Module& to) {
  std::map<std::string, const Parameter*> sources;
  for (const NamedParameter& p : parts_by_all_names(from)) sources[p.name] = p.parameter;
  std::vector<std::pair<const Parameter*, Parameter*>> pairs;
  std::string complaints;
  for (const NamedParameter& p : parts_by_all_names(to)) {
    const auto source = sources.find(p.name);
    if (source == sources.end()) {
      complaints += "; '" + p.name + "' is missing";
      continue;
    }
    if (source->second->shape() != p.parameter->shape())
      complaints += "; '" + p.name + "' is " + source->second->shape().str() + ", not " + p.parameter->shape().str();
    pairs.emplace_back(source->second, p.parameter);
    sources.erase(source);
  }
  for (const auto& [name, unused] : sources) complaints += "; '" + name + "' is not expected";
  if (!complaints.empty())
    throw Error("parameters of '" + from.name() + "' do not fit '" + to.name() + "'" + complaints);
  for (const auto& [source, target] : pairs) target->set(source->value());
}

}  // namespace rw
