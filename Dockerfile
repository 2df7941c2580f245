# The two commands of README.md in a container. UNBUILT: no Docker daemon was at hand where this file was written;
# tests/test_container.py checks what can be checked without one.
#
#   docker build --tag prefrontier .                              the CPU build of torch
#   docker build --tag prefrontier --build-arg TORCH=cuda .       the CUDA build
#   docker run --rm --volume "$PWD/runs:/prefrontier/runs" prefrontier         the main job; with CUDA add --gpus all
#   docker run --rm prefrontier tox                                            the tests
FROM python:3.11.14-slim-bookworm

ARG TORCH=cpu
RUN case "$TORCH" in cpu|cuda) ;; *) echo "TORCH: should be cpu or cuda, not $TORCH" >&2; exit 1 ;; esac
RUN apt-get update && apt-get install --yes --no-install-recommends git && rm -rf /var/lib/apt/lists/*
RUN python -m pip install --no-cache-dir "tox>=4.28"

RUN useradd --create-home user && install --directory --owner user /prefrontier /prefrontier/runs
WORKDIR /prefrontier
USER user
COPY --chown=user . .

# Environments are part of the image, so that a container needs no package index. Without a backend, uv takes PyPI's CUDA build.
RUN if [ "$TORCH" = cpu ]; then export UV_TORCH_BACKEND=cpu; fi; tox -e bench --notest && tox --notest

CMD ["tox", "-e", "bench"]
