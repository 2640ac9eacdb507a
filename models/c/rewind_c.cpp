// The C interface. Nothing of C++ leaves it: every function catches what is thrown, and says it as a code with a text.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>
#include <new>

#include <fmt/format.h>

#include <rewind/autograd/backward.h>
#include <rewind/core/error.h>
#include <rewind/core/version.h>
#include <rewind/models/bptt/truncated.h>
#include <rewind/models/c/handles.h>
#include <rewind/models/c/rewind_c.h>
#include <rewind/models/c/tensors.h>
#include <rewind/models/optim/clip.h>
#include <rewind/models/optim/optimizer.h>
#include <rewind/models/text/char_model.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/loss.h>

namespace rw::c {
namespace {

// A model, the streams that it reads, and how it learns.
struct Model {
  explicit Model(const char* path) : net(CharModel::load(path)), parameters(net.parameters()) {
    net.eval();
    reset(1);
    learn("adam", 1e-3, 5);
  }
  void reset(Index streams) { reader.emplace(net, streams); }
  void learn(const char* name, double rate, double most) {
    optimizer = make_optimizer(name, parameters, rate);
    clip = most;
  }
  Index vocabulary() const { return net.vocabulary().size(); }
  const NamedParameter& parameter(std::int64_t index) const {
    if (index < 0 || index >= static_cast<std::int64_t>(parameters.size()))
      throw Fault(RW_BAD_ARGUMENT, fmt::format("index is {}: the model has {} arrays", index, parameters.size()));
    return parameters[static_cast<std::size_t>(index)];
  }

  std::mutex in_use;
  CharModel net;
  std::vector<NamedParameter> parameters;
  std::optional<TruncatedBptt<CharModel>> reader;
  std::unique_ptr<Optimizer> optimizer;
  double clip = 0;
  Gradients gradients;
};

Handles<Model>& models() {
  static auto* const all = new Handles<Model>;  // calls may come while the program ends
  return *all;
}

// Without memory there must be a text as well.
thread_local char last_error[1024] = "";

rw_code failed(rw_code code, const char* text) noexcept {
  std::size_t length = std::min(std::strlen(text), sizeof last_error - 1);
  while (length > 0 && text[length] != '\0' && (text[length] & 0xC0) == 0x80) --length;  // not within a character
  std::memcpy(last_error, text, length);
  last_error[length] = '\0';
  return code;
}

template <class F>
rw_code guarded(F&& f) noexcept {
  try {
    f();
    return RW_OK;
  } catch (const Fault& fault) {
    return failed(fault.code, fault.what());
  } catch (const std::bad_alloc&) {
    return failed(RW_NO_MEMORY, "not enough memory");
  } catch (const std::exception& error) {
    return failed(RW_ERROR, error.what());
  } catch (...) {
    return failed(RW_ERROR, "something that is no error was thrown");
  }
}

template <class T>
T& needed(T* pointer, const char* name) {
  if (pointer == nullptr) throw Fault(RW_BAD_ARGUMENT, fmt::format("{} is a null pointer", name));
  return *pointer;
}

// f(model), while nobody else has it.
template <class F>
rw_code with_model(rw_model handle, F&& f) noexcept {
  return guarded([&] {
    const std::shared_ptr<Model> model = models().find(handle);
    if (!model) throw Fault(RW_BAD_HANDLE, "this is no model, or one that was freed");
    const std::unique_lock lock(model->in_use, std::try_to_lock);
    if (!lock.owns_lock()) throw Fault(RW_BUSY, "another thread works on this model");
    f(*model);
  });
}

void check_streams(const Model& model, const Shape& shape, const char* name) {
  const Index streams = shape[shape.rank() - 1];
  if (streams != model.reader->batch())
    throw Fault(RW_BAD_ARGUMENT, fmt::format("{} has {} streams: the model reads {} (rw_model_reset)", name, streams,
                                             model.reader->batch()));
}

// Logits of characters [T, N].
Array read(Model& model, const Array& characters) {
  Tape& tape = model.reader->tape();
  tape.set_recording_gradients(false);
  return model.reader->chunk([&](Tape& t, CharModel::State state) {
    const Tensor logits = model.net.logits(t.constant(characters), state);
    return std::pair(logits.array(), state);
  });
}

struct Chunk {
  Array characters, targets;
};

Chunk chunk_of(const Model& model, const DLTensor* characters, const DLTensor* targets) {
  Chunk chunk{read_tensor(characters, "characters", DType::i32, 2), read_tensor(targets, "targets", DType::i32, 2)};
  check_streams(model, chunk.characters.shape(), "characters");
  if (!(chunk.characters.shape() == chunk.targets.shape()))
    throw Fault(RW_BAD_ARGUMENT, fmt::format("targets have the shape {}, characters {}", chunk.targets.shape().str(),
                                             chunk.characters.shape().str()));
  if (chunk.characters.size() == 0) throw Fault(RW_BAD_ARGUMENT, "characters are none: there is nothing to learn");
  return chunk;
}

// The loss of a chunk, and its gradients in `into`.
double learn(Model& model, const Chunk& chunk, Gradients& into) {
  struct Training {  // dropout, until the end of this function
    explicit Training(CharModel& net) : net(net) { net.train(); }
    ~Training() { net.eval(); }
    CharModel& net;
  } const training(model.net);
  model.reader->tape().set_recording_gradients(true);
  return model.reader->chunk([&](Tape& t, CharModel::State state) {
    const Tensor loss = cross_entropy(model.net.logits(t.constant(chunk.characters), state), t.constant(chunk.targets));
    backward(loss, into);
    return std::pair(loss.item(), state);
  });
}

}  // namespace
}  // namespace rw::c

