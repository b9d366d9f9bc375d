"""Installs what checks the deployment into a folder that git ignores: `python -m tests.deploy.install`.

Linter, schemas and the maker of bills of materials are Python packages. Helm, kustomize and the schemas of KEDA's and
Prometheus' own kinds come as Go modules, whose checksums Go's own database keeps.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.environments import environment

ROOT: Final = Path(__file__).parents[2]
HOME: Final = ROOT / ".deploy"
BIN: Final = HOME / "bin"
PINS: Final = ROOT / "docker" / "requirements" / "deploy.txt"
NEEDED: Final = {
    "go": "Go 1.26 or newer is needed, to build helm and kustomize",
    "systemd-analyze": "systemd-analyze is needed, which comes with systemd",
}
PROGRAMS: Final = {
    "helm": "helm.sh/helm/v3/cmd/helm@v3.22.0",
    "kustomize": "sigs.k8s.io/kustomize/kustomize/v5@v5.8.2",
}
KINDS: Final = {
    "ScaledObject": ("github.com/kedacore/keda/v2@v2.21.0", "config/crd/bases/keda.sh_scaledobjects.yaml"),
    "TriggerAuthentication": (
        "github.com/kedacore/keda/v2@v2.21.0",
        "config/crd/bases/keda.sh_triggerauthentications.yaml",
    ),
    "ServiceMonitor": (
        "github.com/prometheus-operator/prometheus-operator@v0.93.0",
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    ),
    "PrometheusRule": (
        "github.com/prometheus-operator/prometheus-operator@v0.93.0",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ),
}


def main() -> int:
    """Install what is not there; 1, and a line on what is wrong, if something cannot be had."""
    missing = [text for name, text in NEEDED.items() if shutil.which(name) is None]
    if missing:
        print(f"make deploy-check: {' and '.join(missing)}", file=sys.stderr)  # noqa: T201 - a command
        return 1
    try:
        environment(HOME, PINS)
        for name, module in PROGRAMS.items():
            _install_program(name, module)
        for kind, (module, path) in KINDS.items():
            _fetch_schema(kind, module, path)
    except (OSError, subprocess.CalledProcessError) as exc:
        print(f"make deploy-check: not installed: {exc}", file=sys.stderr)  # noqa: T201 - a command
        return 1
    return 0


def program(name: str) -> str:
    """Where one of the Python packages' programs is, or one of ours."""
    ours = BIN / name
    return str(ours if ours.exists() else HOME / "venv" / "bin" / name)


def run(*command: str, fails: bool = False) -> str:
    """Run it in the repository, and return all that it says. AssertionError: it fails, or does not when `fails`."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert bool(done.returncode) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def schema(kind: str) -> Path:
    """Where the definition of a kind is that no Kubernetes has by itself."""
    return HOME / "kinds" / f"{kind}.yaml"


def _install_program(name: str, module: str) -> None:
    if (BIN / name).exists():
        return
    print(f"make deploy-check: {name}, built from its source: minutes, once", flush=True)  # noqa: T201 - a command
    subprocess.run(["go", "install", module], cwd=HOME, env={**os.environ, "GOBIN": str(BIN)}, check=True)


def _fetch_schema(kind: str, module: str, path: str) -> None:
    if schema(kind).exists():
        return
    told = subprocess.run(["go", "mod", "download", "-json", module], cwd=HOME, capture_output=True, check=True)
    schema(kind).parent.mkdir(exist_ok=True)
    shutil.copyfile(Path(json.loads(told.stdout)["Dir"]) / path, schema(kind))


if __name__ == "__main__":
    sys.exit(main())
