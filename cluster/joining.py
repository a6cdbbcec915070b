"""One more node for a cluster of Ray on this machine that listens on loopback only.

As `ray start --address`, which refuses that on loopback, and as `ray.cluster_utils.Cluster`, whose nodes are not
processes of their own.

    python cluster/joining.py HOST:PORT --cpus 2 --store 268435456 --agent-port 52366
"""

import argparse
import signal

from ray._private.node import Node
from ray._private.parameter import RayParams


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("head")
    parser.add_argument("--cpus", type=int, required=True)
    parser.add_argument("--store", type=int, required=True, help="bytes of the object store")
    parser.add_argument("--agent-port", type=int, required=True)
    options = parser.parse_args()
    settings = RayParams(
        gcs_address=options.head,
        node_ip_address=options.head.rpartition(":")[0],
        num_cpus=options.cpus,
        object_store_memory=options.store,
        dashboard_agent_listen_port=options.agent_port,
        min_worker_port=0,  # whatever is free: nodes share the address
        max_worker_port=0,
    )
    Node(settings, head=False, shutdown_at_exit=True, spawn_reaper=True)
    print("Ray runtime started", flush=True)  # as `ray start` says
    signal.pause()


if __name__ == "__main__":
    main()
