#!/usr/bin/env bash
# The quickstart (make demo): render a small movie, train a body model on its train split for a moment, run every
# stage on its val split. Each command is shown before it runs.
#
#   bash scripts/quickstart.sh [OUT] [--overwrite] [-v] [--quiet]     OUT receives everything (data/demo)
#
# A second run leaves alone what is current; --overwrite does everything anew.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/scripts/step.sh"
whole_run_flags "$root/data/demo" "$@"
demo=$out

step scripts/make_demo_data.py --out "$demo"
step crop_body.py --origin "$demo/origin" --annotations "$demo" --body "$demo/body" --mode train --data "$demo/data" $overwrite
step reid/triplet.py --image_root "$demo/body" --cnn mobilenet_v2 --data "$demo/data" --save_dir "$demo/triplet" \
    --batch_size 4 --image_num 4 --epochs 6 $overwrite
bash "$root/scripts/run_split.sh" --origin "$demo/origin" --annotations "$demo" --mode val --model dlib \
    --cnn mobilenet_v2 --checkpoint "$demo/triplet/last.pt" --out "$demo" $overwrite "${talk[@]}"
step demo.py --gallery "$demo/gallery" --mode val --data "$demo/data" --submission "$demo/val_result.txt" --gt "$demo/val_label.json"

summary
quiet && exit
echo
echo "The ranking:            $demo/val_result.txt"
echo "One cast member's best: $demo/demo.jpg"
echo "Everybody's boxes:      $demo/gallery/index.html, for a browser"
echo "The movie's frames:     $demo/origin/val"
