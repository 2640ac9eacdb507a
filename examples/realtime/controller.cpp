// A controller that learns while it controls, with nothing linked: feedback-error learning (Kawato, Furukawa and
// Suzuki, 1987). A weak feedback keeps a motor near where it should be; a GRU of 8 units learns the whole drive from
// what the two of them did, and takes over. After half of the time the load changes, and it learns anew.
//
// Prints the mean error of each tenth of the time, with and without what was learnt.
#include "controller.h"

#include <cmath>
#include <cstdio>
#include <vector>

namespace {

/// A motor with friction that is not linear, on a load: position and speed, a step of 10 ms at a time.
struct Motor {
  float position = 0, speed = 0, load = 1;

  void drive(float u) {
    constexpr float dt = 0.01f;
    speed += dt * (u - 1.5f * speed - 0.6f * std::tanh(20 * speed) - 0.8f * std::sin(position)) / load;
    position += dt * speed;
  }
};

float wanted(int t) { return 0.8f * std::sin(0.012f * float(t)) + 0.4f * std::sin(0.031f * float(t) + 1); }

/// The mean error of each tenth of the time.
std::vector<float> run(bool learns, int steps) {
  controller::Trainer trainer;
  Motor motor;
  std::vector<float> errors(10);
  for (int t = 0; t < steps; ++t) {
    if (t == steps / 2) motor.load = 2;
    const float goal = wanted(t), goal_speed = (wanted(t + 1) - goal) * 100;
    const float acceleration = (wanted(t + 2) - 2 * wanted(t + 1) + goal) * 10000;
    const float x[controller::inputs] = {goal, goal_speed, 0.3f * acceleration};
    float learnt = 0;
    if (learns) {
      controller::State now = trainer.state;  // looked at; the trainer's own step comes when its target is known
      controller::Model(trainer.weights).step(x, now, &learnt);
    }
    const float feedback = 8 * (goal - motor.position) + 2 * (goal_speed - motor.speed);
    const float drive = 4 * learnt + feedback, target = drive / 4;  // what it should have said
    trainer.step(x, &target, &learnt);
    motor.drive(drive);
    errors[static_cast<std::size_t>(10 * t / steps)] += std::fabs(motor.position - wanted(t + 1)) * 10 / float(steps);
  }
  return errors;
}

}  // namespace

int main() {
  constexpr int steps = 60000;
  const std::vector<float> with = run(true, steps), without = run(false, steps);
  std::printf("%zu bytes of memory\n\n   time   feedback alone   learning\n", sizeof(controller::Trainer));
  for (std::size_t i = 0; i < with.size(); ++i)
    std::printf("%5.0f s        %.4f        %.4f%s\n", double(i + 1) * steps / 1000, double(without[i]),
                double(with[i]), i == 5 ? "   the load doubled" : "");
  return with[4] < without[4] / 3 && with[9] < without[9] / 3 ? 0 : 1;
}