using namespace rw;
using namespace rw::c;

const char* rw_version(void) { return version().data(); }

const char* rw_last_error(void) { return last_error; }

rw_code rw_model_load(const char* path, rw_model* model) {
  return guarded([&] {
    rw_model& out = needed(model, "model");
    out = 0;
    out = models().add(std::make_shared<Model>(&needed(path, "path")));
  });
}

rw_code rw_model_save(rw_model model, const char* path) {
  return with_model(model, [&](Model& m) { m.net.save(&needed(path, "path")); });
}

rw_code rw_model_free(rw_model model) {
  return guarded([&] {
    if (!models().remove(model)) throw Fault(RW_BAD_HANDLE, "this is no model, or one that was freed");
  });
}

rw_code rw_model_describe(rw_model model, rw_model_info* info) {
  return with_model(model, [&](Model& m) {
    needed(info, "info") = {.vocabulary = m.vocabulary(),
                            .layers = m.net.options().layers,
                            .hidden = m.net.options().hidden,
                            .arrays = static_cast<std::int64_t>(m.parameters.size()),
                            .parameters = m.net.parameter_count()};
  });
}

rw_code rw_model_encode(rw_model model, const char* utf8, int32_t* numbers, size_t room, size_t* count) {
  return with_model(model, [&](Model& m) {
    std::size_t& n = needed(count, "count");
    if (room > 0) needed(numbers, "numbers");
    const std::vector<std::int32_t> all =
        m.net.vocabulary().encode(decode_utf8(&needed(utf8, "utf8"), "the text"), "the text");
    n = all.size();
    std::copy_n(all.begin(), std::min(room, n), numbers);
  });
}

rw_code rw_model_decode(rw_model model, int32_t number, char utf8[5]) {
  return with_model(model, [&](Model& m) {
    needed(utf8, "utf8");
    if (number < 0 || number >= m.vocabulary())
      throw Fault(RW_BAD_ARGUMENT, fmt::format("number is {}: the model knows {} characters", number, m.vocabulary()));
    const std::string text = encode_utf8(m.net.vocabulary().decode(std::vector<std::int32_t>{number}));
    std::memcpy(utf8, text.c_str(), text.size() + 1);
  });
}

rw_code rw_model_reset(rw_model model, int64_t streams) {
  return with_model(model, [&](Model& m) {
    if (streams < 1) throw Fault(RW_BAD_ARGUMENT, fmt::format("streams are {}: there must be 1 or more", streams));
    m.reset(streams);
  });
}

