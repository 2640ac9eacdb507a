#include <iostream>

#include <rewind/core/shape.h>
#include <rewind/rewind.h>

int main() {
  const rw::Shape shape = rw::broadcast({3, 1}, {4});
  std::cout << "outside " << shape.str() << '\n';
  return shape == rw::Shape{3, 4} ? 0 : 1;
}
