from __future__ import annotations
import re
from typing import Final
MAX_FILE_NAME: Final = 255

def safe_name(name: str, media_type: str='') -> str:
    ...
