"""`spavl compile`: the pipelines as files that a cluster takes."""

from typing import Annotated

import typer

from pipelines.commands.paths import shown_path
from spavl.errors import FAULT_OF_OURS

COMPILE_EXAMPLES = """Examples:

- `spavl compile`
- `spavl compile --image-registry registry.example/team`
- `spavl compile --check`
"""


def compile_(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail if the files are not current.")
    ] = False,
    image_registry: Annotated[
        str, typer.Option(help="Prefix of the image names, e.g. registry.example/team.")
    ] = "",
    sizes: Annotated[
        str, typer.Option(help="Sizes of the pods: cluster, single_gpu or laptop.")
    ] = "cluster",
    queue: Annotated[str, typer.Option(help="Kueue's LocalQueue that pods wait in.")] = "",
    release: Annotated[
        str | None, typer.Option(help="Write manifests/releases/VERSION instead, once and for all.")
    ] = None,
) -> None:
    """Compile the pipelines into manifests/pipelines/, or a release of the whole DAG."""
    from pipelines.compilation import differences, write_compiled
    from pipelines.releasing import write_release
    from pipelines.targeting import Target

    target = Target(image_registry, sizes, queue)
    if release:
        for path in write_release(release, target):
            print(shown_path(path))
        return
    if not check:
        for path in write_compiled(target):
            print(shown_path(path))
        return
    found = differences(target)
    for file, difference in found.items():
        print(f"{file} is not what the code compiles to:\n{difference}")
    if found:
        print("run `spavl compile` and commit the result")
        raise typer.Exit(FAULT_OF_OURS)
    print("the compiled pipelines are current")
