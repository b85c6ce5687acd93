#!/usr/bin/env bash
# Runs the library's tests against an installed wheel, outside the tree: an sdist is built and unpacked, a wheel built from
# that and installed into a folder of its own, and what is left of the sdist without the library runs its tests.
#
#   bash tests/installed.sh PYTHON [ARGUMENT...]     PYTHON has the packages that the tests need, castsearch or not;
#                                                    ARGUMENTs are pytest's; by default all tests but those of scripts
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$(realpath --no-symlinks "$(command -v "${1:?name the Python to run the tests with}")")
shift
[ $# -gt 0 ] || set -- tests --ignore tests/cli --ignore tests/browser --ignore tests/fuzz --pyargs castsearch

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CASTSEARCH_TESTDATA=${CASTSEARCH_TESTDATA:-$(realpath -m "$root/../shared")}
"$root/.venv/bin/python" -m build --no-isolation --sdist --outdir "$work" "$root" >"$work/log" || { cat "$work/log"; exit 1; }
mkdir "$work/tree"
tar xzf "$work"/castsearch-*.tar.gz -C "$work/tree" --strip-components 1
"$python" -m pip wheel --quiet --no-deps --wheel-dir "$work" "$work/tree"
"$python" -m pip install --quiet --no-deps --target "$work/site" "$work"/castsearch-*.whl
rm -rf "$work/tree/castsearch" "$work"/tree/build "$work"/tree/*.egg-info
cd "$work/tree"
export PYTHONPATH=$work/site
"$python" -c 'import castsearch; print("castsearch", castsearch.__version__, "of", castsearch.__file__)'
"$python" -m pytest -p no:cacheprovider "$@"
