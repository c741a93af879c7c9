#!/bin/sh
# Installs DeepSpeed into /opt/venv; with CUDA_OPS=1 its ops are built, so that no pod builds them.
set -eu

if [ "${CUDA_OPS}" = 1 ]; then
    apt-get update
    apt-get install --yes --no-install-recommends g++
    CUDA_HOME=$(echo /cuda/cuda-*.*)
    export CUDA_HOME
    export DS_BUILD_FUSED_ADAM=1 DS_BUILD_CPU_ADAM=1 DS_BUILD_UTILS=1
fi
/opt/tools/bin/uv pip install --no-deps --no-build-isolation --require-hashes \
    --requirement /tmp/deepspeed.lock
