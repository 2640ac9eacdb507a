from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout


class Rewind(ConanFile):
  name = 'rewind'
  version = '0.2.0'
  description = 'Automatic differentiation and recurrent networks'
  license = 'MIT'
  settings = 'os', 'compiler', 'build_type', 'arch'
  options = {'shared': [True, False]}
  default_options = {'shared': False}
  exports_sources = '../../*', '!../../build/*'
  requires = 'boost/1.83.0', 'eigen/3.4.0', 'fmt/10.2.1', 'nlohmann_json/3.11.3', 'onednn/2.4.4'

  def layout(self):
    cmake_layout(self, src_folder='.')

  def validate(self):
    check_min_cppstd(self, 20)

  def generate(self):
    CMakeDeps(self).generate()
    toolchain = CMakeToolchain(self)
    for part in ('TESTS', 'TOOLS', 'EXAMPLES'): toolchain.variables[f'REWIND_{part}'] = False
    toolchain.generate()

  def build(self):
    cmake = CMake(self)
    cmake.configure()
    cmake.build()

  def package(self):
    CMake(self).install()

  def package_info(self):
    self.cpp_info.set_property('cmake_find_mode', 'none')  # the package brings its own rewindConfig.cmake
    self.cpp_info.builddirs = ['lib/cmake/rewind']
