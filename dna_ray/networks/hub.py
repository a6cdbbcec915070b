"""Networks from the Hugging Face hub, as a folder in its own cache."""

from pathlib import Path

from dna_ray.errors import NetworkError

_SMALL = ["*.json", "*.txt", "*.model", "*.jinja"]
_ELSEWHERE = ["*/*"]  # subfolders hold other formats of the same weights


def download(name: str, *, revision: str | None, cache_dir: Path | None, local_files_only: bool) -> Path:
    """The folder of a network's files: safetensors, or pickles where there are none. Reuses what is in the cache.

    Raises:
        NetworkError: The name is unknown or not open to you, or the hub cannot be reached and the cache lacks it.
    """
    from huggingface_hub import errors, snapshot_download

    def fetch(weights: str) -> Path:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                cache_dir=cache_dir,
                local_files_only=local_files_only,
                allow_patterns=[*_SMALL, weights],
                ignore_patterns=_ELSEWHERE,
            )
        )

    try:
        folder = fetch("model*.safetensors")
        return folder if any(folder.glob("model*.safetensors*")) else fetch("pytorch_model*.bin")
    except errors.HFValidationError as error:
        raise NetworkError(f"{name}: neither a path nor a name on the Hugging Face hub; check its spelling") from error
    except errors.GatedRepoError as error:
        raise NetworkError(
            f"{name}: gated on the Hugging Face hub; ask for access there, then log in with `hf`"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise NetworkError(f"{name}: no revision {revision!r} on the Hugging Face hub; check --revision") from error
    except errors.RepositoryNotFoundError as error:
        raise NetworkError(
            f"{name}: no such path, and no such network on the Hugging Face hub; check its spelling"
        ) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, errors.HfHubHTTPError, OSError) as error:
        raise NetworkError(
            f"{name}: no such path, not in the cache, and the Hugging Face hub was not reached "
            f"({type(error).__name__}); connect, give a local folder, or use sample:minilm"
        ) from error
