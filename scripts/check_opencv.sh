#!/usr/bin/env bash
# opencv-python draws windows and wants the system's libGL for that. This project opens no window: where
# libGL is missing, the same release without windows takes its place.
#
#   bash scripts/check_opencv.sh PYTHON
set -euo pipefail
if ! "$1" -c 'import cv2' 2>/dev/null; then
    echo "OpenCV does not load here (no libGL?); installing it without windows"
    version=$("$1" -c 'from importlib.metadata import version; print(version("opencv-python"))')
    "$1" -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps "opencv-python-headless==$version"
    "$1" -c 'import cv2'
fi
