// A gradient rule that the engine could not call is refused: it must not pass for an op without gradient.
#include <rewind/autograd/backward.h>

struct Twice {
  static constexpr std::string_view name = "twice";
  rw::Shape infer(std::span<const rw::Shape> in) const { return in[0]; }
  void eval(std::span<const rw::ConstView>, rw::View) const {}
#ifdef MUST_NOT_COMPILE
  void vjp(rw::Vjp& g) { g.add(0, g.dy()); }  // not const
#else
  void vjp(rw::Vjp& g) const { g.add(0, g.dy()); }
#endif
};

rw::Tensor twice(rw::Tensor x) { return rw::record(Twice{}, {x}); }
