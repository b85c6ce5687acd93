#!/usr/bin/env bash
# The quickstart of films (make film): render a film and portraits, find who appears in it when. Where the project's test
# data are (../shared, or CASTSEARCH_TESTDATA), the same for the clips there. Each command is shown before it runs.
#
#   bash scripts/film.sh [OUT] [--overwrite] [-v] [--quiet]     OUT receives everything (data/film)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/scripts/step.sh"
whole_run_flags "$root/data/film" "$@"
film=$out

step scripts/make_demo_film.py --out "$film"
step scripts/find_cast.py --video "$film/demo.mp4" --portraits "$film/portraits" --out "$film/found" \
    --cluster --annotated "$film/found/annotated.mp4" $overwrite
for clip in "${CASTSEARCH_TESTDATA:-$root/../shared}"/data/clips/*/; do
    [ -d "$clip/portraits" ] || continue  # the pattern itself, where there are none
    clip=$(realpath --relative-to=. "$clip") name=$(basename "$clip")
    step scripts/find_cast.py --video "$clip/$name.mp4" --portraits "$clip/portraits" --out "$film/$name" --cluster $overwrite
done

summary
quiet && exit
echo
echo "Who appears when:   $film/found/appearances.csv"
echo "To look at:         $film/found/demo.svg, $film/found/strips/demo, $film/found/annotated.mp4"
echo "Somebody unknown:   $film/found/unknown/demo"
