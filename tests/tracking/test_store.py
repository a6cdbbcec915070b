"""A tracking server's address may hold a password; what is shown and written down does not."""

import pytest

from dna_ray.recipe import MineHow, MineRecipe, MineWhat, to_mapping, to_yaml
from dna_ray.tracking.store import public, with_credentials, without_secrets

SECRET = "postgresql://dna:pass%40word@db:5432/mlflow"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        (SECRET, "postgresql://db:5432/mlflow"),
        ("https://user@host/mlflow", "https://host/mlflow"),
        ("mysql://db/mlflow?password=x&ssl=1", "mysql://db/mlflow?ssl=1"),
        ("sqlite:////tmp/a@b/mlflow.db", "sqlite:////tmp/a@b/mlflow.db"),
        ("http://host:5000", "http://host:5000"),
    ],
)
def test_an_address_is_shown_without_user_and_passwords(uri: str, shown: str):
    assert public(uri) == shown
    assert public(shown) == shown


def test_a_recorded_address_finds_its_password_in_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", SECRET)
    assert with_credentials(public(SECRET)) == SECRET
    assert with_credentials("postgresql://other/mlflow") == "postgresql://other/mlflow"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert with_credentials(public(SECRET)) == public(SECRET)


def test_a_message_is_said_without_the_secrets_of_an_address():
    said = f"API request to {SECRET}/api failed; password was pass%40word"
    assert (
        without_secrets(said, SECRET) == "API request to postgresql://***@db:5432/mlflow/api failed; password was ***"
    )
    assert without_secrets("no x=y", "mysql://db/mlflow?password=x=y") == "no ***"


def test_a_recipe_that_is_written_down_keeps_no_password():
    recipe = MineRecipe(what=MineWhat(network="sample:minilm"), how=MineHow(tracking=SECRET))
    assert to_mapping(recipe)["how"]["tracking"] == public(SECRET)
    assert "pass" not in to_yaml(recipe)
