"""Where in a cluster something runs."""

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

SPREAD = "SPREAD"  # over as many nodes as there are: losing one then costs the least, and memory and ports are shared


def here() -> NodeAffinitySchedulingStrategy:
    """The node of this process: what runs there, and what it holds, is lost only together with the driver's node."""
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
