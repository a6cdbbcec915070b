"""Where runs and MLflow's records live by default, and how a tracking server is named in messages and files."""

import os
from pathlib import Path
from urllib.parse import urlsplit

DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"
EXPERIMENT = "dna_ray"
TRAINING_VIEW = "workflowType=machine_learning"  # in an address: the UI shows runs and models, not prompts and judges

SECRETS = ("password", "passwd", "sslpassword", "token")  # keys of a query of a tracking server's address


def home() -> Path:
    """The folder of all runs: DNA_RAY_HOME, or ./runs."""
    return Path(os.environ.get("DNA_RAY_HOME") or "runs")


def tracking_uri(store: Path | None = None) -> str:
    """The MLflow to write to: MLFLOW_TRACKING_URI, or the sqlite database in the run store (default `home()`)."""
    return os.environ.get("MLFLOW_TRACKING_URI") or database_uri(store or home())


def database_uri(store: Path) -> str:
    """The sqlite database in a run store; absolute, since a server reads it from another working directory."""
    return f"sqlite:///{(store / DATABASE).resolve()}"


def database_path(uri: str) -> Path | None:
    """The file of a sqlite URI, None for any other."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def public(uri: str) -> str:
    """`uri` without the user and the passwords that it may hold."""
    parts = urlsplit(uri)
    query = "&".join(each for each in parts.query.split("&") if each.partition("=")[0].lower() not in SECRETS)
    if "@" not in parts.netloc and query == parts.query:
        return uri
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query=query).geturl()


def with_credentials(uri: str) -> str:
    """`uri`, of which records keep no password, with those that MLFLOW_TRACKING_URI holds for the same server."""
    known = os.environ.get("MLFLOW_TRACKING_URI", "")
    return known if public(known) == uri else uri


def without_secrets(text: str, uri: str) -> str:
    """A message in which user and password of `uri` may stand, without them."""
    parts = urlsplit(uri)
    asked = [each.partition("=") for each in parts.query.split("&")]
    held = [parts.netloc.rpartition("@")[0], parts.password, *(value for key, _, value in asked if key in SECRETS)]
    for secret in filter(None, held):
        text = text.replace(secret, "***")
    return text
