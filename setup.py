"""Builds the compiled ranking kernel; everything else stands in pyproject.toml."""

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

kernel = Extension(
    "castsearch.ranking._kernel",
    ["castsearch/ranking/_kernel.pyx"],
    depends=["castsearch/ranking/_products.h"],
    include_dirs=[numpy.get_include()],
    define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
    extra_compile_args=["-O3", "-fopenmp", "-ffp-contract=off", "-fno-math-errno"],
    extra_link_args=["-fopenmp"],
)

setup(ext_modules=cythonize([kernel], language_level=3))
