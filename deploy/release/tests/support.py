"""What the tests share: the way to the library, and to the components."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

sys.dont_write_bytecode = True
RELEASE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(RELEASE / "lib"))

from paas import log

log._line = lambda text: None  # the tests' own output is enough


def component(name: str) -> ModuleType:
    """The module of a component; its folder is no package."""
    spec = importlib.util.spec_from_file_location(f"component_{name}", RELEASE / name / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
