"""Programs beside Python: containers, cluster, charts, browser."""

from pipelines.doctor.checks import SECONDS, BrokenError, Check, NotThereError, output_of

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def tool_checks() -> list[Check]:
    """Checks of programs that only some work needs."""
    return [
        Check("docker", _docker, "for images and test-container: install Docker and start it"),
        Check("kubectl", _kubectl, "for a cluster: install kubectl and choose a context"),
        Check("helm", _helm, "for the chart: install Helm 4"),
        Check("browser", _browser, "for test-browser: install chromium"),
    ]


def _docker() -> str:
    version = output_of(["docker", "info", "--format", "{{.ServerVersion}}"])
    if not version:
        raise BrokenError("the engine does not answer")
    return f"engine {version}"


def _kubectl() -> str:
    try:
        context = output_of(["kubectl", "config", "current-context"], SECONDS / 2)
    except BrokenError as error:
        if "not set" in str(error):
            raise NotThereError("no context is chosen") from None
        raise
    output_of(["kubectl", "get", "--raw", "/readyz", "--request-timeout=1s"], SECONDS / 2)
    return f"context {context} answers"


def _helm() -> str:
    return output_of(["helm", "version", "--short"])


def _browser() -> str:
    for name in BROWSERS:
        try:
            return output_of([name, "--version"])
        except NotThereError:
            continue
    raise NotThereError(f"none of {', '.join(BROWSERS)} in the PATH")
