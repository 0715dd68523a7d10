"""What the tests share: the way to the library, and to the components."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

sys.dont_write_bytecode = True
PACKAGES = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PACKAGES / "stand_ins"))

from paas import log

log.write = lambda *_, **__: None  # the tests' own output is enough


def program(path: str) -> ModuleType:
    """The module of a package's program, such as `uaa/lib/uaa.py`."""
    file = PACKAGES / path
    spec = importlib.util.spec_from_file_location(f"program_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
