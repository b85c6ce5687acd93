#!/usr/bin/env bash
# All numbered commands of docs/pipeline.md for one split, in order. Everything is written below --out.
#
#   bash scripts/run_split.sh --origin ORIGIN --annotations DIR --mode val --model dlib --cnn mobilenet_v2 --out OUT
#
#   --origin DIR        frames and portraits, one folder below it for each split
#   --annotations DIR   folder of {mode}.json and, where there are labels, {mode}_label.json
#   --mode MODE         train, val or test
#   --model PACK        face pack (r50-r100)
#   --cnn NAME          body backbone (resnext101_32x8d)
#   --checkpoint FILE   trained body model (imagenet: the pretrained backbone alone)
#   --ckpt FILE         the backbone's ImageNet weights, instead of torchvision's download
#   --precision P       of the networks: float32, bfloat16 or int8 (float32)
#   --frames            search frames in place of their crops for faces
#   --recipe NAME       of the ranking: original or best (original)
#   --no_time           the order of shots tells nothing, as of stills (--recipe best)
#   --skip_bad          go on without pictures that cannot be read
#   --overwrite         do everything anew; without it what is current is left alone, and a killed run goes on
#   -v, --quiet         tell of each movie; show results, warnings and errors alone
#   --log_file FILE     receives what each stage does and takes (OUT/log.jsonl)
#   --out DIR           receives everything
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/scripts/step.sh"
fail() { echo "error: $1" >&2; exit 2; }

model=r50-r100 cnn=resnext101_32x8d checkpoint=imagenet
origin='' annotations='' mode='' ckpt='' out='' precision='' recipe='' frames='' no_time='' skip_bad='' overwrite='' log_file=''
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        -v | --quiet) talk+=("$1"); shift ;;
        --skip_bad | --frames | --no_time | --overwrite) printf -v "${1#--}" '%s' "$1"; shift ;;
        --origin | --annotations | --mode | --model | --cnn | --checkpoint | --ckpt | --precision | --recipe | --log_file | --out)
            [ $# -ge 2 ] || fail "$1 needs a value"
            printf -v "${1#--}" '%s' "$2"; shift 2 ;;
        *) fail "unknown option $1; --help lists them" ;;
    esac
done
for needed in origin annotations mode out; do
    [ -n "${!needed}" ] || fail "--$needed is missing; --help lists the options"
done
# What the last stage but one would refuse is told before hours of work.
case $recipe in '' | original | best) ;; *) fail "unknown recipe $recipe: original or best" ;; esac
[ -z "$no_time" ] || [ "$recipe" = best ] || fail "--no_time is a flag of --recipe best"

data=$out/data body=$out/body
[ -z "$log_file" ] || export CASTSEARCH_LOG_FILE=$log_file
whole_run "$out"
[ -n "$precision" ] && at=(--precision "$precision") || at=()
step crop_body.py --origin "$origin" --annotations "$annotations" --body "$body" --mode "$mode" --data "$data" $skip_bad $overwrite

step RetinaFace/datalist.py --root "$body" --mode "$mode" --data "$data" --out "$out/lists"
for list in "$out/lists/${mode}"_*.txt; do
    step RetinaFace/deploy.py --txt_file "$list" --pkl_file "$out/results/$(basename "$list" .txt).pkl" \
        --image_root "$body" --model "$model" "${at[@]}" ${frames:+--frames "$origin"} $skip_bad $overwrite
done
step RetinaFace/merge.py --mode "$mode" --results "$out/results" --data "$data" $overwrite
step RetinaFace/face_det.py --image_root "$body" --mode "$mode" --model "$model" --data "$data" --out "$out" $skip_bad $overwrite
step RetinaFace/face_feat.py --mode "$mode" --model "$model" --data "$data" --images "$out" "${at[@]}" $overwrite

step reid/triplet.py --image_root "$body" --cnn "$cnn" --eval --mode "$mode" --checkpoint "$checkpoint" \
    ${ckpt:+--ckpt "$ckpt"} "${at[@]}" --data "$data" $skip_bad $overwrite

labels=$annotations/${mode}_label.json
[ -f "$labels" ] && gt=(--gt "$labels") || gt=()
result=$out/${mode}_result.txt
step fusion.py --mode "$mode" --data "$data" --reid "triplet_${cnn//:/_}" --submission "$result" "${gt[@]}" \
    ${recipe:+--recipe "$recipe"} $no_time $overwrite

first=$(head -n 1 "$result" | cut -d ' ' -f 1)
step demo.py --movcast="$first" --mode "$mode" --data "$data" --submission "$result" "${gt[@]}" --out "$out/demo.jpg"

summary
