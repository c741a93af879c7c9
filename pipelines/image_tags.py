"""Which tags an image needs: `python -m pipelines.image_tags [--registry R]`.

One image serves many stages. Each stage asks for it by the digest of its own code and of the
image's locks, so building it once means tagging it several times. A line is `image reference`.
"""

import argparse

from pipelines.compilation import PIPELINES, compiled, stage_image
from pipelines.releasing import JOB_IMAGE
from pipelines.targeting import Target

JOB_MODULES = ("pipelines.recurring",)


def image_tags(registry: str = "") -> dict[str, list[str]]:
    """Image to all references under which pipelines and jobs ask for it, sorted.

    Args:
        registry: Prefix of the image names; empty for none.
    """
    references = {stage_image(f"{JOB_IMAGE}:{module}", registry) for module in JOB_MODULES}
    for pipeline in PIPELINES.values():
        specification = compiled(pipeline, Target(registry))[0]
        executors = specification["deploymentSpec"]["executors"].values()
        references |= {executor["container"]["image"] for executor in executors}
    found: dict[str, list[str]] = {}
    for reference in sorted(references):
        found.setdefault(reference.split(":")[-2].split("/")[-1], []).append(reference)
    return found


def main() -> None:
    """Print the references, one a line."""
    parser = argparse.ArgumentParser(description="Tags that compiled pipelines ask for")
    parser.add_argument("--registry", default="", help="prefix of the image names")
    for image, references in image_tags(parser.parse_args().registry).items():
        for reference in references:
            print(image, reference)


if __name__ == "__main__":
    main()
