#include <algorithm>
#include <map>
#include <utility>

#include <rewind/core/error.h>
#include <rewind/models/weights/match_arrays.h>
#include <rewind/models/weights/weight_map.h>

namespace rw {
namespace {

// to += factor * from, block by block.
void add_block(const WeightMap::Link& link, const std::vector<double>& from, const WeightMap::Block& f,
               std::vector<double>& to, const WeightMap::Block& t) {
  for (Index r = 0; r < link.rows; ++r)
    for (Index c = 0; c < link.columns; ++c)
      to[static_cast<std::size_t>(t.start + r * t.row + c * t.column)] +=
          link.factor * from[static_cast<std::size_t>(f.start + r * f.row + c * f.column)];
}

bool all_zero(const WeightMap::Link& link, const std::vector<double>& x) {
  for (Index r = 0; r < link.rows; ++r)
    for (Index c = 0; c < link.columns; ++c)
      if (x[static_cast<std::size_t>(link.there.start + r * link.there.row + c * link.there.column)] != 0) return false;
  return true;
}

}  // namespace

WeightMap& WeightMap::add(const std::string& prefix, const WeightMap& part) {
  const std::size_t first = arrays_.size(), parts = std::exchange(parts_, parts_ + part.parts_);
  for (const NamedShape& e : part.arrays_) array(prefix + e.name, e.shape);
  for (Link link : part.links_) {
    link.array += first;
    link.part += parts;
    links_.push_back(std::move(link));
  }
  return *this;
}

std::size_t WeightMap::array(std::string name, const Shape& shape) {
  for (const NamedShape& e : arrays_)
    if (e.name == name) throw Error("a weight map has an array '" + name + "' already: give its parts prefixes");
  arrays_.push_back({std::move(name), shape});
  return arrays_.size() - 1;
}

void WeightMap::set(std::span<const NamedArray> arrays, const std::string& source) const {
  std::vector<detail::ExpectedArray> expected;
  for (const NamedShape& e : arrays_) expected.push_back({e.name, e.shape});
  std::vector<std::vector<double>> given;
  for (const Array* a : detail::match_arrays(expected, arrays, source + ": it does not fit the model"))
    given.push_back(a->to_vector<double>());

  // A parameter that two parts of the map share must get one value, not the sum.
  std::map<std::pair<const Parameter::Data*, std::size_t>, std::pair<Parameter*, std::vector<double>>> values;
  for (const Link& link : links_) {
    const std::vector<double>& from = given[link.array];
    if (link.way == Way::zero && !all_zero(link, from))
      throw Error(source + ": '" + arrays_[link.array].name + "': " + link.reason);
    auto& [parameter, to] = values[{link.parameter->data().get(), link.part}];
    parameter = link.parameter;
    to.resize(static_cast<std::size_t>(parameter->size()));
    if (link.way == Way::both || link.way == Way::load) add_block(link, from, link.there, to, link.here);
  }
  const std::vector<double>* before = nullptr;
  const Parameter::Data* whose = nullptr;
  for (const auto& [key, value] : values) {
    if (key.first == whose && *before != value.second)
      throw Error(source + ": the tied parameter '" + value.first->name() + "' is given two different values");
    whose = key.first;
    before = &value.second;
  }
  for (const auto& [key, value] : values) value.first->set(Array(value.second, value.first->shape()));
}

std::vector<NamedArray> WeightMap::get() const {
  std::vector<std::vector<double>> values;
  std::vector<DType> types(arrays_.size(), DType::f32);
  for (const NamedShape& e : arrays_) values.emplace_back(static_cast<std::size_t>(e.shape.size()));
  for (const Link& link : links_) {
    if (link.parameter->dtype() == DType::f64) types[link.array] = DType::f64;
    if (link.way == Way::both || link.way == Way::save)
      add_block(link, link.parameter->value().to_vector<double>(), link.here, values[link.array], link.there);
  }
  std::vector<NamedArray> arrays;
  for (std::size_t i = 0; i < arrays_.size(); ++i)
    arrays.push_back({arrays_[i].name, Array(values[i], arrays_[i].shape).to(types[i])});
  return arrays;
}

Metadata WeightMap::load(const std::string& path) const {
  ArrayFile file = load_arrays(path);
  set(file.arrays, path);
  return std::move(file.metadata);
}

void WeightMap::save(const std::string& path, const Metadata& metadata) const {
  save_arrays(path, ArrayFile{get(), metadata});
}

}  // namespace rw
