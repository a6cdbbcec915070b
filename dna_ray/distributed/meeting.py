"""How training workers find each other: through a socket in a cluster, through a file on one machine.

The socket is torch's TCPStore, which listens on every interface and asks for no token. A local cluster promises to
listen on loopback only, so its workers meet through a file.
"""

import ipaddress
import uuid
from dataclasses import dataclass
from pathlib import Path

import ray
from ray.train._internal.base_worker_group import BaseWorkerGroup
from ray.train.torch import TorchConfig
from ray.train.torch.config import _set_torch_distributed_env_vars, _setup_torch_process_group, _TorchBackend

TIMEOUT = 300  # seconds that a worker waits for the others in a step


def meeting(backend: str, folder: Path) -> TorchConfig:
    """The configuration of the connected cluster's workers.

    Args:
        backend: gloo or nccl.
        folder: On storage that all workers see; holds the file through which local workers meet.
    """
    if ipaddress.ip_address(ray.util.get_node_ip_address()).is_loopback:
        return FileConfig(backend=backend, timeout_s=TIMEOUT, folder=str(folder))
    return TorchConfig(backend=backend, timeout_s=TIMEOUT)


@dataclass
class FileConfig(TorchConfig):  # type: ignore[misc]  # ray has no types
    """Workers meet through a file in `folder`."""

    folder: str = ""

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        return _FileBackend


class _FileBackend(_TorchBackend):  # type: ignore[misc]
    def on_start(self, worker_group: BaseWorkerGroup, backend_config: FileConfig) -> None:
        """Each start of the group meets through a file of its own: what a lost group left would mislead it."""
        worker_group.execute(_set_torch_distributed_env_vars)
        url = f"file://{backend_config.folder}/meeting-{uuid.uuid4().hex}"
        joined = [
            worker_group.execute_single_async(
                rank,
                _setup_torch_process_group,
                backend=backend_config.backend,
                world_rank=rank,
                world_size=len(worker_group),
                init_method=url,
                timeout_s=backend_config.timeout_s,
            )
            for rank in range(len(worker_group))
        ]
        ray.get(joined)
