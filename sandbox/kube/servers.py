"""The command lines of the control plane's four programs, and why they differ from a production cluster's."""

from collections.abc import Mapping
from pathlib import Path

from sandbox.kube.papers import Papers

HOST = "127.0.0.1"
TOLERATION_S = 2
"""How long pods stay on a dead node; 300 s unless told otherwise, which is a real and common weakness."""

_GRACE_S = 3.5  # of a node's lease; with the period below a dead node is NotReady after 3.5 to 4.5 s
_PERIOD_S = 0.5
_SERVICES = "10.0.0.0/16"
_NOWHERE = "192.0.2.1"  # of the block that is kept for documentation

CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "cronjob-controller",
    "daemonset-controller",
    "deployment-controller",
    "disruption-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    "node-lifecycle-controller",
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "serviceaccount-controller",
    "statefulset-controller",
    "taint-eviction-controller",
)
"""Those that a sandbox can use; each of the others would only hold watches and memory."""


def etcd(program: str, data: Path, client: int, peer: int) -> list[str]:
    """The store. It never syncs: nothing in it outlives the sandbox. Alone, it need not wait to elect itself."""
    return [
        program,
        f"--data-dir={data}",
        f"--listen-client-urls=http://{HOST}:{client}",
        f"--advertise-client-urls=http://{HOST}:{client}",
        f"--listen-peer-urls=http://{HOST}:{peer}",
        f"--initial-advertise-peer-urls=http://{HOST}:{peer}",
        f"--initial-cluster=default=http://{HOST}:{peer}",
        "--unsafe-no-fsync",
        "--heartbeat-interval=20",
        "--election-timeout=200",
        "--log-level=warn",
    ]


def apiserver(program: str, papers: Papers, port: int, etcd_port: int) -> list[str]:
    """The API server: RBAC decides; what runs in it are pods of ours, which get no service-account token mounted."""
    return [
        program,
        f"--etcd-servers=http://{HOST}:{etcd_port}",
        f"--bind-address={HOST}",
        f"--secure-port={port}",
        f"--advertise-address={_NOWHERE}",  # else it looks for a network, and a machine without one has no cluster
        f"--external-hostname={HOST}",
        f"--tls-cert-file={papers.cert('server')}",
        f"--tls-private-key-file={papers.key('server')}",
        "--authorization-mode=RBAC",
        f"--token-auth-file={papers.tokens}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={papers.service_account_public}",
        f"--service-account-signing-key-file={papers.key('service-account')}",
        f"--service-cluster-ip-range={_SERVICES}",
        "--disable-admission-plugins=ServiceAccount",
        "--enable-priority-and-fairness=false",
        "--endpoint-reconciler-type=none",  # it would announce itself at a loopback address, which is refused
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-certificate-authority={papers.ca}",
        f"--kubelet-client-certificate={papers.cert('apiserver-kubelet-client')}",
        f"--kubelet-client-key={papers.key('apiserver-kubelet-client')}",
        f"--default-not-ready-toleration-seconds={TOLERATION_S}",
        f"--default-unreachable-toleration-seconds={TOLERATION_S}",
        "--profiling=false",
    ]


def controller_manager(program: str, papers: Papers, kubeconfig: Path) -> list[str]:
    """The controllers, one of each, so without an election; a whole zone that is dead is evicted at once."""
    return [
        program,
        f"--kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--secure-port=0",
        f"--controllers={','.join(CONTROLLERS)}",
        f"--root-ca-file={papers.ca}",
        f"--service-account-private-key-file={papers.key('service-account')}",
        f"--node-monitor-period={_PERIOD_S}s",
        f"--node-monitor-grace-period={_GRACE_S}s",
        "--node-eviction-rate=100",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--profiling=false",
    ]


def scheduler(program: str, kubeconfig: Path) -> list[str]:
    """The scheduler, alone as well."""
    return [
        program,
        f"--kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--profiling=false",
    ]


def names(programs: Mapping[str, str]) -> list[str]:
    """Of the programs, those that run (kubectl does not), in the order in which they are started."""
    return [
        name for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler") if name in programs
    ]
