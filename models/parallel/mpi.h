#pragma once
// Processes on one machine or many, which MPI starts and connects. In a library of its own, rewind::mpi, so that a
// program for one machine has no MPI in it.
#include <memory>

#include <rewind/models/parallel/group.h>

namespace rw {

/// The processes that `mpirun` started together with this one; a group of one for a program that was started by itself,
/// which then never touches MPI. Once in a program: it must outlive everything that uses it. Throws Error when mpirun
/// started more than one and Rewind was built without MPI.
std::unique_ptr<Group> open_group();

}  // namespace rw
