"""Faults in the set-up of a cluster, planted with real files, sockets and servers: each is found, with its fix."""

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from planted import plant_package

from dna_ray.distributed import access, survey
from dna_ray.errors import InputError, ResourceError
from dna_ray.verbs.check import Check, as_error, failing
from dna_ray.verbs.cluster_checks import examine
from dna_ray.verbs.doctor import doctor
from dna_ray.verbs.door_checks import at_the_door
from dna_ray.verbs.node_checks import Wanted, of_nodes

LISTENER = """
import pathlib, socket, time
pathlib.Path("/proc/self/comm").write_text("ray::planted")
with socket.create_server(("0.0.0.0", 0)) as server:
    print(server.getsockname()[1], flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No token, proxy or server but those that a test plants."""
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_MODE", "RAY_ADDRESS", "DNA_RAY_HOME", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))


@contextlib.contextmanager
def serving(body: str, *, host: str = "127.0.0.1", status: int = 200) -> Iterator[str]:
    """The URL of a server that says `body` to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer((host, 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def surveyed(
    home: Path | None, *, paths: tuple[str, ...] = (), tracking: str | None = None, **node: Any
) -> dict[str, Any]:
    """What `survey.survey` would say of a cluster whose one node is this machine."""
    with survey._marked(home and str(home)) as (mark, trouble):
        answer = survey.look(mark, list(paths)) | {key: node.pop(key) for key in ("home_trouble",) if key in node}
    return {
        "home": home and str(home),
        "home_trouble": trouble,
        "tracking": tracking,
        "tracking_trouble": tracking and survey._server_trouble(tracking),
        "resources": {"CPU": 4.0},
        "nodes": [{"name": "n1", "address": "10.0.0.1", "alive": True, "store": 2**20, "answer": answer} | node],
    }


def found(said: Mapping[str, Any], *, wanted: Wanted | None = None, insecure: bool = False) -> list[Check]:
    return [each for each in of_nodes(said, wanted or Wanted(), insecure=insecure) if each.state != "ok"]


def the_one(checks: list[Check], name: str) -> Check:
    """The fault called `name`, which says what to do, on one line."""
    (fault,) = [check for check in checks if check.name == name and check.state != "ok"]
    assert fault.fix or "; " in fault.found
    assert "\n" not in fault.line()
    return fault


def at(address: str, *, insecure: bool = False) -> list[Check]:
    return list(at_the_door(address, insecure=insecure))


def greet(listening: socket.socket) -> None:
    """Says something to whoever comes first."""
    with listening.accept()[0] as visitor:
        visitor.recv(1000)
        visitor.sendall(b"\0\0\x12 no http\r\n")


def test_1_nobody_answers():
    fault = the_one(at("http://127.0.0.1:9"), "ray cluster")
    assert "does not answer (Connection refused)" in fault.found
    assert fault.exit_code == 9


def test_2_something_else_answers():
    with serving("hello", status=404) as url:
        assert "no Ray dashboard (HTTP 404)" in the_one(at(url), "ray cluster").found
    with socket.create_server(("127.0.0.1", 0)) as listening:  # Ray's own port speaks no HTTP either
        answering = threading.Thread(target=greet, args=(listening,))
        answering.start()
        assert "it speaks no HTTP" in the_one(at(f"http://127.0.0.1:{listening.getsockname()[1]}"), "ray cluster").found
        answering.join()


def test_3_a_proxy_stands_between(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with serving('{"authentication_mode": "disabled"}') as url:
        assert the_one(at(url), "ray cluster").fix == "add 127.0.0.1 to NO_PROXY"


def test_4_no_token_where_one_is_wanted():
    with serving('{"authentication_mode": "token"}', status=401) as url:
        fault = the_one(at(url), "token")
    assert "there is none here" in fault.found
    assert "mode 0600" in fault.fix


def test_5_a_token_that_is_not_the_clusters(tmp_path: Path):
    access.token_file().touch(mode=0o600)
    access.token_file().write_text("of another cluster")
    with serving('{"authentication_mode": "token"}', status=403) as url:
        assert "does not take the token" in the_one(at(url), "token").found


def test_6_a_token_that_others_can_read():
    access.token_file().write_text("secret")
    access.token_file().chmod(0o644)
    fault = the_one(at("127.0.0.1:6379"), "token")
    assert "mode 0644" in fault.found
    assert fault.fix == f"run `chmod 600 {access.token_file()}`"
    assert "secret" not in fault.line()


def test_7_a_head_that_lets_everybody_in():
    host = access.own_address()
    if access.is_loopback(host):
        pytest.skip("this machine has no address but loopback")
    with serving('{"authentication_mode": "disabled"}', host=host) as url:
        assert "lets everybody in" in the_one(at(url), "token").found
        assert not failing([check for check in at(url, insecure=True) if check.name != "ray"])
    with serving('{"authentication_mode": "disabled"}') as url:
        assert the_one(at(url), "token").state == "warn"


def test_8_another_version_of_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with serving('{"authentication_mode": "disabled", "ray_version": "2.0.1"}') as url:
        fault = the_one(at(url), "ray")
    assert "2.0.1 there" in fault.found
    assert 'pip install "ray[default]==2.0.1"' in fault.fix


def test_9_another_version_of_dna_ray_or_torch_on_a_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        plant_package(tmp_path / "a", "dna-ray", "0.0.9")
        patch.syspath_prepend(str(tmp_path / "a"))
        said = surveyed(tmp_path)
    assert "n1 10.0.0.1: dna-ray 0.0.9" in the_one(found(said), "dna-ray").found
    with monkeypatch.context() as patch:
        plant_package(tmp_path / "b", "torch", "1.0.0")
        patch.syspath_prepend(str(tmp_path / "b"))
        said = surveyed(tmp_path)
    assert "torch 1.0.0" in the_one(found(said), "packages").found


@pytest.mark.skipif(not Path("/proc/self/comm").exists(), reason="names of processes are set as on Linux")
def test_10_a_port_that_is_open_to_others_without_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with subprocess.Popen([sys.executable, "-c", LISTENER], stdout=subprocess.PIPE, text=True) as planted:
        try:
            assert planted.stdout
            port = planted.stdout.readline().strip()
            said = surveyed(tmp_path)
        finally:
            planted.kill()
    assert f"ray::planted 0.0.0.0:{port}" in said["nodes"][0]["answer"]["open"]
    fault = the_one(found(said), "ports")
    assert fault.state == "fail"
    assert "RAY_AUTH_MODE=token" in fault.fix
    assert the_one(found(said, insecure=True), "ports").state == "warn"
    said["nodes"][0]["answer"]["auth"] = "token"
    assert not [check for check in found(said) if check.name == "ports"]


def test_11_an_object_store_that_shared_memory_cannot_hold(tmp_path: Path):
    assert "--shm-size" in the_one(found(surveyed(tmp_path, store=2**60)), "shared memory").fix


def test_12_runs_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("")
    fault = the_one(found(surveyed(tmp_path / "file" / "runs")), "runs")
    assert "cannot be made or written by the head's node" in fault.found


def test_13_a_node_that_does_not_share_the_runs(tmp_path: Path):
    with survey._marked(str(tmp_path)) as (mark, _):
        assert mark is not None
        assert survey.look(mark, [])["home_trouble"] is None
        elsewhere, nowhere = tmp_path / "elsewhere" / Path(mark).name, tmp_path / "nowhere" / Path(mark).name
        elsewhere.parent.mkdir()
        assert survey.look(str(elsewhere), [])["home_trouble"] == "is not the folder that the head sees"
        assert survey.look(str(nowhere), [])["home_trouble"] == "is not there"
    assert not list(tmp_path.glob(".survey*"))
    fault = the_one(found(surveyed(tmp_path, home_trouble="is not there")), "runs")
    assert fault.line() == f"runs: n1 10.0.0.1: {tmp_path} is not there; mount the same storage there"


def test_14_runs_in_a_folder_that_goes_with_the_job(tmp_path: Path):
    assert (
        "nobody said"
        in the_one(list(of_nodes(surveyed(None), Wanted(), insecure=False, home_given=False)), "runs").found
    )
    relative = examine("127.0.0.1:9", home=Path("runs")).checks
    assert "DNA_RAY_HOME" in the_one(list(relative), "runs").fix


def test_15_inputs_that_a_node_does_not_see(tmp_path: Path):
    fault = the_one(found(surveyed(tmp_path, paths=(str(tmp_path), "/nowhere/bert"))), "inputs")
    assert "/nowhere/bert is not there" in fault.found


def test_16_a_tracking_server_that_is_none_or_does_not_answer(tmp_path: Path):
    with serving("<html>") as url:
        assert f"{url} is no MLflow" in the_one(found(surveyed(tmp_path, tracking=url)), "tracking").found
    dead = the_one(found(surveyed(tmp_path, tracking="postgresql://127.0.0.1:9/mlflow")), "tracking")
    assert "does not answer (Connection refused)" in dead.found
    with serving("OK") as url:
        assert not [check for check in found(surveyed(tmp_path, tracking=url)) if check.name == "tracking"]


def test_17_too_few_processors_or_no_gpu(tmp_path: Path):
    many, gpus = Wanted(workers=8), Wanted(workers=1, use_gpu=True)
    assert "how.workers to 4 or fewer" in the_one(found(surveyed(tmp_path), wanted=many), "workers").fix
    assert "1 need 1 GPUs" in the_one(found(surveyed(tmp_path), wanted=gpus), "workers").found


def test_18_nodes_that_are_lost_or_do_not_answer(tmp_path: Path):
    assert the_one(found(surveyed(tmp_path, alive=False, answer=None)), "nodes").state == "warn"
    silent = the_one(found(surveyed(tmp_path, answer=None)), "nodes")
    assert (silent.state, silent.exit_code) == ("fail", 9)


def test_a_machine_without_faults_has_none(tmp_path: Path):
    assert not failing(found(surveyed(tmp_path)))


def test_doctor_stops_at_the_door_of_a_cluster_that_is_not_there():
    result = doctor(address="http://127.0.0.1:9")
    assert result.exit_code == 9
    assert [check.name for check in result.checks] == ["python", "ray cluster"]


def test_a_cluster_that_others_reach_is_not_used_without_a_token(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InputError, match="--insecure"):
        access.authentication("10.0.0.5:6379", insecure=False)
    assert access.authentication("10.0.0.5:6379", insecure=True) == {"RAY_AUTH_MODE": "disabled"}
    assert access.authentication("[::1]:6379", insecure=False) == {"RAY_AUTH_MODE": "disabled"}
    access.token_file().write_text("secret")
    assert access.authentication("10.0.0.5:6379", insecure=False) == {"RAY_AUTH_MODE": "token"}
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(InputError, match="without a token"):
        access.authentication("http://10.0.0.5:8265", insecure=False)


def test_faults_are_one_error_of_the_kind_of_the_first():
    faults = [Check("a", "fail", "is bad", "mend it", 8), Check("b", "fail", "too", "leave it", 3)]
    error = as_error(faults)
    assert isinstance(error, ResourceError)
    assert str(error) == "a: is bad; mend it | b: too; leave it"
