from __future__ import annotations
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Final
from gre_core.errors import Refused
Function = Callable[[bytes], bytes]

def allow(names: Iterable[str]) -> None:
    ...

def get(name: str) -> Function:
    ...
