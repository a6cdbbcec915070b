"""The way to an MLflow server or database: quick to say that it does not answer, and quiet on the terminal."""

import errno
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from alembic.util import CommandError
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from dna_ray.errors import SpaceError, UnreachableError
from dna_ray.tracking import lock
from dna_ray.tracking.notes import EXPERIMENT_NOTE
from dna_ray.tracking.store import ARTIFACTS, EXPERIMENT, database_path, public, without_secrets

_CONNECT = 3.0  # seconds for a connection to open
_MIGRATION = 120.0  # seconds to wait for another process that prepares the database; preparing takes about 10
_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306}
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # where only results go, and once for every agent
}
# The kind decides that the UI opens on training runs and models, instead of traces and prompts.
_EXPERIMENT_TAGS = {"mlflow.note.content": EXPERIMENT_NOTE, "mlflow.experimentKind": "custom_model_development"}
_OUR_FAULT = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")


def connect(uri: str) -> MlflowClient:
    """A client of the MLflow at `uri`. A sqlite database is made if it is missing, by one process at a time."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    for logger in ("mlflow", "alembic"):
        logging.getLogger(logger).setLevel(logging.WARNING)
    database = database_path(uri)
    if database is None:
        _knock(uri)
        return MlflowClient(uri)
    database.parent.mkdir(parents=True, exist_ok=True)
    with lock.locked(database.with_name(f".{database.name}.lock"), what=str(database), wait=_MIGRATION):
        return MlflowClient(uri)


def experiment_at(client: MlflowClient, uri: str) -> str:
    """The id of our experiment, made or restored if need be; files lie beside a sqlite database."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        database = database_path(uri)
        place = (database.parent / ARTIFACTS).resolve().as_uri() if database else None
        try:
            return str(client.create_experiment(EXPERIMENT, place, _EXPERIMENT_TAGS))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment.lifecycle_stage == LifecycleStage.DELETED:
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


@contextmanager
def reaching(uri: str, run: Path) -> Iterator[None]:
    """Turns every way in which MLflow can fail us into one line; only a call that it calls invalid stays a bug."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, CommandError, OSError) as error:
        if isinstance(error, MlflowException) and error.error_code in _OUR_FAULT:
            raise
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise SpaceError(
                f"{public(uri)}: no space left for MLflow; free some, then: dna-ray track sync {run}"
            ) from error
        reason = without_secrets(next(iter(str(error).splitlines()), "") or type(error).__name__, uri)
        raise UnreachableError(
            f"{public(uri)}: MLflow does not answer or refuses ({reason[:200]}); the journal has everything, "
            f"and when it answers again: dna-ray track sync {run}"
        ) from error


def _knock(uri: str) -> None:
    """Raises OSError within seconds where nothing listens; MLflow itself tries for minutes."""
    parts = urlsplit(uri)
    scheme = parts.scheme.partition("+")[0]
    behind_proxy = scheme in getproxies() and not proxy_bypass(parts.hostname or "")
    if scheme in _PORTS and parts.hostname and not behind_proxy:
        socket.create_connection((parts.hostname, parts.port or _PORTS[scheme]), timeout=_CONNECT).close()
