#include <stdio.h>

#include <rewind_c.h>

int main(void) {
  rw_model model;
  printf("outside, in C: %s\n", rw_version());
  return rw_model_load("/nowhere/at/all", &model) == RW_ERROR ? 0 : 1;
}
