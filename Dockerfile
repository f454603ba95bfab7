# coldbench in a container.
#
#   docker build -t coldbench .                                  for the CPU
#   docker build -t coldbench --build-arg TORCH=cu126 .          for NVIDIA GPUs
#   docker run --rm -v "$PWD/results:/work/results" coldbench run --table 3 --images 1000
#
# TORCH is the name of a package index of PyTorch's: cpu, or that of a CUDA version. Its wheels bring the libraries of
# CUDA along, so the base image is the same for both; the driver is the host's (docker run --gpus all).
FROM python:3.12-slim

ARG TORCH=cpu
ARG EXTRAS=report

ENV PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONDONTWRITEBYTECODE=1

# PyTorch first: its layer outlives every change of coldbench.
RUN pip install --index-url "https://download.pytorch.org/whl/${TORCH}" "torch>=2.6" "torchvision>=0.21"

COPY . /tmp/coldbench
RUN pip install "/tmp/coldbench[${EXTRAS}]" && rm -rf /tmp/coldbench

# Data, weights and caches that coldbench keeps: mount a volume here to keep them longer than the container.
ENV COLDBENCH_HOME=/home/coldbench/cache \
    TORCH_HOME=/home/coldbench/cache/torch
RUN useradd --create-home --uid 1000 coldbench \
    && mkdir -p /work "${COLDBENCH_HOME}" \
    && chown -R 1000:1000 /work /home/coldbench
USER 1000
WORKDIR /work

ENTRYPOINT ["coldbench"]
CMD ["--help"]
