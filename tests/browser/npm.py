"""A package of the npm registry without npm: one exact version, held to its checksum, fetched once."""

import base64
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import httpx

from services.encoder.settings import EncoderSettings
from textpro.cache import made_once

PUBLIC_REGISTRY = "https://registry.npmjs.org"
TIMEOUT_S = 60


@dataclass(frozen=True)
class Package:
    """sha512: base64, as a package-lock.json has it."""

    name: str
    version: str
    sha512: str

    def directory(self) -> Path:
        """Its files. Raises httpx.HTTPError where the registry can't be reached."""
        return made_once(EncoderSettings.load().cache / "npm" / self.name / self.version, self._fetch)

    def _fetch(self, target: Path) -> None:
        url = f"{_registry()}/{self.name}/-/{self.name.rpartition('/')[2]}-{self.version}.tgz"
        packed = httpx.get(url, timeout=TIMEOUT_S, follow_redirects=True).raise_for_status().content
        found = base64.b64encode(hashlib.sha512(packed).digest()).decode()
        if found != self.sha512:
            raise ValueError(f"{url} has the checksum {found}; expected {self.sha512}")
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(target, filter="data")


def _registry() -> str:
    """As npm would ask."""
    if npm := shutil.which("npm"):
        found = subprocess.run([npm, "config", "get", "registry"], capture_output=True, text=True, check=True).stdout
    else:
        found = os.environ.get("NPM_CONFIG_REGISTRY", PUBLIC_REGISTRY)
    return found.strip().rstrip("/")
