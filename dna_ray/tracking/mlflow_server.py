"""The way to an MLflow server or database: quick to say that it does not answer, and quiet on the terminal."""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic.util import CommandError
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from dna_ray.errors import SpaceError
from dna_ray.tracking import lock
from dna_ray.tracking.notes import EXPERIMENT_NOTE
from dna_ray.tracking.reach import unreachable
from dna_ray.tracking.store import ARTIFACTS, EXPERIMENT, database_path, public

_MIGRATION = 120.0  # seconds to wait for another process that prepares the database; preparing takes about 10
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
        raise unreachable(uri, run, error) from error
