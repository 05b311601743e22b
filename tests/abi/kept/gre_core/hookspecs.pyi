from __future__ import annotations
from collections.abc import Iterable
import pluggy
from gre_core.api import PROJECT, DataProvider, EncrypterProvider, FormatterProvider
hookspec: pluggy.HookspecMarker = pluggy.HookspecMarker(PROJECT)

@hookspec
def gre_formatters() -> Iterable[FormatterProvider]:
    ...

@hookspec
def gre_encrypters() -> Iterable[EncrypterProvider]:
    ...

@hookspec
def gre_data_fields() -> Iterable[DataProvider]:
    ...