rw_code rw_model_step(rw_model model, const DLTensor* characters, DLTensor* logits) {
  return with_model(model, [&](Model& m) {
    const Array x = read_tensor(characters, "characters", DType::i32, 1);
    check_streams(m, x.shape(), "characters");
    check_room({x.size(), m.vocabulary()}, logits, "logits");
    write_tensor(read(m, x.reshaped({1, x.size()})).reshaped({x.size(), m.vocabulary()}), logits, "logits");
  });
}

rw_code rw_model_run(rw_model model, const DLTensor* characters, DLTensor* logits) {
  return with_model(model, [&](Model& m) {
    const Array x = read_tensor(characters, "characters", DType::i32, 2);
    check_streams(m, x.shape(), "characters");
    check_room({x.shape()[0], x.shape()[1], m.vocabulary()}, logits, "logits");
    if (x.size() > 0) write_tensor(read(m, x), logits, "logits");
  });
}

rw_code rw_model_optimizer(rw_model model, const char* name, double rate, double clip) {
  return with_model(model, [&](Model& m) {
    if (!(clip >= 0)) throw Fault(RW_BAD_ARGUMENT, fmt::format("clip is {}: it must be 0 or more", clip));
    m.learn(&needed(name, "name"), rate, clip);
  });
}

rw_code rw_model_train(rw_model model, const DLTensor* characters, const DLTensor* targets, double* loss) {
  return with_model(model, [&](Model& m) {
    const SavedState before = m.reader->carried();
    try {
      Gradients gradients;
      const double value = learn(m, chunk_of(m, characters, targets), gradients);
      if (!std::isfinite(value)) throw Error(fmt::format("the loss is {}: nothing was changed", value));
      gradients.commit();
      if (m.clip > 0) clip_grad_norm(m.parameters, m.clip);
      m.optimizer->step();
      if (loss != nullptr) *loss = value;
    } catch (...) {
      m.reader->set_carried(before);
      for (const NamedParameter& p : m.parameters) p.parameter->zero_grad();
      throw;
    }
  });
}

rw_code rw_model_gradients(rw_model model, const DLTensor* characters, const DLTensor* targets, double* loss) {
  return with_model(model, [&](Model& m) {
    const Chunk chunk = chunk_of(m, characters, targets);
    const SavedState before = m.reader->carried();
    Gradients gradients;
    double value = 0;
    try {
      value = learn(m, chunk, gradients);
    } catch (...) {
      m.reader->set_carried(before);
      throw;
    }
    m.reader->set_carried(before);
    m.gradients = std::move(gradients);
    if (loss != nullptr) *loss = value;
  });
}

rw_code rw_parameter_name(rw_model model, int64_t index, const char** name) {
  return with_model(model, [&](Model& m) { needed(name, "name") = m.parameter(index).name.c_str(); });
}

rw_code rw_parameter_shape(rw_model model, int64_t index, int64_t* shape, int32_t room, int32_t* ndim) {
  return with_model(model, [&](Model& m) {
    const Shape& s = m.parameter(index).parameter->shape();
    needed(ndim, "ndim") = static_cast<std::int32_t>(s.rank());
    if (room > 0) needed(shape, "shape");
    std::copy_n(s.begin(), std::min<std::ptrdiff_t>(std::max(room, 0), s.end() - s.begin()), shape);
  });
}

rw_code rw_parameter_get(rw_model model, int64_t index, DLTensor* values) {
  return with_model(model, [&](Model& m) { write_tensor(m.parameter(index).parameter->value(), values, "values"); });
}

rw_code rw_parameter_set(rw_model model, int64_t index, const DLTensor* values) {
  return with_model(model, [&](Model& m) {
    Parameter& p = *m.parameter(index).parameter;
    const Array array = read_tensor(values, "values", p.dtype(), -1);
    if (!(array.shape() == p.shape()))
      throw Fault(RW_BAD_ARGUMENT,
                  fmt::format("values have the shape {}: {} is needed", array.shape().str(), p.shape().str()));
    p.set(array);
  });
}

rw_code rw_parameter_gradient(rw_model model, int64_t index, DLTensor* values) {
  return with_model(model,
                    [&](Model& m) { write_tensor(m.gradients.of(*m.parameter(index).parameter), values, "values"); });
}
