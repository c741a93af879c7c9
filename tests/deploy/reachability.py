"""Who may reach whom by a set of NetworkPolicies: what an enforcing network decides, in small."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from tests.deploy.rendering import Resource

NAME = "kubernetes.io/metadata.name"


@dataclass(frozen=True)
class End:
    """One end of a connection: a pod, or an address outside the cluster.

    Attributes:
        namespace: Of the pod; none outside.
        labels: Of the pod.
        address: Where it is no pod.
    """

    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    address: str | None = None


def allowed(policies: Sequence[Resource], source: End, target: End, port: int) -> bool:
    """Whether a TCP connection to the target's own port is allowed at both ends.

    Args:
        policies: NetworkPolicies of all namespaces.
        source: Where it comes from.
        target: Where it goes to, after a Service's address was replaced.
        port: The target's port, not its Service's.
    """
    return _open(policies, "Egress", source, target, port) and _open(
        policies, "Ingress", target, source, port
    )


def _open(policies: Sequence[Resource], way: str, end: End, peer: End, port: int) -> bool:
    """Open where no policy selects this end, or one that does allows the peer."""
    bound = [each for each in policies if way in each["spec"]["policyTypes"] and _binds(each, end)]
    return not bound or any(
        _allows(rule, each, peer, port)
        for each in bound
        for rule in each["spec"].get(way.lower(), [])
    )


def _binds(policy: Resource, end: End) -> bool:
    return end.namespace == policy["metadata"]["namespace"] and _selects(
        policy["spec"]["podSelector"], end.labels
    )


def _allows(rule: Mapping[str, Any], policy: Resource, peer: End, port: int) -> bool:
    ports = [each["port"] for each in rule.get("ports", []) if each.get("protocol") != "UDP"]
    if "ports" in rule and port not in ports:
        return False
    peers = rule.get("to", rule.get("from"))
    return peers is None or any(_is(each, policy, peer) for each in peers)


def _is(wanted: Mapping[str, Any], policy: Resource, peer: End) -> bool:
    if "ipBlock" in wanted:
        network = ip_network(wanted["ipBlock"]["cidr"])
        return peer.address is not None and ip_address(peer.address) in network
    if peer.namespace is None:
        return False
    if "namespaceSelector" in wanted:
        in_place = _selects(wanted["namespaceSelector"], {NAME: peer.namespace})
    else:
        in_place = peer.namespace == policy["metadata"]["namespace"]
    return in_place and _selects(wanted.get("podSelector", {}), peer.labels)


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    named = selector.get("matchLabels", {}).items() <= dict(labels).items()
    return named and all(
        _holds(each, labels.get(each["key"])) for each in selector.get("matchExpressions", [])
    )


def _holds(expression: Mapping[str, Any], value: str | None) -> bool:
    match expression["operator"]:
        case "Exists":
            return value is not None
        case "In":
            return value in expression["values"]
    raise NotImplementedError(expression["operator"])
