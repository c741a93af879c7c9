#!/bin/sh
# Builds images and gives each the tags that compiled pipelines ask for.
#
#   images/build.sh [IMAGE...]        pipeline, trainer and responder where none is named
#
# ENGINE     docker (with BuildKit) or podman
# PYTHON     one in which this project is installed; it computes the tags
# REGISTRY   prefix of the names, as in spavl compile --image-registry
# PIP_CONF, UV_CONF  a pip.conf and a uv.toml for the builds, where there is an index of one's own
# ARGUMENTS  further arguments of the engine's build, e.g. "--build-arg BASE_IMAGE=..."
set -eu
cd "$(dirname "$0")/.."
: "${ENGINE:=docker}" "${PYTHON:=python3}" "${REGISTRY:=}" "${PIP_CONF:=}" "${UV_CONF:=}" "${ARGUMENTS:=}"
export DOCKER_BUILDKIT=1

revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
tags=$("$PYTHON" -m pipelines.image_tags --registry "$REGISTRY")

for image in ${*:-pipeline trainer responder}; do
    name="${REGISTRY:+$REGISTRY/}spa-vl/$image"
    # shellcheck disable=SC2086  # ARGUMENTS are several words
    "$ENGINE" build --file "images/$image/Containerfile" --tag "$name:v$version" \
        --label "org.opencontainers.image.version=$version" \
        --label "org.opencontainers.image.revision=$revision" \
        ${PIP_CONF:+--secret "id=pip,src=$PIP_CONF"} \
        ${UV_CONF:+--secret "id=uv,src=$UV_CONF"} $ARGUMENTS .
    echo "$tags" | while read -r of reference; do
        if [ "$of" = "$image" ]; then "$ENGINE" tag "$name:v$version" "$reference"; fi
    done
    echo "built $name:v$version and $(echo "$tags" | grep -c "^$image ") stage tags"
done
