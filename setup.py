"""Builds the compiled ranking kernel; everything else stands in pyproject.toml."""

from Cython.Build import cythonize
from setuptools import Extension, setup

kernel = Extension(
    "castsearch.ranking._kernel",
    ["castsearch/ranking/_kernel.pyx"],
    language="c++",
    extra_compile_args=["-O3", "-ffp-contract=off", "-fno-math-errno"],
)

setup(ext_modules=cythonize([kernel], language_level=3))
