#!/bin/sh
# Our images under the tags that compiled pipelines ask for: built, pushed, loaded into kind.
#
#   images/images.sh build [IMAGE...]      pipeline, trainer and responder where none is named
#   images/images.sh push [IMAGE...]       to REGISTRY: layers once, then a name for every tag
#   images/images.sh kind-load [IMAGE...]  into KIND_CLUSTER, as one archive
#
# ENGINE     docker (with BuildKit) or podman; kind-load wants docker
# PYTHON     one in which this project is installed; it computes the tags
# REGISTRY   prefix of the names, as in spavl compile --image-registry
# PLATFORMS  for build, e.g. "linux/amd64,linux/arm64": docker buildx builds for each of them and
#            pushes to REGISTRY at once, since an engine's own store holds one platform
# PIP_CONF, UV_CONF  a pip.conf and a uv.toml for the builds, where there is an index of one's own
# ARGUMENTS  further arguments of the engine's build, e.g. "--build-arg BASE_IMAGE=..."
set -eu
cd "$(dirname "$0")/.."
: "${ENGINE:=docker}" "${PYTHON:=python3}" "${REGISTRY:=}" "${PLATFORMS:=}" "${KIND_CLUSTER:=kind}"
: "${PIP_CONF:=}" "${UV_CONF:=}" "${ARGUMENTS:=}"
export DOCKER_BUILDKIT=1

refuse() {
    echo "images: $1" >&2
    exit 2
}

tags_of() {
    echo "v$version"
    echo "$stages" | sed -n "s|^$1 .*:||p"
}

# What an image is made of; its label remembers it.
made_of() {
    echo "$(tags_of "$1" | tr '\n' ' ')$(cat images/tools.lock images/"$1"/* | cksum | tr ' ' -)"
}

build() {
    revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
    for image in $images; do
        name="${PLATFORMS:+$REGISTRY/}spa-vl/$image"
        told="build/$image.json"
        set -- build ${PLATFORMS:+--platform "$PLATFORMS" --push --metadata-file "$told"}
        for tag in $(tags_of "$image"); do set -- "$@" --tag "$name:$tag"; done
        # shellcheck disable=SC2086  # ARGUMENTS are several words
        "$ENGINE" ${PLATFORMS:+buildx} "$@" --file "images/$image/Containerfile" \
            --label "org.opencontainers.image.version=$version" \
            --label "org.opencontainers.image.revision=$revision" \
            --label "spa-vl.made-of=$(made_of "$image")" \
            ${PIP_CONF:+--secret "id=pip,src=$PIP_CONF"} \
            ${UV_CONF:+--secret "id=uv,src=$UV_CONF"} $ARGUMENTS .
        echo "built $name:v$version and $(tags_of "$image" | grep -vc "^v") stage tags"
        [ -z "$PLATFORMS" ] ||
            sed -n "s|.*\"containerimage.digest\": *\"\([^\"]*\)\".*|digest $name@\1|p" "$told"
    done
}

# Nothing leaves unless everything named is built, and of what lies here.
require_built() {
    "$ENGINE" info >/dev/null 2>&1 || refuse "$ENGINE does not answer: start it"
    for image in $images; do
        built="spa-vl/$image:v$version"
        label=$("$ENGINE" image inspect --format '{{index .Config.Labels "spa-vl.made-of"}}' "$built" 2>/dev/null) ||
            refuse "$built is not built: make images IMAGES=$image, or name in IMAGES what is to go"
        [ "$label" = "$(made_of "$image")" ] ||
            refuse "$built was made of other files than lie here: make images IMAGES=$image"
    done
}

push() {
    require_built
    for image in $images; do
        name="$REGISTRY/spa-vl/$image"
        for tag in $(tags_of "$image"); do
            "$ENGINE" tag "spa-vl/$image:v$version" "$name:$tag"
            told=$("$ENGINE" push "$name:$tag" 2>&1) ||
                refuse "$name:$tag is not pushed: $(echo "$told" | tail -n 1)"
            echo "pushed $name:$tag"
        done
        "$ENGINE" image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$name:v$version" |
            sed -n "s|^$name@|digest $name@|p"
    done
}

kind_load() {
    require_built
    set --
    for image in $images; do
        for tag in $(tags_of "$image"); do
            reference="${REGISTRY:+$REGISTRY/}spa-vl/$image:$tag"
            "$ENGINE" tag "spa-vl/$image:v$version" "$reference"
            set -- "$@" "$reference"
        done
    done
    archive=$(mktemp)
    trap 'rm -f "$archive"' EXIT
    "$ENGINE" save --output "$archive" "$@"
    kind load image-archive "$archive" --name "$KIND_CLUSTER"
    printf 'loaded %s\n' "$@"
}

verb=${1:-}
[ $# = 0 ] || shift
images=${*:-pipeline trainer responder}
for image in $images; do
    [ -f "images/$image/Containerfile" ] || refuse "no image \"$image\": pipeline, trainer or responder"
done
case $verb in
    build) [ -z "$PLATFORMS" ] || [ -n "$REGISTRY" ] ||
        refuse "several platforms go straight to a registry: say REGISTRY=registry.example.com/team" ;;
    push) [ -n "$REGISTRY" ] || refuse "where to? say REGISTRY=registry.example.com/team" ;;
    kind-load) command -v kind >/dev/null || refuse "kind is not on the PATH: install it" ;;
    *) refuse "no verb \"$verb\": build, push or kind-load" ;;
esac

version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
stages=$("$PYTHON" -m pipelines.image_tags)
mkdir -p build
case $verb in
    build) build ;;
    push) push ;;
    kind-load) kind_load ;;
esac
